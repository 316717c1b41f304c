use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use openraft::entry::RaftEntry as _;

use super::*;
use crate::engine::tests::kept;
use crate::engine::types::log_id;
use crate::engine::types::{LogEntry, Proposal};
use crate::engine::wire::wire_stored;
use crate::snapshot::file::SNAPSHOT_VERSION;
use crate::state_machine::{Entry, Image, OnDiskStateMachine, Records, RecordsFor};
use openraft::RaftSnapshotBuilder as _;
use telegraph_proto::raft as proto;

/// Time for anything to happen, on a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that says when its snapshot is begun, and goes on with it when told.
struct Slow {
    index: u64,
    begun: mpsc::Sender<()>,
    go_on: Option<mpsc::Receiver<()>>,
}

fn facts(index: u64) -> Facts {
    Facts { applied: Some(log_id(Position { term: 1, index })), ..Facts::default() }
}

impl OnDiskStateMachine for Slow {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(kept(&facts(self.index).records()))
    }

    fn apply(&mut self, _: &[Entry], _: RecordsFor<'_>) -> Result<Vec<Bytes>, MachineError> {
        Err(MachineError::new("nothing is applied here"))
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let (index, begun) = (self.index, self.begun.clone());
        let go_on = self.go_on.take().ok_or(MachineError::new("one snapshot is expected"))?;
        Ok(Box::new(move |to| {
            begun.send(()).map_err(MachineError::new)?;
            go_on.recv_timeout(PATIENCE).map_err(MachineError::new)?;
            Ok(to.write_all(&index.to_be_bytes())?)
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, _: &Records) -> Result<(), MachineError> {
        let mut index = [0; 8];
        from.read_exact(&mut index)?;
        self.index = u64::from_be_bytes(index);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        Ok(())
    }
}

fn directory() -> (tempfile::TempDir, SnapshotDir) {
    let keep = tempfile::tempdir().unwrap();
    let directory = SnapshotDir::open(&keep.path().join("snapshots")).unwrap();
    (keep, directory)
}

fn build(directory: &SnapshotDir, index: u64) -> SnapshotFile {
    let meta = proto::SnapshotMeta {
        id: format!("snapshot {index}"),
        last_applied: Some(proto::Position { term: 1, index }),
        membership: Some(wire_stored(&StoredMembership::default(), &BTreeSet::new())),
        version: SNAPSHOT_VERSION,
        ..proto::SnapshotMeta::default()
    };
    directory.build::<io::Error>(meta, |to| to.write_all(&index.to_be_bytes())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_built_while_a_newer_one_comes_in_leaves_that_alone() {
    let (_elsewhere, source) = directory();
    let received = build(&source, 200);
    let (_keep, snapshots) = directory();
    let (begun, has_begun) = mpsc::channel();
    let (let_go_on, go_on) = mpsc::channel();
    let machine = Machine::start(Slow { index: 100, begun, go_on: Some(go_on) }).unwrap();
    let mut applier = Applier::new(
        machine,
        None,
        snapshots.clone(),
        Served::default(),
        Held { facts: facts(100), ..Held::default() },
        Arc::new(Progress::new(u64::MAX)),
        Observer::default(),
    );
    let mut builder = applier.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(PATIENCE)).await.unwrap().unwrap();

    // The received one gets its name while the other is still being written.
    let meta = openraft_snapshot(received.clone()).unwrap().meta;
    let published = snapshots.path().join(received.path.file_name().unwrap());
    let release = async {
        let deadline = Instant::now() + PATIENCE;
        while !published.exists() {
            assert!(Instant::now() < deadline, "it is never published");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let_go_on.send(()).unwrap();
    };
    let (installed, ()) = tokio::join!(applier.install_snapshot(&meta, received), release);
    installed.unwrap();
    let built = building.await.unwrap().unwrap();

    assert_eq!(built.meta.last_log_id.map(|id| id.index), Some(100));
    let current = applier.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, meta);
    current.snapshot.verify().unwrap();
    assert_eq!(snapshots.newest().unwrap(), Some(current.snapshot));
    assert_eq!(applier.applied_state().await.unwrap().0, meta.last_log_id);
}

#[tokio::test]
async fn a_command_newer_than_the_program_stops_the_node_with_the_reason() {
    let (_keep, snapshots) = directory();
    let (begun, _) = mpsc::channel();
    let machine = Machine::start(Slow { index: 0, begun, go_on: None }).unwrap();
    let observer = Observer::default();
    let fault = observer.fault.clone();
    let progress = Arc::new(Progress::new(u64::MAX));
    let (held, served) = (Held::default(), Served::default());
    let applier = Applier::new(machine, None, snapshots, served, held, progress, observer);
    let command = proto::Command { version: 2, ..proto::Command::default() };
    let id = log_id(Position { term: 1, index: 4 });
    let entry = LogEntry::new(id, Payload::Normal(Proposal::new(&command)));
    let entries = futures_util::stream::iter([Ok((entry, None))]);
    assert!(applier.reading(1).apply(entries).await.is_err());
    let cause = fault.cause().unwrap().to_string();
    assert!(cause.contains("T1-I4") && cause.contains("version 2"), "{cause}");
}
