//! openraft's own conformance suite, on our log and our applier.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::disk::RealDisk;
use crate::engine::applier::{Applier, Progress};
use crate::engine::facts::Facts;
use crate::engine::log::Log;
use crate::engine::types::TypeConfig;
use crate::fault::Fault;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::memory_log::MemoryLog;
use crate::snapshot::directory::SnapshotDir;
use crate::state_machine::{Entry, MachineError, Records, StateMachine};
use crate::wal::Wal;
use crate::wal::config::WalConfig;

mod golden;

/// Remembers its records and how much was applied.
#[derive(Default)]
struct Counter {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    count: u64,
}

impl StateMachine for Counter {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.records.clone())
    }

    fn apply(&mut self, entries: &[Entry], records: &Records) -> Result<Vec<Bytes>, MachineError> {
        self.count += entries.len() as u64;
        self.records = records.to_vec();
        Ok(vec![Bytes::new(); entries.len()])
    }

    fn snapshot(&mut self, to: &mut dyn Write) -> Result<(), MachineError> {
        Ok(to.write_all(&self.count.to_be_bytes())?)
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        self.count = u64::from_be_bytes(count);
        self.records = records.to_vec();
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        *self = Counter::default();
        Ok(())
    }
}

/// Builds stores on the write-ahead log, or on its memory twin.
struct Builder {
    on_disk: bool,
}

impl StoreBuilder<TypeConfig, Log, Applier, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log, Applier), StorageError<TypeConfig>> {
        let keep = tempfile::tempdir().unwrap();
        let store: Arc<dyn LogStore> = if self.on_disk {
            // Segments so small that the suite crosses them.
            let config = WalConfig { segment_bytes: 4 << 10, ..WalConfig::default() };
            let path = keep.path().join("log");
            Arc::new(Wal::open(&path, Arc::new(RealDisk), config).unwrap().0)
        } else {
            Arc::new(MemoryLog::new())
        };
        let log = Log::new(store, 1 << 20);
        let applier = Applier::new(
            Machine::start(Counter::default()).unwrap(),
            // The suite applies entries that are in no log.
            None,
            SnapshotDir::open(&keep.path().join("snapshots")).unwrap(),
            None,
            Facts::default(),
            Arc::new(Progress::new(u64::MAX)),
            Fault::default(),
        );
        Ok((keep, log, applier))
    }
}

#[tokio::test]
async fn openrafts_suite_passes_on_the_write_ahead_log() {
    Suite::test_all(Builder { on_disk: true }).await.unwrap();
}

#[tokio::test]
async fn openrafts_suite_passes_on_the_memory_log() {
    Suite::test_all(Builder { on_disk: false }).await.unwrap();
}

#[tokio::test]
async fn a_failed_log_wakes_whoever_waits_for_it_to_be_durable() {
    let keep = tempfile::tempdir().unwrap();
    let (wal, _) = Wal::open(keep.path(), Arc::new(RealDisk), WalConfig::default()).unwrap();
    let wal = Arc::new(wal);
    let log = Log::new(wal.clone() as Arc<dyn LogStore>, 1 << 20);
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.wait_durable(5).await }
    });
    tokio::task::yield_now().await;
    wal.abandon();
    // The failure is told with the next change, which a halted node still makes or refuses.
    log.store().save_vote(Bytes::new(), log.unwatched());
    assert!(waiting.await.unwrap().is_err());
}
