//! Snapshots on their way out of the state machine.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::RaftSnapshotBuilder;
use telegraph_proto::raft as proto;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::engine::facts::Held;
use crate::engine::types::{Snapshot, SnapshotMeta, TypeConfig, log_id, position};
use crate::engine::wire::{Misshapen, read_stored, wire_log_id, wire_stored};
use crate::event::Event;
use crate::fault::Fault;
use crate::machine::Machine;
use crate::observer::Observer;
use crate::position::Position;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::file::{SNAPSHOT_VERSION, SnapshotFile};
use crate::snapshot::incoming::is_full;
use crate::snapshot::pace::Paced;
use crate::snapshot::served::Served;
use crate::state_machine::MachineError;

/// Pause before a snapshot for which there was no room is tried again.
const FULL_PAUSE: Duration = Duration::from_secs(5);

/// Builds one snapshot.
pub(crate) struct Builder {
    pub(super) machine: Machine,
    pub(super) snapshots: SnapshotDir,
    pub(super) served: Served,
    /// Share of its time in which it works while commands are applied, in percent.
    pub(super) share_percent: u8,
    pub(super) applied: watch::Receiver<Option<Position>>,
    pub(super) fault: Fault,
    pub(super) observer: Observer,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let mut delayed = false;
        loop {
            match self.build().await {
                Err(error) if is_full(&error) => {
                    // The node goes on without it; a machine that has stopped ends this.
                    if !std::mem::replace(&mut delayed, true) {
                        self.observer.events.tell(Event::SnapshotDelayed);
                    }
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                built => return built,
            }
        }
    }
}

impl Builder {
    async fn build(&self) -> io::Result<Snapshot> {
        let began = Instant::now();
        // On the machine's thread, so that no entry is applied between its records and its state.
        let captured = self.machine.run(|machine| Ok((machine.records()?, machine.snapshot()?)));
        let (records, image) = captured.await?.map_err(|error| failed(&self.fault, error))?;
        // There may be many sessions, and entries wait for that thread.
        let held = blocking(move || Ok(Held::read(&records))).await?;
        let Held { facts, sessions, .. } =
            held.map_err(|error| failed(&self.fault, MachineError::new(error)))?;
        let at = facts.applied.map(position).unwrap_or_default();
        let meta = proto::SnapshotMeta {
            id: self.snapshots.new_id(at)?,
            last_applied: facts.applied.map(wire_log_id),
            membership: Some(wire_stored(&facts.membership, &facts.removed)),
            version: SNAPSHOT_VERSION,
            time_unix_ms: facts.time_unix_ms,
            session_bytes: sessions.encoded_len(),
            command_version: facts.version,
            ..proto::SnapshotMeta::default()
        };
        let snapshots = self.snapshots.clone();
        let (share_percent, applied) = (self.share_percent, self.applied.clone());
        let body = move |to: &mut dyn io::Write| {
            let mut to = Paced::new(to, share_percent, applied);
            sessions.write(&mut to)?;
            image(&mut to)
        };
        let written = blocking(move || Ok(snapshots.build(meta, body))).await?;
        let file = written.map_err(|error| match root_kind(&error) {
            Some(kind) if is_full(&kind.into()) => kind.into(),
            _ => failed(&self.fault, error),
        })?;
        self.observer.snapshot_built(file.upto(), file.meta.length, began.elapsed());
        // The one just built is not kept, if a newer one was installed meanwhile.
        self.served.add(file.clone());
        let (snapshots, served) = (self.snapshots.clone(), self.served.clone());
        blocking(move || snapshots.retain_served(&served)).await?;
        openraft_snapshot(file).map_err(invalid)
    }
}

/// What kind of I/O error is behind a machine's error, if one is.
fn root_kind(error: &MachineError) -> Option<io::ErrorKind> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<io::Error>().map(io::Error::kind)
}

/// A snapshot on disk that makes no sense.
pub(super) fn invalid(error: Misshapen) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Works where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A snapshot as openraft wants to see it.
pub(crate) fn openraft_snapshot(file: SnapshotFile) -> Result<Snapshot, Misshapen> {
    let last_log_id =
        file.meta.last_applied.map(|at| log_id(Position { term: at.term, index: at.index }));
    let last_membership = read_stored(file.meta.membership.clone())?;
    Ok(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot: file })
}

/// Remembers a machine's error as the reason of the node's end.
pub(super) fn failed(fault: &Fault, error: MachineError) -> io::Error {
    let error = Arc::new(error);
    fault.record(error.clone());
    io::Error::other(error)
}
