//! Counters and gauges in Prometheus' text format.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ProposeError;
use crate::log_store::{LogStats, LogStore, SYNC_BUCKET_MICROS};
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
    leader_changes: AtomicU64,
    strangers: AtomicU64,
    bootstrap_rounds: AtomicU64,
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

/// Writes everything out.
pub(crate) fn expose(status: &Status, counters: &Counters, log: &dyn LogStore) -> String {
    let mut page = Page(String::with_capacity(6 << 10));
    expose_status(&mut page, status);
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
    page.single("rebuilds_total", "counter", "State machine rebuilds.", status.rebuilds);
    let purged = log.state().purged.map_or(0, |purged| purged.index);
    page.single("purged_index", "gauge", "Last entry the log has let go of.", purged);
    expose_log(&mut page, &log.stats());
    page.0
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

struct Page(String);

impl Page {
    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP raft_{name} {help}\n# TYPE raft_{name} {kind}");
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "raft_{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_log::MemoryLog;

    #[test]
    fn every_line_is_a_comment_or_a_name_with_a_number() {
        let status = Status {
            node_id: 1,
            cluster_id: [0; 16],
            role: Role::Leader,
            term: 3,
            leader: Some(1),
            committed: Position { term: 3, index: 9 },
            applied: Position::default(),
            last_log: Position::default(),
            snapshot: None,
            voters: Vec::new(),
            rebuilds: 2,
        };
        let counters = Counters::default();
        counters.proposal(&Ok(()));
        counters.proposal::<()>(&Err(ProposeError::Timeout));
        let mut page = Page(expose(&status, &counters, &MemoryLog::new()));
        let mut log = LogStats::default();
        log.sync_buckets[1] = 4;
        expose_log(&mut page, &log);
        let page = page.0;
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("raft_"), "{line}");
            value.parse::<f64>().unwrap();
        }
        assert!(page.contains("\nraft_commit_index 9\n"));
        assert!(page.contains("raft_proposals_total{outcome=\"applied\"} 1\n"));
        assert!(page.contains("raft_wal_sync_seconds_bucket{le=\"0.0002\"} 4\n"));
        assert!(page.contains("raft_wal_sync_seconds_bucket{le=\"+Inf\"} 4\n"));
    }
}
