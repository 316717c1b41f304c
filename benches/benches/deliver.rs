//! How fast messages go from one person to another, directly: composed and durable at the one end,
//! received and durable at the other, and acknowledged.
//!
//! What the disk alone allows is measured in turn: the same bytes, written and synced twice.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use futures_util::future::{BoxFuture, ready};
use peer_messaging::{
    AccountKey, Contact, Directory, DirectoryError, Messenger, MessengerConfig, Stage, Store,
};
use telegraph_benches::{Disk, SAMPLES, Samples, Summary, Taken, at_once};
use telegraph_proto::account::{AccountId, DeviceId, PublicKey, Username};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Some lines of text.
const TEXT_BYTES: usize = 256;
const CLUSTER: [u8; 16] = [7; 16];
const STORE_KEY: [u8; 32] = [5; 32];
/// Far beyond what any message takes; one that takes longer is a failure, not a figure.
const DEADLINE: Duration = Duration::from_secs(30);
/// The build's own folder: on a real disk, where the system's temporary folder may be memory.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut summary = Summary::new("deliver", Path::new(DIRECTORY));
    let runtime = Runtime::new()?;
    let mut disk = Disk::new(Path::new(DIRECTORY))?;
    let town = Arc::new(Town::default());
    let alice = runtime.block_on(Box::pin(Person::online("alice", &town)))?;
    let bob = runtime.block_on(Box::pin(Person::online("bob", &town)))?;
    // Nobody may leave many messages with a person who never wrote to them.
    runtime.block_on(bob.send(&alice));
    let cases = [
        (1, "waited for until it is delivered, then the next"),
        (64, "with 64 under way"),
        (256, "with 256 under way"),
    ];
    let mut group = criterion.benchmark_group("a message of 256 B");
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for (messages, name) in cases {
        group.throughput(Throughput::Elements(messages));
        let at_once = vec![7; TEXT_BYTES * messages as usize];
        let (mut all, mut alone) = (Samples::default(), Samples::default());
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let taken = runtime.block_on(deliver(&alice, &bob, messages, rounds));
                alone.add(disk.append_each(&at_once, 2 * rounds).expect("the disk has room"));
                let elapsed = taken.elapsed();
                all.add(taken);
                elapsed
            });
        });
        let limit = alone.all().per_second() / 2.0 * messages as f64;
        summary.figure(&format!("a message {name}"), &all.all(), Some(limit));
    }
    group.finish();
    runtime.block_on(async {
        alice.messenger.shutdown().await;
        bob.messenger.shutdown().await;
    });
    criterion.final_summary();
    Ok(summary.finish()?)
}

async fn deliver(from: &Person, to: &Person, messages: u64, rounds: u64) -> Taken {
    let (messenger, to) = (from.messenger.clone(), to.name.clone());
    let act = move |_| {
        let (messenger, to) = (messenger.clone(), to.clone());
        async move { send(&messenger, &to).await }
    };
    at_once(messages, rounds, act).await
}

async fn send(messenger: &Messenger, to: &Username) {
    let composed = messenger.compose(to, "x".repeat(TEXT_BYTES)).await;
    let id = composed.expect("the outbox has room");
    let reached = messenger.wait_for(id, Stage::Delivered, DEADLINE).await;
    let reached = reached.expect("the message was just composed");
    assert!(reached >= Stage::Delivered, "a message is {reached:?}");
}

/// Somebody with a key and a store on disk, to be reached by others.
struct Person {
    name: Username,
    messenger: Messenger,
    /// Held for the sake of its end.
    _files: TempDir,
}

impl Person {
    async fn online(name: &str, town: &Arc<Town>) -> Result<Person, Box<dyn Error>> {
        let name = Username::parse(name)?;
        let files = tempfile::tempdir_in(DIRECTORY)?;
        let store = Store::open(&files.path().join("messages"), STORE_KEY)?;
        let key = AccountKey::generate()?;
        let public_key = key.public_key();
        // Nobody looks at the messages here, of which there may be more than a person would leave.
        let config = MessengerConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            unread_per_sender: u64::MAX,
            ..MessengerConfig::default()
        };
        let device = DeviceId::new([3; 16]);
        let messenger =
            Messenger::bind(config, store, key, device, Arc::clone(town) as _, CLUSTER).await?;
        let contact = contact(&name, public_key, messenger.local_addr());
        town.lock().push(contact);
        Ok(Person { name, messenger, _files: files })
    }

    async fn send(&self, to: &Person) {
        send(&self.messenger, &to.name).await;
    }
}

fn contact(name: &Username, public_key: PublicKey, address: SocketAddr) -> Contact {
    Contact {
        account_id: AccountId::of(&public_key),
        username: name.clone(),
        public_key,
        addresses: vec![address],
        address_sequence: 1,
        online: true,
    }
}

/// Knows where everybody is, as managers would.
#[derive(Default)]
struct Town(Mutex<Vec<Contact>>);

impl Town {
    fn lock(&self) -> MutexGuard<'_, Vec<Contact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(
        &self,
        is: impl Fn(&Contact) -> bool,
    ) -> BoxFuture<'_, Result<Contact, DirectoryError>> {
        let found = self.lock().iter().find(|contact| is(contact)).cloned();
        Box::pin(ready(found.ok_or(DirectoryError::Unknown)))
    }
}

impl Directory for Town {
    fn lookup<'a>(
        &'a self,
        username: &'a Username,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>> {
        self.find(|contact| contact.username == *username)
    }

    fn by_account<'a>(
        &'a self,
        account_id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>> {
        self.find(|contact| contact.account_id == *account_id)
    }
}
