//! How a node ends: shut down, halted, or by a fault of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::StopReason;
use crate::event::Event;
use crate::fault::{Cause, Fault};
use crate::identity::DataDir;
use crate::life::Life;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::status::{Role, Status};

/// Time in which calls under way may end when a node is shut down. Appends from a leader never do:
/// their stream is cut.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// What a node is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// End in good order.
    Shutdown,
    /// End at once.
    Halt,
    /// End in good order: the node was removed from the cluster.
    Leave,
}

/// Everything that must be ended, in its order.
pub(crate) struct Ending {
    /// Consensus.
    pub(crate) engine: Engine,
    /// The state machine.
    pub(crate) machine: Machine,
    /// The log.
    pub(crate) log: Arc<dyn LogStore>,
    /// Tasks and sockets.
    pub(crate) life: Life,
    /// Asks the server to take no more calls.
    pub(crate) serving: CancellationToken,
    /// The server.
    pub(crate) server: JoinHandle<()>,
    /// Released last.
    pub(crate) directory: DataDir,
    /// Where a part that failed left its reason.
    pub(crate) fault: Fault,
    /// What the node says of itself.
    pub(crate) status: watch::Sender<Status>,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}

impl Ending {
    /// Keeps the status up to date until the node is to end, and ends it. When all handles of the
    /// node are dropped, which closes `orders`, it is halted.
    pub(crate) async fn wait(
        self,
        mut orders: mpsc::Receiver<Order>,
        ended: watch::Sender<Option<StopReason>>,
    ) {
        let reason = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Shutdown) => StopReason::Shutdown,
                Some(Order::Leave) => StopReason::Removed,
                Some(Order::Halt) | None => StopReason::Halted,
            },
            text = self.engine.observe(&self.status) => self.failed(text),
            () = self.life.failed().cancelled() => self.failed("a task failed".to_owned()),
        };
        let failure = match &reason {
            StopReason::Failed(cause) => {
                tracing::error!(%cause, "the node stops");
                Some(cause.to_string())
            }
            StopReason::Shutdown | StopReason::Halted | StopReason::Removed => None,
        };
        self.engine.observer().events.tell(Event::Stopping { failure });
        let status = self.status.clone();
        self.end(matches!(reason, StopReason::Shutdown | StopReason::Removed)).await;
        status.send_modify(|status| {
            status.role = Role::Stopped;
            status.leader = None;
        });
        ended.send_replace(Some(reason));
    }

    fn failed(&self, text: String) -> StopReason {
        StopReason::Failed(self.fault.cause().unwrap_or_else(|| unknown(text)))
    }

    async fn end(self, in_order: bool) {
        self.serving.cancel();
        let mut server = self.server;
        let mut served = false;
        if in_order {
            served = tokio::time::timeout(DRAIN_TIMEOUT, &mut server).await.is_ok();
        } else {
            self.log.abandon();
            self.life.ended().cancel();
        }
        self.engine.stop().await;
        self.machine.stop(!in_order).await;
        let log = Arc::clone(&self.log);
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        if in_order && !matches!(closed, Ok(Ok(()))) {
            tracing::error!("the log could not be closed in order");
        }
        if !served {
            server.abort();
            let _ = server.await;
        }
        self.life.end().await;
        drop(self.directory);
    }
}

fn unknown(text: String) -> Cause {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text))
}
