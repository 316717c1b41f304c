use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::state_machine::{Records, StateMachine};

/// Time for anything to happen, on a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that says when its snapshot is begun, and goes on with it when told.
struct Slow {
    index: u64,
    begun: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
}

fn facts(index: u64) -> Facts {
    Facts { applied: Some(log_id(Position { term: 1, index })), ..Facts::default() }
}

impl StateMachine for Slow {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(facts(self.index).records())
    }

    fn apply(&mut self, _: &[Entry], _: &Records) -> Result<Vec<Bytes>, MachineError> {
        Err(MachineError::new("nothing is applied here"))
    }

    fn snapshot(&mut self, to: &mut dyn Write) -> Result<(), MachineError> {
        self.begun.send(()).map_err(MachineError::new)?;
        self.go_on.recv_timeout(PATIENCE).map_err(MachineError::new)?;
        Ok(to.write_all(&self.index.to_be_bytes())?)
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
        membership: Some(wire_stored(&StoredMembership::default())),
        version: SNAPSHOT_VERSION,
        ..proto::SnapshotMeta::default()
    };
    directory.build::<io::Error>(meta, |to| to.write_all(&index.to_be_bytes())).unwrap()
}

#[test]
fn the_snapshot_that_is_served_never_gives_way_to_an_older_one() {
    let (_keep, directory) = directory();
    let [older, newer] = [100, 200].map(|index| build(&directory, index));
    let current = CurrentSnapshot::default();
    current.set(older.clone());
    assert_eq!(current.get(), Some(older.clone()));
    current.set(newer.clone());
    current.set(older);
    assert_eq!(current.get(), Some(newer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_built_while_a_newer_one_comes_in_leaves_that_alone() {
    let (_elsewhere, source) = directory();
    let received = build(&source, 200);
    let (_keep, snapshots) = directory();
    let (begun, has_begun) = mpsc::channel();
    let (let_go_on, go_on) = mpsc::channel();
    let machine = Machine::start(Slow { index: 100, begun, go_on }).unwrap();
    let mut applier = Applier::new(
        machine,
        None,
        snapshots.clone(),
        None,
        facts(100),
        Arc::new(Progress::new(u64::MAX)),
        Fault::default(),
    );
    let mut builder = applier.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(PATIENCE)).await.unwrap().unwrap();

    // The received one gets its name, and is restored from once the build is done.
    let meta = openraft_snapshot(received.clone()).unwrap().meta;
    let published = snapshots.path().join(received.path.file_name().unwrap());
    let release = async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !published.exists() {
            assert!(tokio::time::Instant::now() < deadline, "it is never published");
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
