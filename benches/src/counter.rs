//! A state machine that costs nothing.

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use raft_core::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};

/// Counts commands, in memory: after a restart it is empty, and is rebuilt from snapshot and log.
#[derive(Debug, Default)]
pub struct Counter {
    count: u64,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Counter {
    fn keep(&mut self, records: &Records) {
        for (key, value) in records {
            match value {
                Some(value) => drop(self.records.insert(key.clone(), value.clone())),
                None => drop(self.records.remove(key)),
            }
        }
    }
}

impl OnDiskStateMachine for Counter {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.records.clone().into_iter().collect())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        self.count = self.count.saturating_add(entries.len() as u64);
        let replies = vec![Bytes::new(); entries.len()];
        self.keep(&records(&replies));
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
        self.records.clear();
        self.keep(records);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        *self = Counter::default();
        Ok(())
    }
}
