//! What a messenger tells whoever runs it.

use crate::message::{Message, MessageId, Stage};
use telegraph_proto::account::{AccountId, Username};
use tokio::sync::broadcast;

/// Events kept for a slow listener. One that falls further behind is told how many it missed
/// (`RecvError::Lagged`) and reads the history instead.
const CAPACITY: usize = 1024;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message came, once, and is durable here.
    Received(Message),
    /// A message of ours came further.
    StageChanged {
        /// Which one.
        id: MessageId,
        /// How far.
        stage: Stage,
    },
    /// The directory names another key for somebody than the one that was pinned. What waits for
    /// them is held until [`crate::Messenger::accept_new_key`].
    ContactHeld {
        /// Who.
        username: Username,
        /// The account behind the new key.
        new_account_id: AccountId,
    },
    /// Somebody who wrote first has a name now.
    ContactNamed {
        /// Who.
        account_id: AccountId,
        /// What they are called.
        username: Username,
    },
}

/// The sending side.
#[derive(Debug, Clone)]
pub(crate) struct Events(broadcast::Sender<Event>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    /// Nobody listening is no failure.
    pub(crate) fn send(&self, event: Event) {
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
