//! A node's calls for those who wait until it has found its cluster, and for operators who help.

use crate::error::{BootstrapError, OperatorError, StopReason};
use crate::node::Node;
use crate::status::{Role, Status};

impl Node {
    /// Makes this node, which belongs to no cluster, forget what it has promised to form and which
    /// cluster it has seen, so that it can promise something else; true if there was either. A
    /// node that belongs to a cluster forgets nothing.
    ///
    /// A promise is in the way for ever when one of those who were to form the cluster lost its
    /// data before it had promised, too ([`Event::Blocked`](crate::Event::Blocked) says so). Before
    /// you release it **make sure that no node has formed that cluster**, and release it on all of
    /// the nodes: one that still has promised can form the cluster with whoever it believes has
    /// promised as well, beside the one that the others form then.
    ///
    /// A cluster that was seen is waited for, for ever ([`Event::Waiting`](crate::Event::Waiting)
    /// says so), and no other one is joined or formed. Release it only when **no member of that
    /// cluster will ever come back**, on all of the nodes that wait for it: otherwise there are two
    /// clusters when it does.
    ///
    /// Fails when the node was told its members, and when the disk does.
    pub async fn release_promise(&self) -> Result<bool, OperatorError> {
        let Some(gathering) = self.running.gathering.clone() else {
            return Err(OperatorError::Impossible("this node was told its members"));
        };
        let released = tokio::task::spawn_blocking(move || gathering.promises.release()).await;
        match released {
            Ok(Ok(released)) => Ok(released),
            Ok(Err(error)) => {
                tracing::error!(%error, "the promise cannot be removed");
                Err(OperatorError::Impossible("the promise cannot be removed from the disk"))
            }
            Err(_) => Err(StopReason::Halted.into()),
        }
    }

    /// Waits until this node, which finds its cluster itself, is a member of it.
    pub(super) async fn assembled(&self) -> Result<(), BootstrapError> {
        let mut status = self.watch_status();
        let there = |status: &Status| status.role == Role::Stopped || !status.voters.is_empty();
        match status.wait_for(there).await {
            Ok(status) if status.role != Role::Stopped => Ok(()),
            _ => Err(self.reason().into()),
        }
    }
}
