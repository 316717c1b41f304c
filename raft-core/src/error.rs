//! What can go wrong, by what the caller can do about it.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::config::ConfigError;
use crate::member::{Member, NodeId};
use crate::position::Position;
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
    /// The log contains commands that only a newer build of the application reads. Nothing is
    /// damaged: start that build.
    #[error("{0}")]
    TooNew(Arc<dyn StdError + Send + Sync>),
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
    /// It was removed from the cluster, for ever.
    #[error("the node was removed from the cluster")]
    Removed,
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
    /// Too many commands wait already, or there are too many sessions: the command was not applied
    /// and will not be.
    #[error("too many commands under way")]
    Overloaded,
    /// Voters that do not read the command's version hold it back: nothing was proposed. It is
    /// accepted once all of them run a program that does.
    #[error("commands of version {version} are held back by the members {by:?}")]
    HeldBack {
        /// The command's version.
        version: u32,
        /// Who does not read it, as far as known.
        by: Vec<NodeId>,
    },
    /// The session is not open: it was never opened, has expired, or gave way to others; `proposed`
    /// tells whether the command was under way by then, or by an earlier attempt.
    #[error("the session is not open")]
    SessionExpired {
        /// True when the command may have been applied before the session ended.
        proposed: bool,
    },
    /// The session has applied the command, or passed it over for good, and has no reply for it any
    /// more: its client had gone on to later commands, or the reply was longer than 2,048 bytes.
    #[error("the session has no reply to this command any more")]
    ReplyForgotten,
    /// The leader's disk, or those of too many voters, are below the water mark of
    /// [`Config::low_disk_bytes`](crate::Config::low_disk_bytes): nothing was proposed. Commands
    /// are accepted again by themselves when there is room.
    #[error("too little room on the leader's disk, or on those of too many voters")]
    LowDisk,
    /// No leader appeared, or none could be reached, before the deadline: nothing was proposed.
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
        match self {
            ProposeError::Timeout | ProposeError::ReplyForgotten => true,
            ProposeError::Stopped { proposed, .. } | ProposeError::SessionExpired { proposed } => {
                *proposed
            }
            ProposeError::NotLeader { .. }
            | ProposeError::TooLarge { .. }
            | ProposeError::Overloaded
            | ProposeError::LowDisk
            | ProposeError::HeldBack { .. }
            | ProposeError::NoLeader => false,
        }
    }
}

/// Why a read cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader appeared before the deadline.
    #[error("no leader was found in time")]
    NoLeader,
    /// The leader did not confirm itself, or this node did not catch up, before the deadline.
    #[error("the read was not confirmed in time")]
    Timeout,
    /// The state here may be older than the read allows, and could not be brought up to date
    /// before the deadline: ask another member, or allow a greater age.
    #[error("the state here may be older than the read allows")]
    TooOld {
        /// How old it may be now; `None` when nothing confirmed it since the node was started.
        age: Option<Duration>,
    },
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] StopReason),
}

/// Why a subscription cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// What comes next is not in this node's log any more; or its state machine was filled from a
    /// snapshot meanwhile, and does not tell which commands of before were applied. One that does
    /// not survive a restart is at every start, if there is a snapshot. Read the state itself, and
    /// begin anew from there, or from `resume_from` at the earliest.
    #[error("what comes next cannot be told any more; it goes on after {resume_from}")]
    Purged {
        /// The oldest position after which everything can be told.
        resume_from: Position,
    },
    /// The position to begin from is not in this log: it is another cluster's, or was never
    /// committed.
    #[error("{position} is not in this log")]
    OtherLog {
        /// The position.
        position: Position,
    },
    /// The log cannot be read there.
    #[error("the log cannot be read: {source}")]
    Unreadable {
        /// What the system said.
        source: io::Error,
    },
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
    /// We have called ourselves.
    #[error(
        "node {here} has called itself: the address under which it knows node {wanted} leads back \
         to it"
    )]
    Itself {
        /// Who was called.
        wanted: NodeId,
        /// Who called, and answers.
        here: NodeId,
    },
    /// Our own number.
    #[error("the caller claims to be this node")]
    Myself,
    /// A number that was a member's.
    #[error("node {0} was removed from the cluster, and is refused for ever")]
    Removed(NodeId),
    /// A number that is no member's.
    #[error("node {0} is not a member")]
    Unknown(NodeId),
    /// A member's number with another data directory.
    #[error(
        "node {0} has another incarnation than before: its data was wiped or cloned, \
         it must come back under a new id"
    )]
    Incarnation(NodeId),
    /// A member that was started again since, from the same data directory or a copy of it.
    #[error(
        "node {id} runs twice: its data directory was copied, or put back from a copy (start \
         {start} was met after start {last}); it must come back under a new id"
    )]
    Clone {
        /// Who.
        id: NodeId,
        /// The start that called, or answered.
        start: u64,
        /// The start met last.
        last: u64,
    },
    /// It takes us for one whose data directory is another.
    #[error("the caller knows this node under another incarnation: data was wiped or cloned")]
    MyIncarnation,
    /// It does not read what we would send it.
    #[error(
        "the other node reads entries and snapshots of formats {oldest} to {newest}, this one \
         sends format {sent}: one of the two runs a program too old or too new for the other"
    )]
    Formats {
        /// The oldest format it reads.
        oldest: u32,
        /// The newest format it reads.
        newest: u32,
        /// The format we send.
        sent: u32,
    },
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
