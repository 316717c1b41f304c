//! Messages, through the handle.

use crate::{
    clock::unix_ms,
    delivery::bell::Call,
    directory::DirectoryError,
    envelope::MAX_TEXT_BYTES,
    event::Event,
    message::{Correspondent, Direction, Message, MessageId, Stage},
    messenger::{
        Messenger,
        error::{ComposeError, MessengerError},
    },
    office::LookupError,
    store::{
        outbox::{CHUNK, Composed, OutboxLimits},
        peer::{Met, Peer},
    },
};
use std::{collections::HashMap, time::Duration};
use telegraph_proto::account::{AccountId, Username};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout_at},
};

/// Most messages of one [`Messenger::history`].
const MAX_HISTORY: usize = 10_000;

impl Messenger {
    /// Takes a message. It is on disk when this returns, and is delivered whenever `to` can be
    /// reached, by this process or one after it.
    ///
    /// Somebody met before needs no directory. Fails, and keeps nothing, with
    /// [`ComposeError::UnknownUser`] when the directory is sure that nobody has that name,
    /// [`ComposeError::DirectoryUnavailable`] when it cannot say at first contact, and at the
    /// limits of length and of the outbox.
    pub async fn compose(&self, to: &Username, text: String) -> Result<MessageId, ComposeError> {
        match text.len() {
            0 => return Err(ComposeError::Empty),
            bytes if bytes > MAX_TEXT_BYTES => return Err(ComposeError::TooLong(bytes)),
            _ => {}
        }
        let office = &self.inner.office;
        let peer = self.recipient(to).await?;
        let id = MessageId::generate();
        let (sender, number, now) = (office.sender, peer.number, unix_ms());
        let limits = OutboxLimits {
            per_recipient: office.config.outbox_per_recipient,
            in_all: office.config.outbox,
        };
        let taken = office
            .store
            .write(move |view| view.compose(&sender, number, (id, &text, now), limits))
            .await?;
        match taken {
            Composed::Full { waiting } => Err(ComposeError::OutboxFull { waiting }),
            Composed::Queued(_) => {
                self.inner.delivery.call(number, Call::Work);
                Ok(id)
            }
        }
    }

