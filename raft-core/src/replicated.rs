//! A running member of a cluster whose state machine is a value in memory.

pub(crate) mod adapter;
pub(crate) mod answer;
pub(crate) mod machine;
pub(crate) mod proposals;
pub(crate) mod verdict;

use std::fmt;
use std::time::Duration;

use crate::error::{BootstrapError, ReadError, StopReason};
use crate::node::Node;
use crate::position::Position;
use crate::read_level::ReadLevel;
use crate::replicated::adapter::Shared;
use crate::replicated::answer::Answer;
use crate::replicated::machine::StateMachine;
use crate::status::Status;

/// A running member of a cluster, with typed commands, replies and state; a handle that is cheap
/// to clone. When the last one is dropped the node halts.
///
/// [`NodeBuilder::start`](crate::NodeBuilder::start) makes one. What is not typed is done by the
/// [`node`](Replicated::node) underneath.
pub struct Replicated<M> {
    node: Node,
    state: Shared<M>,
}

impl<M: StateMachine> Replicated<M> {
    /// Takes over a node that runs this state.
    pub(crate) fn new(node: Node, state: Shared<M>) -> Replicated<M> {
        Replicated { node, state }
    }

    /// Forms the cluster, once, or finds it formed: [`Node::bootstrap`].
    pub async fn bootstrap(&self) -> Result<(), BootstrapError> {
        self.node.bootstrap().await
    }

    /// Reads the state, linearizably: it contains everything acknowledged anywhere before the call.
    /// Works on every member; needs a leader that a quorum confirms, within `limit`.
    ///
    /// Applying waits while `look` looks, and so does the calling thread while a command is being
    /// applied: take out what is needed, and work on it afterwards.
    pub async fn read<T>(
        &self,
        limit: Duration,
        look: impl FnOnce(&M) -> T,
    ) -> Result<Answer<T>, ReadError> {
        self.read_at(ReadLevel::Linearizable, limit, look).await
    }

    /// Reads the state once it is as new as `level` asks, within `limit`; otherwise as
    /// [`read`](Replicated::read).
    pub async fn read_at<T>(
        &self,
        level: ReadLevel,
        limit: Duration,
        look: impl FnOnce(&M) -> T,
    ) -> Result<Answer<T>, ReadError> {
        let position = self.node.read(level, limit).await?;
        self.look(position, look).await
    }

    /// Reads the state as it is here, asking nobody. It may be behind what others have
    /// acknowledged, without any bound while this node is cut off: [`ReadLevel::Stale`] has one.
    pub async fn read_local<T>(&self, look: impl FnOnce(&M) -> T) -> Result<Answer<T>, ReadError> {
        self.look(self.node.applied(), look).await
    }

    /// The node underneath: membership, events, metrics, snapshots and whatever is not typed.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What the node says of itself now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// Hands leadership over if it leads, flushes, and stops everything: [`Node::shutdown`].
    pub async fn shutdown(&self) -> Result<(), StopReason> {
        self.node.shutdown().await
    }

    async fn look<T>(
        &self,
        at_least: Position,
        look: impl FnOnce(&M) -> T,
    ) -> Result<Answer<T>, ReadError> {
        // Taken before the state is looked at: it contains this much, and perhaps more.
        let position = at_least.max(self.node.applied());
        match self.state.look(look) {
            Some(value) => Ok(Answer { position, value }),
            None => Err(self.node.stopped().await.into()),
        }
    }
}

impl<M> Clone for Replicated<M> {
    fn clone(&self) -> Replicated<M> {
        Replicated { node: self.node.clone(), state: self.state.clone() }
    }
}

impl<M> fmt::Debug for Replicated<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("node", &self.node).finish_non_exhaustive()
    }
}
