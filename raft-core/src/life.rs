//! Everything of a node that runs: its tasks and its sockets, and how they end.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The tasks and sockets of a node; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    ended: CancellationToken,
    alive: TaskTracker,
}

impl Life {
    /// Runs a task that is dropped, wherever it waits, when the node ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.alive.spawn(async move {
            ended.run_until_cancelled_owned(task).await;
        });
    }

    /// Counts something as alive until the token is dropped.
    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.alive.token()
    }

    /// Tells the end.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Ends everything and waits until it is gone.
    pub(crate) async fn end(&self) {
        self.ended.cancel();
        self.alive.close();
        self.alive.wait().await;
    }
}
