//! Everything of a node that runs: its tasks and its sockets, and how they end.
//!
//! A task that panics would leave a node that looks alive and does not do its part, hence it ends
//! the node with the panic as the reason. (A program that aborts on panics ends at once.)

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use thiserror::Error;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument as _, Span};

use crate::fault::Fault;
use crate::member::NodeId;

/// The tasks and sockets of a node; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    ended: CancellationToken,
    alive: TaskTracker,
    span: Span,
    fault: Fault,
    /// Told when a task has left its reason there.
    failed: CancellationToken,
}

/// What became of a task that the node cannot do without.
#[derive(Debug, Error)]
enum TaskFailed {
    #[error("a task of the node panicked: {0}")]
    Panicked(String),
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

impl Default for Life {
    fn default() -> Life {
        Life {
            ended: CancellationToken::default(),
            alive: TaskTracker::default(),
            span: Span::none(),
            fault: Fault::default(),
            failed: CancellationToken::default(),
        }
    }
}

impl Life {
    /// The life of one node; what its tasks log is marked with it, and why one failed is left in
    /// `fault`.
    pub(crate) fn of(node_id: NodeId, cluster_id: [u8; 16], fault: &Fault) -> Life {
        let span = tracing::info_span!("node", node_id, cluster_id = hex::encode(cluster_id));
        Life { span, fault: fault.clone(), ..Life::default() }
    }

    /// What marks the node in the log.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Runs a task that is dropped, wherever it waits, when the node ends. If it panics, the node
    /// ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.clone();
        self.spawn_aside(async move {
            // Nothing of the task is used afterwards.
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                life.fail(TaskFailed::Panicked(text(panic.as_ref())));
            }
        });
    }

    /// The same for a task that deals with one connection of whomever: if it panics, only that
    /// connection ends.
    pub(crate) fn spawn_aside(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        let task = async move {
            ended.run_until_cancelled_owned(task).await;
        };
        self.alive.spawn(task.instrument(self.span.clone()));
    }

    /// Runs `task`. The node ends if it panics, or ends before `until` is told.
    pub(crate) async fn last(
        self,
        what: &'static str,
        task: impl Future<Output = ()>,
        until: CancellationToken,
    ) {
        match AssertUnwindSafe(task).catch_unwind().await {
            Err(panic) => self.fail(TaskFailed::Panicked(text(panic.as_ref()))),
            Ok(()) if !until.is_cancelled() => self.fail(TaskFailed::Ended(what)),
            Ok(()) => {}
        }
    }

    /// Tells that a task has failed, and left its reason.
    pub(crate) fn failed(&self) -> &CancellationToken {
        &self.failed
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

    fn fail(&self, why: TaskFailed) {
        self.fault.record(Arc::new(why));
        self.failed.cancel();
    }
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let made = || panic.downcast_ref::<String>().cloned();
    fixed.or_else(made).unwrap_or_else(|| "without a word".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_a_task_logs_says_of_which_node_it_is() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _default = tracing::subscriber::set_default(subscriber);
        let life = Life::of(7, [0xab; 16], &Fault::default());
        life.spawn(async { tracing::info!("from a task") });
        life.alive.close();
        life.alive.wait().await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line = text.lines().find(|line| line.contains("from a task")).unwrap();
        assert!(line.contains("node_id=7") && line.contains("abababab"), "{line}");
    }

    #[tokio::test]
    async fn a_task_that_panics_fails_the_node_and_one_of_a_connection_does_not() {
        let fault = Fault::default();
        let life = Life::of(7, [0; 16], &fault);
        life.spawn_aside(async { panic!("of a stranger's connection") });
        life.spawn(async {});
        tokio::task::yield_now().await;
        assert!(!life.failed().is_cancelled());
        let number = 5;
        life.spawn(async move { panic!("number {number}") });
        life.failed().cancelled().await;
        assert_eq!(fault.cause().unwrap().to_string(), "a task of the node panicked: number 5");
        life.end().await;
    }

    #[tokio::test]
    async fn a_task_that_must_last_fails_the_node_when_it_ends_before_it_is_told() {
        let (life, until) = (Life::default(), CancellationToken::new());
        until.cancel();
        life.clone().last("in order", async {}, until).await;
        assert!(!life.failed().is_cancelled());
        life.clone().last("the service", async {}, CancellationToken::new()).await;
        assert!(life.failed().is_cancelled());
        assert_eq!(life.fault.cause().unwrap().to_string(), "the service ended by itself");
    }
}
