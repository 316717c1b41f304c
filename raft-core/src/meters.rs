//! What the parts of a node measure, each on its own way and none waiting for another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::contact::Contacts;
use crate::error::ProposeError;
use crate::histogram::{ENTRIES, Histogram, LONG, STEP};
use crate::member::NodeId;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// The number is this now.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A call to another member that has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    /// Greeting.
    Hello,
    /// A vote, or whether it would be given.
    Vote,
    /// Appends.
    Append,
    /// A snapshot, and how much of it is there.
    Snapshot,
    /// Taking over.
    Transfer,
    /// A command passed on.
    Propose,
    /// A read index.
    ReadIndex,
}

impl Rpc {
    /// All of them, with the name each has in the metrics; in the order of their numbers.
    pub(crate) const ALL: [(Rpc, &'static str); 7] = [
        (Rpc::Hello, "hello"),
        (Rpc::Vote, "vote"),
        (Rpc::Append, "append"),
        (Rpc::Snapshot, "snapshot"),
        (Rpc::Transfer, "transfer_leader"),
        (Rpc::Propose, "propose"),
        (Rpc::ReadIndex, "read_index"),
    ];
}

/// What is measured on the way to one other member.
#[derive(Debug)]
pub(crate) struct PeerMeters {
    /// An append request was given to the connection, and the member has answered that it has the
    /// entries on disk.
    pub(crate) replicate: Histogram,
    /// Append requests under way.
    pub(crate) under_way: Gauge,
    /// Whether it answers.
    pub(crate) contacts: Contacts,
    /// True while its disk is low, as it said last.
    pub(crate) low_disk: AtomicBool,
}

/// What the parts of a node measure; shared by all of them.
#[derive(Debug)]
pub(crate) struct Meters {
    /// The engine asked the log to append, and the log accepted.
    pub(crate) append: Histogram,
    /// The engine asked the log to append, and it was durable here.
    pub(crate) append_durable: Histogram,
    /// A command was given to the engine, and a quorum has it.
    pub(crate) commit: Histogram,
    /// A batch was given to the state machine, and is applied.
    pub(crate) apply: Histogram,
    /// Entries of such a batch.
    pub(crate) apply_entries: Histogram,
    /// No leader was known, and one is.
    pub(crate) election: Histogram,
    /// A command was given to this node, and its reply is there.
    pub(crate) propose_applied: Histogram,
    /// ... or it certainly was not proposed.
    pub(crate) propose_refused: Histogram,
    /// ... or nobody knows.
    pub(crate) propose_unknown: Histogram,
    /// A linearizable read was asked for, and may read.
    pub(crate) read_confirmed: Histogram,
    /// ... or may not.
    pub(crate) read_failed: Histogram,
    /// Snapshots of the state machine: written.
    pub(crate) snapshot_build: Histogram,
    /// ... sent to a member that answered.
    pub(crate) snapshot_send: Histogram,
    /// ... received whole, and put in place of the state machine's state.
    pub(crate) snapshot_install: Histogram,
    /// Bytes of snapshots written.
    pub(crate) snapshot_built_bytes: Counter,
    /// Bytes of snapshots given to connections.
    pub(crate) snapshot_sent_bytes: Counter,
    /// Bytes of snapshots received.
    pub(crate) snapshot_received_bytes: Counter,
    /// Tries of a leader to send a snapshot for which there was no room here.
    pub(crate) snapshots_unroomed: Counter,
    /// Transfers to others that went on where an earlier one broke off.
    pub(crate) resumed_out: Counter,
    /// Transfers from others that did.
    pub(crate) resumed_in: Counter,
    /// Elections for which this node stood.
    pub(crate) candidacies: Counter,
    /// Terms this node has entered.
    pub(crate) terms: Counter,
    /// Nanoseconds that a slow append took when the disk was checked; 0 if it was not.
    pub(crate) disk_check_nanos: Gauge,
    /// 1 while appends are too slow for the timeouts.
    pub(crate) disk_slow: Gauge,
    /// Bytes of a torn tail that were cut off the log at start.
    pub(crate) tail_cut_bytes: Gauge,
    deadlines: [Counter; Rpc::ALL.len()],
    peers: Mutex<BTreeMap<NodeId, Arc<PeerMeters>>>,
}

impl Default for Meters {
    fn default() -> Meters {
        let (step, long) = (|| Histogram::new(&STEP), || Histogram::new(&LONG));
        Meters {
            append: step(),
            append_durable: step(),
            commit: step(),
            apply: step(),
            apply_entries: Histogram::new(&ENTRIES),
            election: step(),
            propose_applied: step(),
            propose_refused: step(),
            propose_unknown: step(),
            read_confirmed: step(),
            read_failed: step(),
            snapshot_build: long(),
            snapshot_send: long(),
            snapshot_install: long(),
            snapshot_built_bytes: Counter::default(),
            snapshot_sent_bytes: Counter::default(),
            snapshot_received_bytes: Counter::default(),
            snapshots_unroomed: Counter::default(),
            resumed_out: Counter::default(),
            resumed_in: Counter::default(),
            candidacies: Counter::default(),
            terms: Counter::default(),
            disk_check_nanos: Gauge::default(),
            disk_slow: Gauge::default(),
            tail_cut_bytes: Gauge::default(),
            deadlines: Default::default(),
            peers: Mutex::default(),
        }
    }
}

impl Meters {
    /// Measures a command by its outcome.
    pub(crate) fn proposal<T>(&self, outcome: &Result<T, ProposeError>, took: Duration) {
        let histogram = match outcome {
            Ok(_) => &self.propose_applied,
            Err(error) if error.may_have_happened() => &self.propose_unknown,
            Err(_) => &self.propose_refused,
        };
        histogram.time(took);
    }

