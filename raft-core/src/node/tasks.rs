//! The tasks that watch a node, and act on what they see.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::event::Event;
use crate::life::Life;
use crate::metrics::Counters;
use crate::node::disk_start;
use crate::node::disk_watch::DiskWatch;
use crate::node::watching::Watcher;
use crate::observer::Observer;
use crate::status::Status;

/// Starts the tasks that watch the node.
pub(crate) fn keep_watch(
    config: &Config,
    engine: &Engine,
    disk: Arc<dyn Disk>,
    observer: &Observer,
    counters: &Arc<Counters>,
    status: &watch::Receiver<Status>,
    life: &Life,
) {
    if engine.rebuilds() > 0 {
        observer.events.tell(Event::MachineRebuilt);
    }
    watch_snapshots(engine, life);
    let (handing_over, patience) = (engine.clone(), config.election_timeout_max);
    life.spawn(async move { handing_over.see_handing_over_through(patience).await });
    let first = status.borrow().clone();
    let watcher = Watcher::new(first, Arc::clone(counters), observer.clone());
    life.spawn(watcher.run(status.clone()));
    let watch = DiskWatch {
        disk,
        dir: config.data_dir.clone(),
        marks: disk_start::marks(config),
        engine: engine.clone(),
        status: status.clone(),
        observer: observer.clone(),
        election_min: config.election_timeout_min,
        life: life.clone(),
    };
    life.spawn(watch.run());
}

/// Writes snapshots when they are due, and lets go of the log before them.
fn watch_snapshots(engine: &Engine, life: &Life) {
    let compacting = engine.clone();
    life.spawn(async move { compacting.compact().await });
    let engine = engine.clone();
    life.spawn(async move {
        loop {
            engine.snapshot_due().await;
            if !engine.want_snapshot().await {
                return;
            }
        }
    });
}
