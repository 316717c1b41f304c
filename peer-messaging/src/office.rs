//! What the parts of a messenger share.

use crate::{
    directory::{Contact, Directory, DirectoryError},
    envelope::Sender,
    event::{Event, Events},
    message::{MessageId, Stage},
    messenger::config::MessengerConfig,
    store::{Store, error::StoreError, peer::Met},
    tls::Identity,
};
use futures_util::future::BoxFuture;
use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use telegraph_proto::{
    account::{AccountId, PublicKey, Username},
    identity::{AddressBody, SignedStatement, StatementKind},
    statement::{self, StatementError},
};

/// One account's messenger on one device: who it is, what it keeps, whom it asks.
pub(crate) struct Office {
    pub(crate) config: MessengerConfig,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) sender: Sender,
    pub(crate) cluster_id: [u8; 16],
    pub(crate) events: Events,
    directory: Arc<dyn Directory>,
    announced: Mutex<Option<SignedStatement>>,
    /// Handed over and not answered. Forgotten by a restart, like the connections.
    sent: Mutex<HashSet<MessageId>>,
}

/// Why a person was not looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It is the one who asks.
    #[error("that is ourselves")]
    Ourselves,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an [`Office`] is made of.
pub(crate) struct Parts {
    pub(crate) config: MessengerConfig,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) sender: Sender,
    pub(crate) cluster_id: [u8; 16],
    pub(crate) directory: Arc<dyn Directory>,
}

impl Office {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, store, identity, sender, cluster_id, directory } = parts;
        Self {
            config,
            store,
            identity,
            sender,
            cluster_id,
            directory,
            events: Events::new(),
            announced: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// Asks the directory for a name, and keeps what it says.
    pub(crate) async fn look_up(&self, name: &Username) -> Result<Met, LookupError> {
        let contact = self.ask(self.directory.lookup(name)).await?;
        if contact.username != *name {
            return Err(nonsense("it answered about somebody else").into());
        }
        self.keep(contact).await
    }

    /// Asks the directory for an account, and keeps what it says.
    pub(crate) async fn look_up_account(&self, account: &AccountId) -> Result<Met, LookupError> {
        let contact = self.ask(self.directory.by_account(account)).await?;
        if contact.account_id != *account {
            return Err(nonsense("it answered about somebody else").into());
        }
        self.keep(contact).await
    }

    async fn ask(
        &self,
        question: BoxFuture<'_, Result<Contact, DirectoryError>>,
    ) -> Result<Contact, LookupError> {
        let contact = question.await?;
        if contact.account_id != contact.public_key.account_id() {
            return Err(nonsense("the account is not the key's").into());
        }
        if contact.account_id == self.sender.account_id {
            return Err(LookupError::Ourselves);
        }
        Ok(contact)
    }

    async fn keep(&self, mut contact: Contact) -> Result<Met, LookupError> {
        contact.addresses.retain(|address| is_dialable(*address));
        let (account_id, username) = (contact.account_id, contact.username.clone());
        let new_account_id = contact.account_id;
        let met = self.store.write(move |view| view.meet(&contact)).await?;
        match &met {
            Met::Pinned { named: true, .. } => {
                self.events.send(Event::ContactNamed { account_id, username });
            }
            Met::KeyChanged { news: true, .. } => {
                tracing::warn!(%username, "the directory names another key than the pinned one");
                self.events.send(Event::ContactHeld { username, new_account_id });
            }
            Met::Pinned { .. } | Met::KeyChanged { .. } => {}
        }
        Ok(met)
    }

    /// Where we are, in our own words.
    pub(crate) fn announced(&self) -> Option<SignedStatement> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_announced(&self, statement: SignedStatement) {
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = Some(statement);
    }

    /// Where somebody is, in their own words: addresses and the number of the statement.
    pub(crate) fn believe(
        &self,
        statement: &SignedStatement,
        key: &PublicKey,
    ) -> Result<(Vec<SocketAddr>, u64), StatementError> {
        let kind = StatementKind::Address;
        let body: AddressBody = statement::verify(statement, &self.cluster_id, kind, key)?;
        let addresses = body.addresses.iter().filter_map(|address| address.parse().ok());
        Ok((addresses.filter(|address| is_dialable(*address)).collect(), statement.sequence))
    }

    /// Keeps a newer address; an older one is nothing.
    pub(crate) async fn keep_address(
        &self,
        peer: u64,
        addresses: Vec<SocketAddr>,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let keep = self.store.write(move |view| {
            let mut peer = view.peer(peer)?;
            if sequence > peer.address_sequence {
                peer.moved_to(&addresses, sequence);
                view.put_peer(&peer)?;
            }
            Ok(())
        });
        keep.await
    }

    /// These are about to be handed over.
    pub(crate) fn hand_over(&self, ids: impl Iterator<Item = MessageId>) {
        let mut sent = self.sent();
        for id in ids {
            if sent.insert(id) {
                self.events.send(Event::StageChanged { id, stage: Stage::Sent });
            }
        }
    }

    /// Tells how far messages have come.
    pub(crate) fn advanced(&self, changed: Vec<(MessageId, Stage)>) {
        let mut sent = self.sent();
        for (id, stage) in changed {
            sent.remove(&id);
            self.events.send(Event::StageChanged { id, stage });
        }
    }

    /// The stage with what only this process knows.
    pub(crate) fn stage_now(&self, id: &MessageId, stage: Stage) -> Stage {
        if stage == Stage::Pending && self.sent().contains(id) { Stage::Sent } else { stage }
    }

    fn sent(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Office").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// False for what leads nowhere, or to everybody.
fn is_dialable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

fn nonsense(what: &str) -> DirectoryError {
    DirectoryError::Unavailable(what.to_owned())
}
