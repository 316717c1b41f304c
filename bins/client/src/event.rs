//! What a client tells whoever runs it, besides messages.

use tokio::sync::broadcast;

/// Events kept for a slow listener; they are rare, and a lagging listener loses the oldest.
const CAPACITY: usize = 64;

/// Something that happened between this client and the managers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The session is over; the text says why. Messages still go to and come from people whose
    /// addresses are known, until the next login.
    SessionEnded {
        /// For the person.
        why: String,
    },
    /// No manager can be reached. Messages still go to and come from people whose addresses are
    /// known.
    ManagersAway {
        /// For the person.
        why: String,
    },
    /// A manager can be reached again.
    ManagersBack,
}

/// The sending side.
#[derive(Debug, Clone)]
pub(crate) struct Events(broadcast::Sender<ClientEvent>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    /// Nobody listening is no failure.
    pub(crate) fn send(&self, event: ClientEvent) {
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<ClientEvent> {
        self.0.subscribe()
    }
}
