//! Committed entries on their way into the state machine, and its snapshots on their way out.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use telegraph_proto::raft as proto;
use tokio::sync::{Notify, watch};

use crate::engine::facts::Facts;
use crate::engine::log::Log;
use crate::engine::types::{
    LogEntry, LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, log_id,
    position,
};
use crate::engine::wire::{Misshapen, read_stored, wire_log_id, wire_stored};
use crate::fault::Fault;
use crate::machine::Machine;
use crate::position::Position;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::file::{SNAPSHOT_VERSION, SnapshotFile};
use crate::state_machine::{Entry, MachineError};

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
    current: CurrentSnapshot,
    facts: Facts,
    progress: Arc<Progress>,
    fault: Fault,
}

/// What others want to know of the applier.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last entry applied.
    pub(crate) applied: watch::Sender<Option<Position>>,
    /// Told when enough bytes were applied to be worth a snapshot.
    pub(crate) snapshot_due: Notify,
    bytes_since_snapshot: AtomicU64,
    snapshot_after_bytes: u64,
}

impl Progress {
    /// Nothing applied yet; a snapshot is due after so many bytes of commands.
    pub(crate) fn new(snapshot_after_bytes: u64) -> Progress {
        Progress {
            applied: watch::Sender::new(None),
            snapshot_due: Notify::new(),
            bytes_since_snapshot: AtomicU64::new(0),
            snapshot_after_bytes,
        }
    }

    fn count(&self, bytes: u64) {
        let before = self.bytes_since_snapshot.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) >= self.snapshot_after_bytes {
            self.bytes_since_snapshot.store(0, Ordering::Relaxed);
            self.snapshot_due.notify_one();
        }
    }
}

/// The snapshot that is served to others.
#[derive(Clone, Debug, Default)]
pub(crate) struct CurrentSnapshot(Arc<Mutex<Option<SnapshotFile>>>);

impl CurrentSnapshot {
    fn get(&self) -> Option<SnapshotFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over a newer snapshot. One that was built while a newer one was installed is not.
    fn set(&self, file: SnapshotFile) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |file: &SnapshotFile| file.meta.last_applied.map(|at| at.index);
        if current.as_ref().is_none_or(|current| at(current) <= at(&file)) {
            *current = Some(file);
        }
    }
}

#[derive(Default)]
struct Batch {
    entries: Vec<LogEntry>,
    responders: Vec<Option<ApplyResponder<TypeConfig>>>,
    bytes: usize,
}

impl Applier {
    /// Takes over a machine whose records are `facts`, and its newest snapshot.
    pub(crate) fn new(
        machine: Machine,
        log: Option<Log>,
        snapshots: SnapshotDir,
        newest: Option<SnapshotFile>,
        facts: Facts,
        progress: Arc<Progress>,
        fault: Fault,
    ) -> Applier {
        progress.applied.send_replace(facts.applied.map(position));
        let current = CurrentSnapshot(Arc::new(Mutex::new(newest)));
        Applier { machine, log, snapshots, current, facts, progress, fault }
    }