    /// Waits until a message of ours has come as far as `stage`, is held or failed, or `deadline`
    /// has passed; returns how far it has come.
    ///
    /// Fails with [`MessengerError::UnknownMessage`] when there is no such message.
    pub async fn wait_for(
        &self,
        id: MessageId,
        stage: Stage,
        deadline: Duration,
    ) -> Result<Stage, MessengerError> {
        let until = Instant::now() + deadline;
        // Listening begins before looking: nothing falls between the two.
        let mut events = self.events();
        loop {
            let now = self.stage(id).await?;
            if now >= stage || now.is_settled() {
                return Ok(now);
            }
            match timeout_at(until, next_about(&mut events, id)).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return self.stage(id).await,
            }
        }
    }

    /// How far a message of ours has come. Fails with [`MessengerError::UnknownMessage`].
    pub async fn stage(&self, id: MessageId) -> Result<Stage, MessengerError> {
        let office = &self.inner.office;
        let stage = office.store.read(move |view| view.stage(&id)).await?;
        Ok(office.stage_now(&id, stage.ok_or(MessengerError::UnknownMessage)?))
    }

    /// To whom a message of ours goes. Fails with [`MessengerError::UnknownMessage`].
    pub async fn recipient_of(&self, id: MessageId) -> Result<Correspondent, MessengerError> {
        let message = self
            .inner
            .office
            .store
            .read(move |view| view.own_row(&id)?.map(|row| view.message(row)).transpose());
        Ok(message.await?.ok_or(MessengerError::UnknownMessage)?.with)
    }

    /// True for somebody who was met here before, so that nobody has to be asked who that is.
    pub fn knows(&self, who: &Username) -> bool {
        let peer = self.inner.office.store.read_now(|view| view.peer_named(who));
        matches!(peer, Ok(Some(_)))
    }

    /// The newest `limit` messages (10,000 at most), oldest first: with one person, or with
    /// everybody. Somebody never met has none.
    pub async fn history(
        &self,
        with: Option<&Username>,
        limit: usize,
    ) -> Result<Vec<Message>, MessengerError> {
        self.page(with, None, limit).await
    }

    /// The newest `limit` messages that are older than `before`, which must be one of the history.
    /// Fails with [`MessengerError::UnknownMessage`] when it is not.
    pub async fn history_before(
        &self,
        with: Option<&Username>,
        before: &Message,
        limit: usize,
    ) -> Result<Vec<Message>, MessengerError> {
        let (id, account) = (before.id, before.with.account_id);
        let outgoing = before.direction == Direction::Outgoing;
        let row = self.inner.office.store.read(move |view| {
            if outgoing {
                return view.own_row(&id);
            }
            let peer = view.peer_of(&account)?;
            peer.map_or(Ok(None), |peer| view.received_row(&peer, &id))
        });
        let row = row.await?.ok_or(MessengerError::UnknownMessage)?;
        self.page(with, Some(row), limit).await
    }

    /// Everything received from `from` so far was shown. They are told, now or as soon as they can
    /// be reached, whatever happens to this process. Fails with [`MessengerError::UnknownContact`].
    pub async fn mark_read(&self, from: &Username) -> Result<(), MessengerError> {
        let name = from.clone();
        let peer = self.inner.office.store.read(move |view| view.peer_named(&name)).await?;
        let peer = peer.ok_or_else(|| MessengerError::UnknownContact(from.to_string()))?;
        self.mark_up_to(peer.number, u64::MAX).await
    }

    /// These messages were shown, and with each of them all that the same person sent before it.
    /// Told like [`Messenger::mark_read`]; works for people without a name, too. Messages of ours
    /// are passed over.
    pub async fn mark_shown(&self, messages: &[Message]) -> Result<(), MessengerError> {
        let received: Vec<(AccountId, MessageId)> = messages
            .iter()
            .filter(|message| message.direction == Direction::Incoming)
            .map(|message| (message.with.account_id, message.id))
            .collect();
        let newest = self.inner.office.store.read(move |view| {
            let mut newest: HashMap<u64, u64> = HashMap::new();
            for (account, id) in &received {
                let Some(peer) = view.peer_of(account)? else { continue };
                let Some(row) = view.received_row(&peer, id)? else { continue };
                let last = newest.entry(peer.number).or_default();
                *last = row.max(*last);
            }
            Ok(newest)
        });
        for (peer, row) in newest.await? {
            self.mark_up_to(peer, row).await?;
        }
        Ok(())
    }

    /// What is sent to `username` goes to the key the directory names now, also what waits already.
    /// Until this is called nothing goes to either key. Fails with
    /// [`MessengerError::UnknownContact`]; without a new key nothing changes.
    pub async fn accept_new_key(&self, username: &Username) -> Result<(), MessengerError> {
        let office = &self.inner.office;
        let (name, sender) = (username.clone(), office.sender);
        let handed_on = office.store.write(move |view| {
            let Some(mut old) = view.peer_named(&name)? else { return Ok(None) };
            let new = view.hand_on_name(&mut old)?;
            Ok(Some((old.number, new.map(|new| new.number))))
        });
        let known = handed_on.await?;
        let (old, new) =
            known.ok_or_else(|| MessengerError::UnknownContact(username.to_string()))?;
        let Some(new) = new else { return Ok(()) };
        loop {
            let moved = office.store.write(move |view| view.readdress(&sender, old, new)).await?;
            if moved.is_empty() {
                break;
            }
            office.advanced(moved.into_iter().map(|id| (id, Stage::Pending)).collect());
        }
        self.inner.delivery.call(new, Call::Moved);
        Ok(())
    }

    /// Who has this name: known here, or found in the directory.
    async fn recipient(&self, to: &Username) -> Result<Peer, ComposeError> {
        let office = &self.inner.office;
        let name = to.clone();
        if let Some(peer) = office.store.read(move |view| view.peer_named(&name)).await? {
            return Ok(peer);
        }
        match office.look_up(to).await {
            Ok(Met::Pinned { peer, .. } | Met::KeyChanged { peer, .. }) => Ok(peer),
            Err(LookupError::Store(error)) => Err(error.into()),
            Err(LookupError::Ourselves) => Err(ComposeError::ToYourself),
            Err(LookupError::Directory(DirectoryError::Unknown)) => {
                Err(ComposeError::UnknownUser(to.to_string()))
            }
            Err(LookupError::Directory(DirectoryError::Unavailable(why))) => {
                Err(ComposeError::DirectoryUnavailable(why))
            }
        }
    }

    async fn page(
        &self,
        with: Option<&Username>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Message>, MessengerError> {
        let (with, limit) = (with.cloned(), limit.min(MAX_HISTORY));
        let before = before.unwrap_or(u64::MAX);
        let page = self.inner.office.store.read(move |view| {
            let Some(name) = with else { return view.history(None, before, limit) };
            match view.peer_named(&name)? {
                Some(peer) => view.history(Some(&peer), before, limit),
                None => Ok(Vec::new()),
            }
        });
        let mut page = page.await?;
        for message in &mut page {
            let stage = std::mem::replace(&mut message.stage, Stage::Pending);
            message.stage = self.inner.office.stage_now(&message.id, stage);
        }
        Ok(page)
    }

    async fn mark_up_to(&self, peer: u64, row: u64) -> Result<(), MessengerError> {
        let store = &self.inner.office.store;
        if store.read(move |view| view.tally(peer)).await?.unread == 0 {
            return Ok(());
        }
        let now = unix_ms();
        while store.write(move |view| view.mark_shown(peer, row, now)).await? == CHUNK {}
        self.inner.delivery.call(peer, Call::Work);
        Ok(())
    }
}

/// Waits for something about `id`, or for having missed something. False: nothing more will come.
async fn next_about(events: &mut Receiver<Event>, id: MessageId) -> bool {
    loop {
        match events.recv().await {
            Ok(Event::StageChanged { id: about, .. }) if about == id => return true,
            // A key that changed, or was accepted, changes the stage of all that waits for it.
            Ok(Event::ContactHeld { .. }) | Err(RecvError::Lagged(_)) => return true,
            Ok(_) => {}
            Err(RecvError::Closed) => return false,
        }
    }
}
