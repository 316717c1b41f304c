//! Committed entries on their way into the state machine, and snapshots that replace it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt as _};
use openraft::OptionalSend;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::engine::batch::{Decided, Undecided};
use crate::engine::builder::{Builder, blocking, failed, invalid, openraft_snapshot};
use crate::engine::facts::{Facts, Held};
use crate::engine::log::{Log, damaged};
use crate::engine::sessions::Sessions;
use crate::engine::skipped::Skipped;
use crate::engine::types::{
    LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, position,
};
use crate::engine::wire::{Misshapen, read_tombstones};
use crate::fault::Fault;
use crate::machine::Machine;
use crate::member::NodeId;
use crate::observer::Observer;
use crate::position::Position;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::file::SnapshotFile;
use crate::snapshot::served::Served;
use crate::state_machine::MachineError;

/// openraft's core with our state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, Applier>;

/// Entries applied in one transaction: enough to spread its cost, few enough that the first
/// caller does not wait long for the last.
const BATCH_ENTRIES: usize = 1024;

/// Bytes of commands applied in one transaction.
const BATCH_BYTES: usize = 4 << 20;

/// openraft's view of the state machine.
///
/// - An entry is applied only once it is durable in this node's own log.
/// - The machine's transaction carries the facts that belong to it.
pub(crate) struct Applier {
    machine: Machine,
    /// `None` only where there is no log to wait for.
    log: Option<Log>,
    snapshots: SnapshotDir,
    served: Served,
    held: Held,
    /// The highest version of a command that the machine reads.
    readable: u32,
    /// Share of its time in which a snapshot is written, in percent.
    snapshot_share_percent: u8,
    progress: Arc<Progress>,
    fault: Fault,
    observer: Observer,
}

/// What others want to know of the applier.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last entry applied.
    pub(crate) applied: watch::Sender<Option<Position>>,
    /// The last membership entry applied, and the ids that were removed up to it.
    pub(crate) removed: watch::Sender<(Option<LogId>, Arc<BTreeSet<NodeId>>)>,
    /// Told when enough bytes were applied to be worth a snapshot.
    pub(crate) snapshot_due: Notify,
    bytes_since_snapshot: AtomicU64,
    snapshot_after_bytes: u64,
    /// Log time of the last command applied; 0 before the first.
    log_time_unix_ms: AtomicU64,
    /// The highest version of a command applied.
    version: AtomicU32,
    /// Which of the log's commands were passed over, as far as that is known.
    skipped: Mutex<Skipped>,
}

impl Progress {
    /// Nothing applied yet; a snapshot is due after so many bytes of commands.
    pub(crate) fn new(snapshot_after_bytes: u64) -> Progress {
        Progress {
            applied: watch::Sender::new(None),
            removed: watch::Sender::default(),
            snapshot_due: Notify::new(),
            bytes_since_snapshot: AtomicU64::new(0),
            snapshot_after_bytes,
            log_time_unix_ms: AtomicU64::new(0),
            version: AtomicU32::new(0),
            skipped: Mutex::default(),
        }
    }

    /// Which of the log's commands were passed over; changed before `applied` is.
    pub(crate) fn skipped(&self) -> MutexGuard<'_, Skipped> {
        // Nothing panics between two changes that belong together.
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from a state that was there before.
    fn follow(&self, skipped: Skipped) {
        let mut ours = self.skipped();
        let before = ours.noted_after();
        *ours = skipped;
        ours.leap(before);
    }

    /// Log time as far as applied; 0 before the first command.
    pub(crate) fn log_time(&self) -> u64 {
        self.log_time_unix_ms.load(Ordering::Relaxed)
    }

    /// The highest version of a command applied; told before `applied` is.
    pub(crate) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    fn show(&self, facts: &Facts) {
        self.version.store(facts.version, Ordering::Release);
        self.log_time_unix_ms.store(facts.time_unix_ms, Ordering::Relaxed);
        let at = *facts.membership.log_id();
        self.removed.send_if_modified(|(last, removed)| {
            let changed = *last != at;
            if changed {
                (*last, *removed) = (at, Arc::new(facts.removed.clone()));
            }
            changed
        });
        self.applied.send_replace(facts.applied.map(position));
    }

    fn count(&self, bytes: u64) {
        let before = self.bytes_since_snapshot.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) >= self.snapshot_after_bytes {
            self.bytes_since_snapshot.store(0, Ordering::Relaxed);
            self.snapshot_due.notify_one();
        }
    }
}

/// Entries that are applied together.
struct Batch {
    decided: Decided,
    responders: Vec<Option<ApplyResponder<TypeConfig>>>,
    /// Of commands with their envelopes.
    bytes: usize,
    /// The entry that set the membership before them.
    membership: Option<LogId>,
}

impl Applier {
    /// Takes over a machine whose records are `held`, and what is served to others.
    pub(crate) fn new(
        machine: Machine,
        log: Option<Log>,
        snapshots: SnapshotDir,
        served: Served,
        mut held: Held,
        progress: Arc<Progress>,
        observer: Observer,
    ) -> Applier {
        let fault = observer.fault.clone();
        progress.follow(std::mem::take(&mut held.skipped));
        progress.show(&held.facts);
        Applier {
            machine,
            log,
            snapshots,
            served,
            held,
            readable: u32::MAX,
            snapshot_share_percent: 100,
            progress,
            fault,
            observer,
        }
    }

    /// Stops at commands of a version above `readable`.
    pub(crate) fn reading(self, readable: u32) -> Applier {
        Applier { readable, ..self }
    }

    /// Writes snapshots in that share of the time, in percent.
    pub(crate) fn writing_snapshots_in(self, snapshot_share_percent: u8) -> Applier {
        Applier { snapshot_share_percent, ..self }
    }

