//! What a node says of itself.

use crate::member::{Member, NodeId};
use crate::position::Position;

/// The part a node plays now (Raft paper §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Orders the log.
    Leader,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Follows without a vote, or belongs to no cluster yet.
    Learner,
    /// Takes no part any more.
    Stopped,
}

/// A node's view of itself and its cluster; the view of others may be newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node_id: NodeId,
    /// The cluster it belongs to; all zeros while it has not found one yet.
    pub cluster_id: [u8; 16],
    /// The part it plays.
    pub role: Role,
    /// Its current term; 0 before the first election.
    pub term: u64,
    /// The leader it knows of; itself when it leads.
    pub leader: Option<NodeId>,
    /// The last entry it knows to be committed.
    pub committed: Position,
    /// The last entry its state machine contains.
    pub applied: Position,
    /// The last entry of its log.
    pub last_log: Position,
    /// The last entry its newest snapshot contains.
    pub snapshot: Option<Position>,
    /// Everybody with a vote, sorted by id; empty before bootstrap.
    pub voters: Vec<Member>,
    /// How often this process had to rebuild the state machine from snapshot and log.
    pub rebuilds: u64,
}