    /// Measures a linearizable read.
    pub(crate) fn read(&self, confirmed: bool, took: Duration) {
        let histogram = if confirmed { &self.read_confirmed } else { &self.read_failed };
        histogram.time(took);
    }

    /// Counts a call that was given up at its deadline.
    pub(crate) fn deadline(&self, rpc: Rpc) {
        if let Some(counter) = self.deadlines.get(rpc as usize) {
            counter.one();
        }
    }

    /// How many calls were given up, by kind.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Rpc::ALL.iter().zip(&self.deadlines).map(|((_, name), counter)| (*name, counter.get()))
    }

    /// What is measured on the way to a member; the same at every call.
    pub(crate) fn peer(&self, id: NodeId) -> Arc<PeerMeters> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.entry(id).or_insert_with(|| {
            Arc::new(PeerMeters {
                replicate: Histogram::new(&STEP),
                under_way: Gauge::default(),
                contacts: Contacts::default(),
                low_disk: AtomicBool::new(false),
            })
        });
        Arc::clone(peer)
    }

    /// All members that were ever called, by number.
    pub(crate) fn peers(&self) -> Vec<(NodeId, Arc<PeerMeters>)> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.iter().map(|(id, peer)| (*id, Arc::clone(peer))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_call_has_its_place() {
        let meters = Meters::default();
        for (number, (rpc, name)) in Rpc::ALL.into_iter().enumerate() {
            assert_eq!(rpc as usize, number, "{name}");
            (0..=number).for_each(|_| meters.deadline(rpc));
        }
        let seen: Vec<u64> = meters.deadlines().map(|(_, count)| count).collect();
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_member_keeps_its_meters() {
        let meters = Meters::default();
        meters.peer(2).replicate.time(Duration::from_millis(1));
        meters.peer(3);
        meters.peer(2).replicate.time(Duration::from_millis(1));
        let seen: Vec<_> =
            meters.peers().iter().map(|(id, peer)| (*id, peer.replicate.read().count())).collect();
        assert_eq!(seen, [(2, 2), (3, 0)]);
    }
}
