//! What can go wrong, by what the caller can do about it.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::config::ConfigError;
use crate::member::{Member, NodeId};
use crate::state_machine::MachineError;

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// Another process, or another node of this process, owns the data directory.
    #[error("{} is in use by another node", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory is another node's, or another cluster's.
    #[error("{} belongs to {found}, not to {expected}", path.display())]
    Foreign {
        /// The data directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A file of the data directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the data directory is damaged, and acknowledged writes may be lost with it: give
    /// this node a copy, or replace it by a new one.
    #[error("damaged data: {0}")]
    Damaged(Box<dyn StdError + Send + Sync>),
    /// The credentials are unusable.
    #[error("TLS credentials: {0}")]
    Tls(String),
    /// The listening address cannot be had.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The state machine failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The consensus engine refused to start.
    #[error("consensus engine: {0}")]
    Engine(String),
}

/// Why a node does not run any more.
#[derive(Clone, Debug, Error)]
pub enum StopReason {
    /// It was asked to.
    #[error("the node was shut down")]
    Shutdown,
    /// It was halted.
    #[error("the node was halted")]
    Halted,
    /// A disk or state machine failed; what was acknowledged is safe on the other members.
    #[error("the node failed: {0}")]
    Failed(Arc<dyn StdError + Send + Sync>),
}

/// Why a cluster was not formed.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// This node belongs already to a cluster with other members.
    #[error("already a member of a cluster of {} voters", members.len())]
    OtherMembers {
        /// The voters of that cluster.
        members: Vec<Member>,
    },
    /// Another member refuses this node: usually because this node's data was wiped, or because
    /// the other one is configured for another cluster.
    #[error("node {by} refuses this node: {why}")]
    Refused {
        /// Who refuses.
        by: NodeId,
        /// What it says.
        why: String,
    },
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

/// Why a command was not, or perhaps not, applied.
#[derive(Debug, Error)]
pub enum ProposeError {
    /// Another node leads, or the term asked for is not led by this node: nothing was proposed.
    #[error("not the leader; the leader is {}", known(.leader))]
    NotLeader {
        /// The leader, as far as known.
        leader: Option<Member>,
    },
    /// The command is larger than an entry may be: nothing was proposed.
    #[error("a command of {bytes} bytes; at most {limit} are accepted")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many commands wait already: nothing was proposed.
    #[error("too many commands under way")]
    Overloaded,
    /// No leader appeared before the deadline: nothing was proposed.
    #[error("no leader was found in time")]
    NoLeader,
    /// The deadline passed, or the leader was lost, while the command was under way: it may still
    /// be applied, or never.
    #[error("the outcome is unknown")]
    Timeout,
    /// The node has stopped; `proposed` tells whether the command was under way by then.
    #[error("{reason}")]
    Stopped {
        /// Why.
        reason: StopReason,
        /// True when the command may still be applied.
        proposed: bool,
    },
}

impl ProposeError {
    /// True when the command may have been applied, or may yet be; false when it certainly was
    /// not, so that proposing it again is safe.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, ProposeError::Timeout | ProposeError::Stopped { proposed: true, .. })
    }
}

/// Why a linearizable read cannot be served.
#[derive(Debug, Error)]
pub enum ReadError {
    /// No leader appeared before the deadline.
    #[error("no leader was found in time")]
    NoLeader,
    /// The leader did not confirm itself, or this node did not catch up, before the deadline.
    #[error("the read was not confirmed in time")]
    Timeout,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

/// Why an operator's wish was not granted.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// This node does not lead.
    #[error("not the leader; the leader is {}", known(.leader))]
    NotLeader {
        /// The leader, as far as known.
        leader: Option<Member>,
    },
    /// There is nobody to hand over to, or nothing to snapshot.
    #[error("impossible: {0}")]
    Impossible(&'static str),
    /// It did not happen in time.
    #[error("it did not happen in time")]
    Timeout,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

/// What another member's call is refused for, or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Stranger {
    /// Another cluster.
    #[error("the caller belongs to another cluster")]
    Cluster,
    /// Called under a number that is not ours.
    #[error("the call is for node {wanted}, this is node {here}")]
    Addressee {
        /// Who was called.
        wanted: NodeId,
        /// Who answers.
        here: NodeId,
    },
    /// Our own number.
    #[error("the caller claims to be this node")]
    Myself,
    /// A number that is no member's.
    #[error("node {0} is not a member")]
    Unknown(NodeId),
    /// A member's number with another data directory.
    #[error(
        "node {0} has another incarnation than before: its data was wiped or cloned, \
         it must come back under a new id"
    )]
    Incarnation(NodeId),
    /// It takes us for one whose data directory is another.
    #[error("the caller knows this node under another incarnation: data was wiped or cloned")]
    MyIncarnation,
    /// Its incarnation could not be made durable.
    #[error("this node cannot remember the caller")]
    Unremembered,
    /// Something is missing or misshapen.
    #[error("the caller does not say who it is: {0}")]
    Anonymous(&'static str),
}

fn known(leader: &Option<Member>) -> String {
    leader.as_ref().map_or("unknown".into(), |member| format!("node {}", member.id))
}
