//! How new a read must be.

use std::time::Duration;

use crate::position::Position;

/// How new what is read must be.
///
/// None of the levels rests on a leader's lease, that is, on the clocks of two machines running at
/// the same rate. All of them work on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadLevel {
    /// Linearizable: everything that was acknowledged to anybody, anywhere, before the call (Raft
    /// dissertation §6.4). Needs a leader that a quorum confirms after the call began; all readers
    /// of a node that wait at the same time share one confirmation.
    Linearizable,
    /// The entry at this position, and all before it: what somebody saw who was given the position
    /// in a reply, by whichever node, is seen again. Needs no leader once this node has the entry.
    AtLeast(Position),
    /// Everything that was acknowledged to anybody, anywhere, earlier than `max_age` before the
    /// call returns.
    ///
    /// A node knows that its state is no older because of a confirmation, as for a linearizable
    /// read, that it *began to ask for* less than `max_age` ago, and up to which it has applied. It
    /// asks anew when the last one is too old, and ahead of that while such reads go on; so that
    /// most of them wait for nothing. It does not count as news that a leader was heard of: one
    /// that was deposed may still speak to a node that is cut off together with it.
    ///
    /// The time is measured on this node's monotonic clock alone. Where that stands still, while a
    /// machine is suspended, time passes that nobody counts. Zero is [`ReadLevel::Linearizable`].
    Stale {
        /// The greatest age.
        max_age: Duration,
    },
}
