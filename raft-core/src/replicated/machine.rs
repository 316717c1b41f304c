//! The simple tier of what an application implements: a value in memory.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Undecodable};
use crate::position::Position;

/// A deterministic state machine (Raft paper §2) that is a value in memory: the same commands in
/// the same order leave equal states and give equal replies on every node, whatever its clock,
/// locale or hash seed.
///
/// What an implementor guarantees:
/// - `apply` depends on nothing but the state, the command and the context: no clock, no random
///   numbers, no files, no iteration over a `HashMap`. Whoever proposes decides such things and
///   puts them into the command;
/// - what cannot be done is refused in the reply; a panic stops the node, and the same command
///   stops every other one;
/// - [`VERSION`](StateMachine::VERSION) rises with every change of what commands or the state look
///   like as bytes, and with every change of what a command does.
///
/// What it costs: the state lives in memory, and is rebuilt at each start from the last snapshot
/// and the log behind it. While a snapshot is written the state is shared with it; the first
/// command meanwhile clones the state, and waits for that. So there may be two of it in memory for
/// a while, and a restored node needs room for the state and its bytes. A state that is large, or
/// that must be there at once after a restart, belongs on disk:
/// [`OnDiskStateMachine`](crate::OnDiskStateMachine).
pub trait StateMachine:
    Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What is proposed.
    type Command: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What comes back to whoever proposed it.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The newest version of commands and state that this build reads; at least 1. While a cluster
    /// is updated, member by member, commands of a version that some voter does not read yet are
    /// refused with [`ProposeError::HeldBack`](crate::ProposeError::HeldBack).
    ///
    /// A node that meets a newer one all the same stops with an error that says so, rather than go
    /// another way than nodes that understand it: also one that was away, and is sent the snapshot
    /// of a newer build.
    const VERSION: u32 = 1;

    /// Carries a command out. The context is the same on every node.
    fn apply(&mut self, command: Self::Command, context: &Context) -> Self::Reply;

    /// The least version that a member must read to understand this command; at least 1, at most
    /// [`VERSION`](StateMachine::VERSION), which it is unless an implementor says otherwise. Where
    /// variants are added at the end of an enum, one that was there before keeps its version, so
    /// that it is not held back while the cluster is updated.
    fn version_of(command: &Self::Command) -> u32 {
        let _ = command;
        Self::VERSION
    }

    /// Reads a command of some `version` up to [`VERSION`](StateMachine::VERSION). Bytes that it
    /// refuses change nothing, and whoever proposed them is told; all builds that know a version
    /// must agree on what they refuse.
    fn decode_command(version: u32, bytes: &[u8]) -> Result<Self::Command, Undecodable> {
        let _ = version;
        codec::decode(bytes)
    }

    /// Reads a state that was written by a build of some `version` up to
    /// [`VERSION`](StateMachine::VERSION). An error stops the node.
    fn decode_state(version: u32, bytes: &[u8]) -> Result<Self, Undecodable> {
        let _ = version;
        codec::decode(bytes)
    }
}

/// What a command may know of the moment it is applied: the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Where the command stands in the log: grows with every command, a source of unique numbers.
    pub position: Position,
    /// Log time in milliseconds since 1970: stamped by the leader with a time that a majority of
    /// the voters' clocks have reached, never running backwards, and never leaping more than an
    /// hour from one command to the next.
    pub time_unix_ms: u64,
    /// Version of the command's form, as it was proposed.
    pub version: u32,
}

impl Context {
    /// A moment, for trying a state machine out.
    #[must_use]
    pub fn new(position: Position, time_unix_ms: u64, version: u32) -> Context {
        Context { position, time_unix_ms, version }
    }
}
