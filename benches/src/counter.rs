//! A state machine that costs nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use bytes::Bytes;
use raft_core::{Entry, MachineError, StateMachine};

/// Counts commands, in memory: after a restart it is empty, and is rebuilt from snapshot and log.
#[derive(Debug, Default)]
pub struct Counter {
    count: u64,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Counter {
    fn keep(&mut self, records: &[(Vec<u8>, Vec<u8>)]) {
        self.records.extend(records.iter().cloned());
    }
}

impl StateMachine for Counter {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.records.clone().into_iter().collect())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Vec<Bytes>, MachineError> {
        self.count = self.count.saturating_add(entries.len() as u64);
        self.keep(records);
        Ok(vec![Bytes::new(); entries.len()])
    }

    fn snapshot(&mut self, to: &mut dyn Write) -> Result<(), MachineError> {
        Ok(to.write_all(&self.count.to_be_bytes())?)
    }

    fn restore(
        &mut self,
        from: &mut dyn Read,
        records: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), MachineError> {
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
