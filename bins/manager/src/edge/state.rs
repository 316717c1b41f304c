//! What requests share.

use crate::api::Api;
use crate::metrics::Metrics;
use raft_core::Member;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What requests share: a handle that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Edge(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) metrics: Arc<Metrics>,
    /// One permit per request under way, health and metrics aside.
    pub(crate) admission: Semaphore,
    /// Time for a whole request.
    pub(crate) request_timeout: Duration,
    /// Requests and connections that a shutdown waits for.
    pub(crate) tracker: TaskTracker,
    /// The configured members: what is told of the cluster before it is formed.
    pub(crate) members: Vec<Member>,
    /// The OpenAPI document. It is handed in, as it is made of the table that names the handler
    /// which shows it.
    pub(crate) document: Value,
    stopping: AtomicBool,
}

impl std::ops::Deref for Edge {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Edge {
    pub(crate) fn new(
        api: Api,
        max_requests: usize,
        tracker: TaskTracker,
        members: Vec<Member>,
        document: Value,
    ) -> Self {
        let metrics = Arc::clone(&api.metrics);
        let admission = Semaphore::new(max_requests);
        // A body, a password, and consensus as often as the longest action needs it.
        let request_timeout = Duration::from_secs(15) + api.deadline * 5;
        let stopping = AtomicBool::new(false);
        Self(Arc::new(Shared {
            api,
            metrics,
            admission,
            request_timeout,
            tracker,
            members,
            document,
            stopping,
        }))
    }

    /// From now on `/readyz` sends clients elsewhere.
    pub(crate) fn begin_to_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
