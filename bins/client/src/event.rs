//! What a client tells whoever runs it, besides messages.

use telegraph_proto::account::Username;
use tokio::sync::broadcast;

/// Events kept for a slow listener; they are rare, and a lagging listener loses the oldest.
const CAPACITY: usize = 64;

/// Something that happened between this client and the managers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The session is over; the text says why. Messages still go to and come from people whose
    /// addresses are known, until the next login; but not when it was replaced.
    SessionEnded {
        /// For the person.
        why: String,
        /// True when the person logged in on another device: this client has gone offline, so that
        /// messages go there.
        replaced: bool,
    },
    /// Somebody was met for the first time, and fewer managers than should be could be asked who
    /// it is. Those that were asked agree.
    FewCompared {
        /// Who was met.
        username: Username,
        /// Managers that were asked.
        compared: usize,
        /// Managers that should have been.
        wanted: usize,
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
