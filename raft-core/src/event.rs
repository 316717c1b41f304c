//! What happens to a node and its cluster, as it happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::member::{Member, NodeId};
use crate::position::Position;
use crate::status::Role;

/// Events kept for a listener that is behind; one that falls further behind is told how many it
/// missed. Events are rare: leaders, members, snapshots, never single commands.
const KEPT: usize = 1024;

/// Something that happened. Every decision about the cluster is one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A leader is known.
    LeaderElected {
        /// Its term.
        term: u64,
        /// Who leads.
        leader: NodeId,
    },
    /// The leader is not heard of any more, or this node does not lead any more.
    LeaderLost {
        /// Its term.
        term: u64,
        /// Who led.
        leader: NodeId,
    },
    /// This node has entered a later term: somebody stands for election, or was elected.
    TermChanged {
        /// The term it is in now.
        term: u64,
    },
    /// This node plays another part.
    RoleChanged {
        /// The term it is in.
        term: u64,
        /// The part it plays now.
        role: Role,
    },
    /// Free bytes have fallen below the water mark: while this node leads, commands are refused.
    LowDiskEntered {
        /// Free bytes of the data directory's file system.
        free_bytes: u64,
        /// The mark.
        mark_bytes: u64,
    },
    /// There is room again.
    LowDiskLeft {
        /// Free bytes of the data directory's file system.
        free_bytes: u64,
    },
    /// Appends take so long to become durable that elections will be held for no other reason:
    /// found at start by a check of the disk, or while running by the appends themselves. A
    /// quicker disk helps, or longer timeouts: at start `election_timeout_min` should be ten times
    /// `append`, and `heartbeat_interval` no less than it; while running half of
    /// `election_timeout_min` was exceeded.
    DiskSlow {
        /// Time of a slow append: of nine in ten at start, and of 99 in 100 of the last seconds
        /// while running, none took longer.
        append: Duration,
        /// The shortest election timeout that is configured.
        election_timeout_min: Duration,
    },
    /// A crash had interrupted the last write to the log; its remains were cut off. Nothing in
    /// them was acknowledged.
    LogTailCut {
        /// Bytes cut off.
        bytes: u64,
    },
    /// The state machine did not fit the log, and was rebuilt from snapshot and log.
    MachineRebuilt,
    /// A snapshot of the state machine was written here.
    SnapshotBuilt {
        /// The last entry it contains.
        upto: Position,
        /// Its length.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// A snapshot was sent to a member, which has installed it.
    SnapshotSent {
        /// The member.
        to: NodeId,
        /// The last entry it contains.
        upto: Position,
        /// What was sent of it: less than its length when a transfer was resumed.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// A snapshot's transfer to or from a member goes on where an earlier one broke off.
    SnapshotResumed {
        /// The member at the other end.
        member: NodeId,
        /// What was there already.
        offset_bytes: u64,
    },
    /// A snapshot that a leader sent is in place of the state machine's state.
    SnapshotInstalled {
        /// The last entry it contains.
        upto: Position,
        /// Its length.
        bytes: u64,
        /// How long it took, its transfer not counted.
        took: Duration,
    },
    /// There is no room for a snapshot; it is tried again every few seconds. Until then the log
    /// keeps growing, or, where it was the leader's that was to be received, this node stays
    /// behind. Told once, until there is room.
    SnapshotDelayed,
    /// A member answers consensus' calls, for the first time or again.
    MemberConnected {
        /// The member.
        member: NodeId,
    },
    /// A member cannot be reached, or does not answer in time. Told when that begins, and of one
    /// member every few seconds at most.
    MemberUnreachable {
        /// The member.
        member: NodeId,
        /// What the last call said.
        why: String,
    },
    /// Calls are refused here for who makes them. Told every few seconds at most.
    CallerRefused {
        /// What is wrong with the caller.
        why: String,
    },
    /// This node stops.
    Stopping {
        /// What failed; `None` when it was asked to.
        failure: Option<String>,
    },
    /// A membership was committed.
    MembersChanged {
        /// Everybody with a vote, sorted by id.
        voters: Vec<Member>,
        /// Everybody without one, sorted by id.
        learners: Vec<Member>,
    },
    /// Another node refuses this one, or somebody else answers where it should: this node's data
    /// was wiped, copied or is another cluster's, or an address leads to the wrong node.
    Refused {
        /// Who was called.
        by: NodeId,
        /// What it said, in words.
        why: String,
    },
    /// This node was removed from the cluster, for ever; it stops.
    Removed,
    /// This node belongs to no cluster, and waits; told when the reason changes and every five
    /// seconds.
    Waiting {
        /// For what, and for whom.
        why: String,
    },
    /// This node has promised to form a cluster, and no other.
    Promised {
        /// Its id.
        cluster_id: [u8; 16],
        /// Who forms it, sorted by id.
        members: Vec<Member>,
    },
    /// All members have promised, and the cluster is formed.
    Formed {
        /// Its id.
        cluster_id: [u8; 16],
        /// Who forms it, sorted by id.
        members: Vec<Member>,
    },
    /// This node asks a cluster to take it in.
    Joining {
        /// Which.
        cluster_id: [u8; 16],
        /// `host:port` of the member that is asked.
        by: String,
    },
    /// The cluster has taken this node in.
    Joined {
        /// Which.
        cluster_id: [u8; 16],
    },
    /// This node belongs to no cluster, and goes on in no way until an operator has put something
    /// right. Told as [`Event::Waiting`] is.
    Blocked {
        /// What is wrong.
        why: String,
    },
    /// The leader, this node, has not taken a node in that asked for it. Told once for all its
    /// tries within five seconds.
    TurnedAway {
        /// Which.
        member: Member,
        /// Why.
        why: String,
    },
    /// The leader, this node, has taken a node in, without a vote at first.
    Admitted {
        /// Which.
        member: Member,
    },
    /// The leader, this node, has given a member a vote.
    Promoted {
        /// Which.
        member: Member,
    },
    /// The leader, this node, lets a member catch up that is to take the place of its former self.
    Replacing {
        /// The name of both.
        name: String,
        /// The former self, which is silent.
        old: NodeId,
        /// Who takes its place.
        new: NodeId,
    },
    /// The leader, this node, has given a member the place of its former self.
    Replaced {
        /// The name of both.
        name: String,
        /// Who left, and is refused for ever.
        old: NodeId,
        /// Who took its place.
        new: NodeId,
    },
}

/// Where events are told; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
    /// Keeps what is told before anybody can listen.
    first: Arc<Mutex<Option<broadcast::Receiver<Event>>>>,
}

impl Default for Events {
    fn default() -> Events {
        let (sender, first) = broadcast::channel(KEPT);
        Events { sender, first: Arc::new(Mutex::new(Some(first))) }
    }
}

impl Events {
    /// Tells whoever listens.
    pub(crate) fn tell(&self, event: Event) {
        tracing::info!(?event, "event");
        // Nobody listening is no error.
        let _ = self.sender.send(event);
    }

    /// Listens: the first time from the beginning, later from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.sender.subscribe())
    }
}
