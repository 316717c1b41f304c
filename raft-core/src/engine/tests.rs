//! openraft's own conformance suite, on our log and our applier.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::disk::RealDisk;
use crate::engine::applier::{Applier, Progress};
use crate::engine::facts::Held;
use crate::engine::log::Log;
use crate::engine::types::TypeConfig;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::memory_log::MemoryLog;
use crate::observer::Observer;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::served::Served;
use crate::state_machine::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};
use crate::wal::Wal;
use crate::wal::config::WalConfig;

mod golden;

/// Remembers its records and how much was applied.
#[derive(Default)]
struct Counter {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    count: u64,
}

pub(super) fn kept(records: &Records) -> Vec<(Vec<u8>, Vec<u8>)> {
    records.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
}

impl OnDiskStateMachine for Counter {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.records.clone())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        self.count += entries.len() as u64;
        let replies = vec![Bytes::new(); entries.len()];
        self.records = kept(&records(&replies));
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let count = self.count;
        Ok(Box::new(move |to| Ok(to.write_all(&count.to_be_bytes())?)))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        self.count = u64::from_be_bytes(count);
        self.records = kept(records);
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
        let log = Log::new(store, 1 << 20, 1, &Arc::default());
        let applier = Applier::new(
            Machine::start(Counter::default()).unwrap(),
            // The suite applies entries that are in no log.
            None,
            SnapshotDir::open(&keep.path().join("snapshots")).unwrap(),
            Served::default(),
            Held::default(),
            Arc::new(Progress::new(u64::MAX)),
            Observer::default(),
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
    let log = Log::new(wal.clone() as Arc<dyn LogStore>, 1 << 20, 1, &Arc::default());
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
