//! Discovery as the managers' client uses it: stage by stage, and again when all stages are spent.

use raft_core_discovery::{Discovery, Stages};
use tokio::sync::Mutex;

/// A search that starts over once it has run dry: names may lead elsewhere by then.
pub(crate) struct Search {
    discovery: Discovery,
    stages: Mutex<Option<Stages>>,
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("discovery", &self.discovery).finish_non_exhaustive()
    }
}

impl Search {
    pub(crate) fn new(discovery: Discovery) -> Self {
        Self { discovery, stages: Mutex::new(None) }
    }

    /// Addresses of the next stage that has any; none when the last was run, after which the next
    /// call begins at the first again.
    pub(crate) async fn next(&self) -> Vec<String> {
        let mut stages = self.stages.lock().await;
        let running = stages.get_or_insert_with(|| self.discovery.stages());
        let found = running.next().await;
        if found.is_none() {
            *stages = None;
        }
        found.unwrap_or_default().into_iter().map(|candidate| candidate.address).collect()
    }

    /// Keeps what worked for the next start; a failure costs only speed then.
    pub(crate) async fn remember(&self, addresses: Vec<String>) {
        if let Err(error) = self.discovery.remember(&addresses).await {
            tracing::warn!(%error, "the managers' addresses were not kept");
        }
    }
}
