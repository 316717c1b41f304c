//! Why the engine did not do what it was asked to.

use crate::engine::outcome::Denial;
use crate::member::NodeId;

/// Why this node did not do what only a leader does. Nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unled {
    /// Another one leads, or nobody.
    NotLeader(Option<NodeId>),
    /// We lead, as far as we know, but cannot act on it now: a quorum has not been heard of
    /// lately, or leadership is being handed over.
    NotNow,
}

/// Why a proposal has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unproposed {
    /// Not proposed.
    Unled(Unled),
    /// Proposed, and overtaken by another leader: whether it will be applied is unknown.
    Unknown,
    /// The engine has stopped; true if it was proposed before.
    Stopped(bool),
    /// Proposed, and not applied: its session does not allow it.
    Refused(Denial),
}

/// Why a cluster was not formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unformed {
    /// There is one already, or one is being formed.
    Exists,
    /// The engine has stopped.
    Stopped,
}