    async fn apply_batch(&mut self, batch: Batch) -> io::Result<()> {
        let Some(last) = batch.entries.last().map(|entry| entry.id) else { return Ok(()) };
        if let Some(log) = &self.log {
            log.wait_durable(last.index).await?;
        }
        let mut facts = self.facts.clone();
        let mut entries = Vec::with_capacity(batch.entries.len());
        let mut replied = Vec::with_capacity(batch.entries.len());
        for entry in batch.entries {
            assert!(
                facts.applied.is_none_or(|applied| entry.id.index > applied.index),
                "entries are applied in order and once"
            );
            facts.applied = Some(entry.id);
            replied.push(matches!(entry.payload, Payload::Normal(_)));
            match entry.payload {
                Payload::Blank => {}
                Payload::Membership(membership) => {
                    facts.membership = StoredMembership::new(Some(entry.id), membership);
                }
                Payload::Normal(proposal) => entries.push(Entry {
                    position: position(entry.id),
                    time_unix_ms: facts.advance_time(proposal.0.time_unix_ms),
                    version: proposal.0.version,
                    payload: proposal.0.payload,
                }),
            }
        }
        let records = facts.records();
        let count = entries.len();
        let replies = self.machine.run(move |machine| machine.apply(&entries, &records)).await?;
        let replies = replies
            .and_then(|replies| match replies.len() == count {
                true => Ok(replies),
                false => Err(MachineError::new("it did not reply once to each entry")),
            })
            .map_err(|error| failed(&self.fault, error))?;
        self.facts = facts;
        self.progress.applied.send_replace(Some(position(last)));
        self.progress.count(batch.bytes as u64);
        let mut replies = replies.into_iter();
        for (responder, has_reply) in batch.responders.into_iter().zip(replied) {
            let reply = if has_reply { replies.next().unwrap_or_default() } else { Bytes::new() };
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }
}

/// Remembers a machine's error as the reason of the node's end.
fn failed(fault: &Fault, error: MachineError) -> io::Error {
    let error = Arc::new(error);
    fault.record(error.clone());
    io::Error::other(error)
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.facts.applied, self.facts.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            if let Payload::Normal(proposal) = &entry.payload {
                batch.bytes = batch.bytes.saturating_add(proposal.0.payload.len());
            }
            batch.entries.push(entry);
            batch.responders.push(responder);
            if batch.entries.len() >= BATCH_ENTRIES || batch.bytes >= BATCH_BYTES {
                self.apply_batch(std::mem::take(&mut batch)).await?;
            }
        }
        self.apply_batch(batch).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            machine: self.machine.clone(),
            snapshots: self.snapshots.clone(),
            current: self.current.clone(),
            fault: self.fault.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        let snapshots = self.snapshots.clone();
        let file = blocking(move || snapshots.publish(snapshot)).await?;
        let facts = Facts {
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
            time_unix_ms: file.meta.time_unix_ms,
        };
        restore(&self.machine, &file, &facts).await?.map_err(|error| failed(&self.fault, error))?;
        self.current.set(file.clone());
        self.facts = facts;
        self.progress.applied.send_replace(self.facts.applied.map(position));
        let snapshots = self.snapshots.clone();
        blocking(move || snapshots.retain(&file)).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.current.get().map(openraft_snapshot).transpose().map_err(invalid)
    }
}

/// Replaces the machine's state by a snapshot's, with these facts as its records.
pub(crate) async fn restore(
    machine: &Machine,
    file: &SnapshotFile,
    facts: &Facts,
) -> io::Result<Result<(), MachineError>> {
    let file = file.clone();
    let records = facts.records();
    machine
        .run(move |machine| {
            file.verify()?;
            machine.restore(&mut file.body_from(0)?, &records)
        })
        .await
}

/// The facts a snapshot brings along.
pub(crate) fn facts_of(file: &SnapshotFile) -> Result<Facts, Misshapen> {
    let snapshot = openraft_snapshot(file.clone())?;
    Ok(Facts {
        applied: snapshot.meta.last_log_id,
        membership: snapshot.meta.last_membership,
        time_unix_ms: file.meta.time_unix_ms,
    })
}

/// A snapshot as openraft wants to see it.
pub(crate) fn openraft_snapshot(file: SnapshotFile) -> Result<Snapshot, Misshapen> {
    let last_log_id =
        file.meta.last_applied.map(|at| log_id(Position { term: at.term, index: at.index }));
    let last_membership = read_stored(file.meta.membership.clone())?;
    Ok(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot: file })
}

/// Builds one snapshot.
pub(crate) struct Builder {
    machine: Machine,
    snapshots: SnapshotDir,
    current: CurrentSnapshot,
    fault: Fault,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshots = self.snapshots.clone();
        // On the machine's thread, so that no entry is applied between its records and its state.
        let built = self.machine.run(move |machine| {
            let facts = Facts::read(&machine.records()?).map_err(MachineError::new)?;
            let mut suffix = [0; 8];
            getrandom::fill(&mut suffix).map_err(MachineError::new)?;
            let at = facts.applied.map(position).unwrap_or_default();
            let meta = proto::SnapshotMeta {
                id: format!("{at}-{}", hex::encode(suffix)),
                last_applied: facts.applied.map(wire_log_id),
                membership: Some(wire_stored(&facts.membership)),
                version: SNAPSHOT_VERSION,
                time_unix_ms: facts.time_unix_ms,
                ..proto::SnapshotMeta::default()
            };
            snapshots.build(meta, |to| machine.snapshot(to))
        });
        let file = built.await?.map_err(|error| failed(&self.fault, error))?;
        self.current.set(file.clone());
        let snapshots = self.snapshots.clone();
        // The one just built is not kept either, if a newer one was installed meanwhile.
        let kept = self.current.get().unwrap_or_else(|| file.clone());
        blocking(move || snapshots.retain(&kept)).await?;
        openraft_snapshot(file).map_err(invalid)
    }
}

fn invalid(error: Misshapen) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
