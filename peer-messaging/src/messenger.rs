//! The handle: what a program does with messages.

pub(crate) mod config;
pub(crate) mod error;
mod mail;

use crate::{
    delivery::{Delivery, bell::Call},
    directory::Directory,
    envelope::Sender,
    event::Event,
    key::AccountKey,
    listener::{Ends, Listener},
    messenger::{config::MessengerConfig, error::MessengerError},
    office::{Office, Parts},
    store::Store,
    tls::Identity,
};
use std::{fmt, net::SocketAddr, sync::Arc};
use telegraph_proto::{
    account::{AccountId, DeviceId, Username},
    identity::SignedStatement,
};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// One account's messenger on one device: takes messages for others, brings them, and receives.
///
/// - A clone is the same messenger. It ends with [`Messenger::shutdown`], [`Messenger::halt`], or
///   when the last clone is dropped.
/// - What it accepted is on disk; whatever ends the process, it is delivered by the next messenger
///   on the same store, once.
#[derive(Clone)]
pub struct Messenger {
    inner: Arc<Inner>,
}

struct Inner {
    office: Arc<Office>,
    delivery: Delivery,
    local_addr: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
    _end: [DropGuard; 2],
}

impl Messenger {
    /// Opens a door at `config.listen` for the owner of `key`, and takes up what `store` says is
    /// not done.
    ///
    /// Fails when the address cannot be had, when a setting cannot work, and with
    /// [`crate::StoreError::Foreign`] when the store is another account's, device's or cluster's.
    pub async fn bind(
        config: MessengerConfig,
        store: Store,
        key: AccountKey,
        device_id: DeviceId,
        directory: Arc<dyn Directory>,
        cluster_id: [u8; 16],
    ) -> Result<Self, MessengerError> {
        config.validate().map_err(MessengerError::Config)?;
        let sender = Sender { account_id: key.account_id(), device_id };
        let owner =
            [sender.account_id.as_bytes().as_slice(), device_id.as_bytes(), &cluster_id].concat();
        store.write(move |view| view.claim(&owner)).await?;
        let address = config.listen;
        let listen = |source| MessengerError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(listen)?;
        let local_addr = socket.local_addr().map_err(listen)?;
        let identity = Identity::new(&key)?;
        let parts = Parts { config, store, identity, sender, cluster_id, directory };
        let office = Arc::new(Office::new(parts));
        let tasks = TaskTracker::new();
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let delivery = Delivery::new(office.clone(), tasks.clone(), stop.clone());
        let ends = Ends { stop: stop.clone(), kill: kill.clone() };
        let listener = Listener::new(office.clone(), delivery.clone(), tasks.clone(), ends)?;
        delivery.resume().await?;
        tasks.spawn(listener.run(socket));
        let end = [stop.clone().drop_guard(), kill.clone().drop_guard()];
        let inner = Inner { office, delivery, local_addr, tasks, stop, kill, _end: end };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the door is.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// Whose messenger this is.
    pub fn account_id(&self) -> AccountId {
        self.inner.office.sender.account_id
    }

    /// What happens from now on. Who falls behind by 1,024 events is told so, and reads
    /// [`Messenger::history`].
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.office.events.subscribe()
    }

    /// Somebody came back or moved, says the directory: looks them up and tries at once.
    pub fn kick(&self, who: &Username) {
        let peer = self.inner.office.store.read_now(|view| view.peer_named(who));
        if let Ok(Some(peer)) = peer {
            self.inner.delivery.call(peer.number, Call::Moved);
        }
    }

    /// Our address is this from now on, in our own signed words: tells it to the people met last,
    /// and to everybody else when next we talk.
    ///
    /// Must be called within a Tokio runtime.
    pub fn announce(&self, statement: SignedStatement) {
        self.inner.office.set_announced(statement);
        let (delivery, stop) = (self.inner.delivery.clone(), self.inner.stop.clone());
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = delivery.announce() => {}
            }
        });
    }

    /// How many messages are not delivered and not failed. 0 after the messenger was ended.
    pub fn pending(&self) -> usize {
        let pending = self.inner.office.store.read_now(|view| Ok(view.sums()?.pending));
        usize::try_from(pending.unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Who has to be reached, because messages or read receipts wait for them. Worth watching.
    pub fn waiting_for(&self) -> Vec<Username> {
        let names = self.inner.office.store.read_now(|view| {
            let mut names = Vec::new();
            for number in view.peers_to_reach()? {
                let peer = view.peer(number)?;
                names.extend(peer.username.filter(|_| peer.new_public_key.is_none()));
            }
            Ok(names)
        });
        names.unwrap_or_default()
    }

    /// Ends: finishes the calls of others that are under way (2 s at most), closes all connections,
    /// and frees the store. What is not delivered stays in it.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.kill.cancel();
        self.inner.office.store.close().await;
    }

    /// Ends as a killed process does: connections are cut, what is not on disk is dropped. The
    /// store is free afterwards.
    pub async fn halt(&self) {
        self.inner.kill.cancel();
        self.inner.stop.cancel();
        self.inner.office.store.halt().await;
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messenger")
            .field("account_id", &self.account_id())
            .field("local_addr", &self.inner.local_addr)
            .finish_non_exhaustive()
    }
}