    fn next_batch(&self) -> Batch {
        Batch {
            decided: Decided::default(),
            responders: Vec::new(),
            bytes: 0,
            membership: *self.held.facts.membership.log_id(),
        }
    }

    /// Why the node stops at an entry.
    fn undecided(&self, why: Undecided) -> io::Error {
        match why {
            Undecided::Unreadable(error) => {
                self.fault.record(Arc::new(error));
                io::Error::other(error)
            }
            Undecided::Damaged(..) => {
                self.fault.record(Arc::new(why.clone()));
                damaged(Misshapen(why.to_string()))
            }
        }
    }

    async fn apply_batch(&mut self, batch: Batch) -> io::Result<()> {
        let Batch { mut decided, responders, bytes, membership } = batch;
        let (Some(last), false) = (self.held.facts.applied, responders.is_empty()) else {
            return Ok(());
        };
        if let Some(log) = &self.log {
            log.wait_durable(last.index).await?;
        }
        let facts = self.held.facts.records_since(membership);
        let changes = self.held.sessions.take_changes(std::mem::take(&mut decided.pending));
        let purged = self.log.as_ref().and_then(|log| log.store().state().purged);
        let skipped = std::mem::take(&mut decided.skipped);
        let step = self.progress.skipped().step(skipped, purged.map(|purged| purged.index));
        self.observer.meters.apply_entries.value(responders.len() as u64);
        let given = Instant::now();
        let applied = self.machine.run(move |machine| {
            let replies = machine.apply(&decided.entries, &|replies| {
                let mut records = facts.clone();
                changes.append_records(replies, &mut records);
                step.append_records(&mut records);
                records
            })?;
            match replies.len() == decided.entries.len() {
                true => Ok((decided, changes, step, replies)),
                false => Err(MachineError::new("it did not reply once to each entry")),
            }
        });
        let (decided, changes, step, replies) =
            applied.await?.map_err(|error| failed(&self.fault, error))?;
        self.observer.meters.apply.time(given.elapsed());
        self.held.sessions.keep(&changes, &replies);
        self.progress.skipped().keep(step);
        self.progress.show(&self.held.facts);
        self.progress.count(bytes as u64);
        for (responder, outcome) in responders.into_iter().zip(decided.outcomes(replies)) {
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let facts = &self.held.facts;
        Ok((facts.applied, facts.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        // The machine holds what was decided before: it stops with the first error, and what is
        // decided here and not applied is never used.
        let mut batch = self.next_batch();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            if let Payload::Normal(proposal) = &entry.payload {
                batch.bytes = batch.bytes.saturating_add(proposal.0.len());
            }
            let decided = batch.decided.add(entry, &mut self.held, self.readable);
            decided.map_err(|why| self.undecided(why))?;
            batch.responders.push(responder);
            if batch.responders.len() >= BATCH_ENTRIES || batch.bytes >= BATCH_BYTES {
                self.apply_batch(batch).await?;
                batch = self.next_batch();
            }
        }
        self.apply_batch(batch).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            machine: self.machine.clone(),
            snapshots: self.snapshots.clone(),
            served: self.served.clone(),
            share_percent: self.snapshot_share_percent,
            applied: self.progress.applied.subscribe(),
            fault: self.fault.clone(),
            observer: self.observer.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        let began = Instant::now();
        let snapshots = self.snapshots.clone();
        let file = blocking(move || snapshots.publish(snapshot)).await?;
        let facts = Facts {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
            removed: file.meta.membership.as_ref().map(read_tombstones).unwrap_or_default(),
            time_unix_ms: file.meta.time_unix_ms,
            // One written by a program that did not keep it says nothing.
            version: file.meta.command_version.max(self.held.facts.version),
        };
        let restored = restore(&self.machine, &file, facts).await?;
        self.held = restored.map_err(|error| failed(&self.fault, error))?;
        self.observer.snapshot_installed(file.upto(), file.meta.length, began.elapsed());
        self.served.replace(file);
        self.progress.follow(std::mem::take(&mut self.held.skipped));
        self.progress.show(&self.held.facts);
        let (snapshots, served) = (self.snapshots.clone(), self.served.clone());
        blocking(move || snapshots.retain_served(&served)).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let offered = self.served.offered(Instant::now());
        offered.map(openraft_snapshot).transpose().map_err(invalid)
    }
}

/// Replaces the machine's state by a snapshot's, with these facts and the snapshot's sessions as
/// its records, which it returns.
pub(crate) async fn restore(
    machine: &Machine,
    file: &SnapshotFile,
    facts: Facts,
) -> io::Result<Result<Held, MachineError>> {
    let file = file.clone();
    machine
        .run(move |machine| {
            file.verify()?;
            let mut body = file.body_from(0)?;
            let sessions = Sessions::load(&mut body, file.meta.session_bytes)?;
            let skipped = Skipped::after(facts.applied.map(position).unwrap_or_default());
            let held = Held { facts, sessions, skipped };
            machine.restore(&mut body, &held.records())?;
            Ok(held)
        })
        .await
}

/// The facts a snapshot brings along.
pub(crate) fn facts_of(file: &SnapshotFile) -> Result<Facts, Misshapen> {
    let snapshot = openraft_snapshot(file.clone())?;
    Ok(Facts {
        applied: snapshot.meta.last_log_id,
        membership: snapshot.meta.last_membership,
        removed: file.meta.membership.as_ref().map(read_tombstones).unwrap_or_default(),
        time_unix_ms: file.meta.time_unix_ms,
        version: file.meta.command_version,
    })
}

#[cfg(test)]
mod tests;
