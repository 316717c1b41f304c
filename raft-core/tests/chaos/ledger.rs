//! A state machine that counts commands and remembers them with their places, and the same as a
//! specification.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft_core::testing::Model;
use raft_core::{
    Entry, Image, MachineError, NodeId, OnDiskStateMachine, Position, Records, RecordsFor,
};

/// What all members' machines hold; it outlives them, as their disks would.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledgers(Arc<Mutex<BTreeMap<NodeId, Held>>>);

#[derive(Clone, Debug, Default)]
struct Held {
    commands: Vec<(Position, Bytes)>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    times: Vec<u64>,
}

/// One member's machine. Replies to a command with its number.
pub(crate) struct Ledger {
    id: NodeId,
    all: Ledgers,
}

impl Ledgers {
    pub(crate) fn open(&self, id: NodeId) -> Ledger {
        Ledger { id, all: self.clone() }
    }

    pub(crate) fn commands(&self, id: NodeId) -> Vec<(Position, Bytes)> {
        self.with(id, |held| held.commands.clone())
    }

    pub(crate) fn times(&self, id: NodeId) -> Vec<u64> {
        self.with(id, |held| held.times.clone())
    }

    pub(crate) fn holds(&self, id: NodeId, command: &str) -> bool {
        self.with(id, |held| held.commands.iter().any(|(_, c)| c == command.as_bytes()))
    }

    /// The answer to the one question there is, and the last command it takes into account.
    pub(crate) fn look(&self, id: NodeId) -> (Position, Bytes) {
        self.with(id, |held| {
            let (at, last) = held.commands.last().cloned().unwrap_or_default();
            (at, answer(held.commands.len(), &last))
        })
    }

    fn with<T>(&self, id: NodeId, look: impl FnOnce(&mut Held) -> T) -> T {
        look(self.0.lock().unwrap().entry(id).or_default())
    }
}

fn answer(count: usize, last: &[u8]) -> Bytes {
    format!("{count}, the last is {}", String::from_utf8_lossy(last)).into()
}

fn keep(held: &mut Held, records: &Records) {
    for (key, value) in records {
        match value {
            Some(value) => held.records.insert(key.clone(), value.clone()),
            None => held.records.remove(key),
        };
    }
}

impl OnDiskStateMachine for Ledger {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.all.with(self.id, |held| held.records.clone().into_iter().collect()))
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        self.all.with(self.id, |held| {
            let mut replies = Vec::new();
            for entry in entries {
                held.commands.push((entry.position, entry.payload.clone()));
                held.times.push(entry.time_unix_ms);
                replies.push(Bytes::from(held.commands.len().to_string()));
            }
            keep(held, &records(&replies));
            Ok(replies)
        })
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let commands = self.all.commands(self.id);
        Ok(Box::new(move |to| {
            for (position, command) in commands {
                to.write_all(&position.term.to_be_bytes())?;
                to.write_all(&position.index.to_be_bytes())?;
                to.write_all(&(command.len() as u64).to_be_bytes())?;
                to.write_all(&command)?;
            }
            Ok(())
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let mut image = Vec::new();
        from.read_to_end(&mut image)?;
        let mut held = Held::default();
        let mut rest = image.as_slice();
        while !rest.is_empty() {
            let [term, index, length] = [(); 3].map(|()| {
                let mut number = [0; 8];
                rest.read_exact(&mut number).unwrap();
                u64::from_be_bytes(number)
            });
            let (command, after) = rest.split_at(length as usize);
            held.commands.push((Position { term, index }, Bytes::copy_from_slice(command)));
            rest = after;
        }
        keep(&mut held, records);
        self.all.with(self.id, |old| *old = held);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.all.with(self.id, |held| *held = Held::default());
        Ok(())
    }
}

/// What a ledger is meant to be.
#[derive(Default)]
pub(crate) struct Specified {
    count: usize,
    last: Vec<u8>,
}

impl Model for Specified {
    fn apply(&mut self, command: &[u8]) -> Bytes {
        self.count += 1;
        self.last = command.to_vec();
        self.count.to_string().into()
    }

    fn answer(&self, _question: &[u8]) -> Bytes {
        answer(self.count, &self.last)
    }
}
