//! A town: people with messengers, and a directory that knows what they last said.

use crate::{
    AccountKey, Contact, Directory, DirectoryError, Event, Message, MessageId, Messenger,
    MessengerConfig, Stage, Store,
};
use futures_util::future::{BoxFuture, ready};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use telegraph_proto::{
    account::{AccountId, DeviceId, Username},
    identity::{AddressBody, StatementKind},
};
use tempfile::TempDir;
use tokio::{sync::broadcast, time::timeout};

pub(crate) const CLUSTER: [u8; 16] = [3; 16];
pub(crate) const STORE_KEY: [u8; 32] = [5; 32];
/// How long anything may take: far above what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What managers would know.
#[derive(Default)]
pub(crate) struct Town {
    people: Mutex<HashMap<Username, Contact>>,
    pub(crate) closed: AtomicBool,
    pub(crate) questions: AtomicU64,
}

impl Town {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn register(&self, person: &Person) {
        let contact = Contact {
            account_id: person.key.account_id(),
            username: person.name.clone(),
            public_key: person.key.public_key(),
            addresses: Vec::new(),
            address_sequence: 0,
            online: false,
        };
        self.people.lock().unwrap().insert(person.name.clone(), contact);
    }

    pub(crate) fn moved(&self, name: &Username, address: SocketAddr) -> u64 {
        let mut people = self.people.lock().unwrap();
        let contact = people.get_mut(name).unwrap();
        contact.addresses = vec![address];
        contact.address_sequence += 1;
        contact.address_sequence
    }

    fn answer(
        &self,
        is: impl Fn(&Contact) -> bool,
    ) -> BoxFuture<'_, Result<Contact, DirectoryError>> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        if self.closed.load(Ordering::Relaxed) {
            return Box::pin(ready(Err(DirectoryError::Unavailable("closed".into()))));
        }
        let found = self.people.lock().unwrap().values().find(|c| is(c)).cloned();
        Box::pin(ready(found.ok_or(DirectoryError::Unknown)))
    }
}

impl Directory for Town {
    fn lookup<'a>(
        &'a self,
        username: &'a Username,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>> {
        self.answer(|contact| contact.username == *username)
    }

    fn by_account<'a>(
        &'a self,
        account_id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>> {
        self.answer(|contact| contact.account_id == *account_id)
    }
}

/// Somebody with a key, a directory on disk, and perhaps a running messenger.
pub(crate) struct Person {
    pub(crate) name: Username,
    pub(crate) key: AccountKey,
    pub(crate) device: DeviceId,
    pub(crate) config: MessengerConfig,
    pub(crate) files: TempDir,
    pub(crate) town: Arc<Town>,
    messenger: Option<Messenger>,
}

pub(crate) fn quick() -> MessengerConfig {
    MessengerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        first_retry: Duration::from_millis(20),
        max_retry: Duration::from_millis(200),
        ..MessengerConfig::default()
    }
}

impl Person {
    /// Registered, and not online.
    pub(crate) fn new(town: &Arc<Town>, name: &str) -> Self {
        let mut device = [0; 16];
        getrandom::fill(&mut device).unwrap();
        let person = Self {
            name: Username::parse(name).unwrap(),
            key: AccountKey::generate().unwrap(),
            device: DeviceId::new(device),
            config: quick(),
            files: tempfile::tempdir().unwrap(),
            town: town.clone(),
            messenger: None,
        };
        town.register(&person);
        person
    }

    /// Registered and online.
    pub(crate) async fn online(town: &Arc<Town>, name: &str) -> Self {
        let mut person = Self::new(town, name);
        person.start().await;
        person
    }

    pub(crate) fn open_store(&self) -> Store {
        Store::open(&self.files.path().join("messages.redb"), STORE_KEY).unwrap()
    }

    /// Goes online and tells the town.
    pub(crate) async fn start(&mut self) {
        let address = self.start_quietly().await;
        self.tell(address);
    }

    /// Goes online and tells nobody.
    pub(crate) async fn start_quietly(&mut self) -> SocketAddr {
        let messenger = Messenger::bind(
            self.config.clone(),
            self.open_store(),
            self.key.clone(),
            self.device,
            self.town.clone(),
            CLUSTER,
        );
        let messenger = Box::pin(messenger).await.unwrap();
        let address = messenger.local_addr();
        self.messenger = Some(messenger);
        address
    }

    /// Tells the town, and whoever is met, that this is the address.
    pub(crate) fn tell(&self, address: SocketAddr) {
        let sequence = self.town.moved(&self.name, address);
        self.messenger().announce(self.address_statement(address, sequence));
    }

    pub(crate) fn address_statement(
        &self,
        address: SocketAddr,
        sequence: u64,
    ) -> telegraph_proto::identity::SignedStatement {
        let body = AddressBody {
            addresses: vec![address.to_string()],
            device_id: self.device.as_bytes().to_vec(),
            issued_unix_ms: 1,
        };
        self.key.sign(CLUSTER, StatementKind::Address, sequence, &body)
    }

    pub(crate) async fn stop(&mut self) {
        self.messenger.take().unwrap().shutdown().await;
    }

    pub(crate) async fn halt(&mut self) {
        self.messenger.take().unwrap().halt().await;
    }

    pub(crate) fn messenger(&self) -> &Messenger {
        self.messenger.as_ref().unwrap()
    }

    pub(crate) async fn send(&self, to: &Person, text: &str) -> MessageId {
        self.messenger().compose(&to.name, text.to_owned()).await.unwrap()
    }

    pub(crate) async fn send_all(&self, to: &Person, texts: impl Iterator<Item = String>) {
        for text in texts {
            self.send(to, &text).await;
        }
    }

    pub(crate) async fn reaches(&self, id: MessageId, stage: Stage) {
        let reached = self.messenger().wait_for(id, stage.clone(), PATIENCE).await.unwrap();
        assert!(reached >= stage, "{id} is {reached:?}, expected {stage:?}");
    }

    pub(crate) async fn stage(&self, id: MessageId) -> Stage {
        self.messenger().stage(id).await.unwrap()
    }

    pub(crate) async fn history(&self, with: Option<&Person>) -> Vec<Message> {
        self.messenger().history(with.map(|person| &person.name), 10_000).await.unwrap()
    }

    /// What came, in the order it is shown.
    pub(crate) async fn received(&self) -> Vec<String> {
        let history = self.history(None).await;
        let incoming = history.into_iter().filter(|m| m.direction == crate::Direction::Incoming);
        incoming.map(|m| m.text).collect()
    }

    /// Waits until as many messages are here.
    pub(crate) async fn receives(&self, count: usize) -> Vec<String> {
        let received = eventually("messages arrive", async || {
            let received = self.received().await;
            (received.len() >= count).then_some(received)
        });
        Box::pin(received).await
    }
}

/// Asks until there is an answer; the deadline names what did not happen.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// The next event that `picks` takes.
pub(crate) async fn next<T>(
    events: &mut broadcast::Receiver<Event>,
    picks: impl Fn(Event) -> Option<T>,
) -> T {
    let wait = async {
        loop {
            if let Some(picked) = picks(events.recv().await.unwrap()) {
                return picked;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("an event")
}

/// Where chance begins; printed, so that a failure can be looked for.
#[expect(clippy::print_stdout, reason = "the test runner shows it with a failure")]
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    let seed = u64::from_be_bytes(bytes);
    println!("seed {seed}");
    seed
}

/// Evenly from 0 to `below`, and the seed for the next.
pub(crate) fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*seed >> 33) % below
}
