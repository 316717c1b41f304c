//! Counters and gauges in Prometheus' text format.

mod latencies;
mod page;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::assembly::tally::Tally;
use crate::error::ProposeError;
use crate::log_store::{LogStats, SYNC_BUCKET_MICROS};
use crate::low_disk::LowDisk;
use crate::member::NodeId;
use crate::meters::Meters;
use crate::metrics::page::Page;
use crate::position::Position;
use crate::status::{Role, Status};

/// What a node counts besides what openraft and the log tell.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    applied: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    forwarded: AtomicU64,
    reads: AtomicU64,
    read_rounds: AtomicU64,
    leader_changes: AtomicU64,
    strangers: AtomicU64,
    bootstrap_rounds: AtomicU64,
    /// Decisions about who belongs to the cluster.
    pub(crate) assembly: Tally,
}

impl Counters {
    /// Counts a command by its outcome.
    pub(crate) fn proposal<T>(&self, outcome: &Result<T, ProposeError>) {
        let counter = match outcome {
            Ok(_) => &self.applied,
            Err(error) if error.may_have_happened() => &self.unknown,
            Err(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a command passed on to the leader.
    pub(crate) fn forward(&self) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a linearizable read.
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a round of confirmation that reads share.
    pub(crate) fn read_round(&self) {
        self.read_rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a new leader.
    pub(crate) fn leader_change(&self) {
        self.leader_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a round in which the others were asked whether to form the cluster.
    pub(crate) fn bootstrap_round(&self) {
        self.bootstrap_rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call refused for who makes it.
    pub(crate) fn stranger(&self) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is exposed.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    /// What the node says of itself.
    pub(crate) status: &'a Status,
    /// What is counted at its edges.
    pub(crate) counters: &'a Counters,
    /// What is measured within.
    pub(crate) meters: &'a Meters,
    /// The room of the disk, and what follows from it.
    pub(crate) low_disk: &'a LowDisk,
    /// The log's numbers.
    pub(crate) log: LogStats,
    /// Last entry the log has let go of.
    pub(crate) purged_index: u64,
    /// How far each other member has the log; empty unless this node leads.
    pub(crate) replicated: Vec<(NodeId, Option<Position>)>,
    /// Waiting room, its fill and its size.
    pub(crate) queues: Vec<(&'static str, u64, u64)>,
}

/// Writes everything out.
pub(crate) fn expose(shown: &Shown<'_>) -> String {
    let mut page = Page::new();
    page.head("build_info", "gauge", "1, for the version of the library.");
    page.line(concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
    expose_status(&mut page, shown.status);
    expose_counters(&mut page, shown.counters);
    page.single("rebuilds_total", "counter", "State machine rebuilds.", shown.status.rebuilds);
    let purged = shown.purged_index;
    page.single("purged_index", "gauge", "Last entry the log has let go of.", purged);
    expose_log(&mut page, &shown.log);
    latencies::expose(&mut page, shown.meters);
    latencies::expose_peers(&mut page, shown.meters);
    expose_disk(&mut page, shown);
    expose_lag(&mut page, shown);
    page.head("queue_depth", "gauge", "How much of a bounded queue is taken.");
    for (queue, depth, _) in &shown.queues {
        page.line(&format!("queue_depth{{queue=\"{queue}\"}}"), depth);
    }
    page.head("queue_capacity", "gauge", "How much a bounded queue takes.");
    for (queue, _, capacity) in &shown.queues {
        page.line(&format!("queue_capacity{{queue=\"{queue}\"}}"), capacity);
    }
    page.finish()
}

fn expose_counters(page: &mut Page, counters: &Counters) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.head("proposals_total", "counter", "Commands proposed through this node, by outcome.");
    for (outcome, counter) in [
        ("applied", &counters.applied),
        ("refused", &counters.refused),
        ("unknown", &counters.unknown),
    ] {
        page.line(&format!("proposals_total{{outcome=\"{outcome}\"}}"), count(counter));
    }
    for (name, help, counter) in [
        ("forwarded_proposals_total", "Commands passed on to the leader.", &counters.forwarded),
        ("reads_total", "Linearizable reads.", &counters.reads),
        ("read_rounds_total", "Confirmations that reads shared.", &counters.read_rounds),
        ("leader_changes_total", "Leaders this node has come to follow.", &counters.leader_changes),
        ("refused_callers_total", "Calls refused for who made them.", &counters.strangers),
        (
            "bootstrap_rounds_total",
            "Times all others were asked whether to form the cluster.",
            &counters.bootstrap_rounds,
        ),
    ] {
        page.single(name, "counter", help, count(counter));
    }
    page.head("assembly_decisions_total", "counter", "Decisions about who belongs, by kind.");
    for (kind, count) in counters.assembly.counts() {
        page.line(&format!("assembly_decisions_total{{kind=\"{kind}\"}}"), count);
    }
}

fn expose_disk(page: &mut Page, shown: &Shown<'_>) {
    let (low_disk, space) = (shown.low_disk, shown.low_disk.space());
    for (name, help, value) in [
        ("disk_free_bytes", "Free bytes of the data directory's file system.", space.free_bytes),
        ("disk_size_bytes", "Bytes of the data directory's file system.", space.total_bytes),
        ("low_disk", "1 while free bytes are below the water mark.", low_disk.is_low().into()),
        (
            "refuses_proposals",
            "1 while commands are refused here for want of room on disks.",
            low_disk.refuses().into(),
        ),
        (
            "slow_disk",
            "1 while appends take too long for the election timeout.",
            shown.meters.disk_slow.get(),
        ),
        (
            "wal_tail_cut_bytes",
            "Bytes of a torn write cut off the log at start.",
            shown.meters.tail_cut_bytes.get(),
        ),
    ] {
        page.single(name, "gauge", help, value);
    }
    let check = shown.meters.disk_check_nanos.get() as f64 / 1e9;
    let help = "What nine of ten small synced writes took at most at start; 0 if unchecked.";
    page.single("disk_check_seconds", "gauge", help, check);
}

fn expose_lag(page: &mut Page, shown: &Shown<'_>) {
    let help = "Entries of the leader's log a member is not known to have; on the leader only.";
    page.head("peer_lag_entries", "gauge", help);
    let last = shown.status.last_log.index;
    for (peer, has) in &shown.replicated {
        if *peer == shown.status.node_id {
            continue;
        }
        let lag = last.saturating_sub(has.map_or(0, |has| has.index));
        page.line(&format!("peer_lag_entries{{peer=\"{peer}\"}}"), lag);
    }
}

fn expose_status(page: &mut Page, status: &Status) {
    let index = |at: Option<Position>| at.map_or(0, |at| at.index);
    for (name, help, value) in [
        ("term", "Current term.", status.term),
        ("is_leader", "1 while this node leads.", u64::from(status.role == Role::Leader)),
        ("has_leader", "1 while a leader is known.", u64::from(status.leader.is_some())),
        ("commit_index", "Last entry known to be committed.", status.committed.index),
        ("applied_index", "Last entry the state machine contains.", status.applied.index),
        ("last_log_index", "Last entry of the log.", status.last_log.index),
        ("snapshot_index", "Last entry the newest snapshot contains.", index(status.snapshot)),
        ("voters", "Members with a vote.", status.voters.len() as u64),
    ] {
        page.single(name, "gauge", help, value);
    }
}

fn expose_log(page: &mut Page, log: &LogStats) {
    for (name, help, value) in [
        ("wal_appends_total", "Appends accepted by the log.", log.appends),
        ("wal_entries_total", "Entries accepted by the log.", log.entries),
        ("wal_groups_total", "Write groups made durable.", log.groups),
        ("wal_syncs_total", "Calls of fdatasync.", log.syncs),
        ("wal_written_bytes_total", "Bytes written to the log.", log.bytes_written),
        ("wal_disk_reads_total", "Entries read from disk, not cache.", log.disk_reads),
    ] {
        page.single(name, "counter", help, value);
    }
    for (name, help, value) in [
        ("wal_segments", "Files of the log.", log.segments),
        ("wal_disk_bytes", "Bytes of all files of the log.", log.disk_bytes),
        ("wal_cache_bytes", "Bytes of entries cached.", log.cache_bytes),
        ("wal_backlog_bytes", "Bytes not yet durable.", log.backlog_bytes),
    ] {
        page.single(name, "gauge", help, value);
    }
    page.head("wal_sync_seconds", "histogram", "Time to make a write group durable.");
    let mut below = 0_u64;
    let bounds = SYNC_BUCKET_MICROS.iter().map(|micros| format!("{}", *micros as f64 / 1e6));
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(log.sync_buckets) {
        below = below.saturating_add(count);
        page.line(&format!("wal_sync_seconds_bucket{{le=\"{bound}\"}}"), below);
    }
    page.line("wal_sync_seconds_sum", log.sync_time.as_secs_f64());
    page.line("wal_sync_seconds_count", below);
}

#[cfg(test)]
mod tests;
