//! A state machine that remembers every command, and that tests can look into and spoil.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft_core::{Entry, Image, MachineError, OnDiskStateMachine, Position, Records, RecordsFor};

/// What the machine holds; it outlives the machine, as a disk would.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Held>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) commands: Vec<Bytes>,
    pub(crate) last: Option<Position>,
    pub(crate) times: Vec<u64>,
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>)>,
    /// Fails the next `apply` when set.
    pub(crate) broken: bool,
    /// While set, images are begun and not written further.
    pub(crate) images_wait: bool,
    pub(crate) restores: u64,
    pub(crate) resets: u64,
    /// What the machine was told last.
    pub(crate) lineage: Option<[u8; 16]>,
}

impl Kept {
    pub(crate) fn commands(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().commands.clone()
    }

    pub(crate) fn contains(&self, command: &str) -> bool {
        self.0.lock().unwrap().commands.iter().any(|held| held == command.as_bytes())
    }

    pub(crate) fn count(&self, command: &str) -> usize {
        let held = self.0.lock().unwrap();
        held.commands.iter().filter(|held| *held == command.as_bytes()).count()
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

/// The machine itself. Replies to a command with its number.
pub(crate) struct Journal(pub(crate) Kept);

fn keep(records: &mut Vec<(Vec<u8>, Vec<u8>)>, new: &Records) {
    for (key, value) in new {
        records.retain(|(held, _)| held != key);
        records.extend(value.clone().map(|value| (key.clone(), value)));
    }
}

impl OnDiskStateMachine for Journal {
    fn belongs_to(&mut self, lineage: [u8; 16]) -> Result<(), MachineError> {
        self.0.with(|held| held.lineage = Some(lineage));
        Ok(())
    }

    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.0.with(|held| held.records.clone()))
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        self.0.with(|held| {
            if held.broken {
                return Err(MachineError::new("it was told to fail"));
            }
            assert!(held.lineage.is_some(), "entries come before the machine knows whose");
            let mut replies = Vec::new();
            for entry in entries {
                assert!(held.last.is_none_or(|last| entry.position.index > last.index));
                assert!(held.times.last().is_none_or(|last| entry.time_unix_ms >= *last));
                held.last = Some(entry.position);
                held.times.push(entry.time_unix_ms);
                held.commands.push(entry.payload.clone());
                replies.push(Bytes::from(held.commands.len().to_string()));
            }
            keep(&mut held.records, &records(&replies));
            Ok(replies)
        })
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let (commands, kept) = (self.0.commands(), self.0.clone());
        Ok(Box::new(move |to| {
            for command in commands {
                to.write_all(&(command.len() as u64).to_be_bytes())?;
                to.write_all(&command)?;
                while kept.with(|held| held.images_wait) {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            Ok(())
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let mut commands = Vec::new();
        loop {
            let mut length = [0; 8];
            match from.read_exact(&mut length) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
            let mut command = vec![0; u64::from_be_bytes(length) as usize];
            from.read_exact(&mut command)?;
            commands.push(command.into());
        }
        self.0.with(|held| {
            let restores = held.restores + 1;
            let (resets, lineage) = (held.resets, held.lineage);
            assert!(lineage.is_some(), "an image comes before the machine knows whose");
            *held = Held { commands, restores, resets, lineage, ..Held::default() };
            keep(&mut held.records, records);
        });
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.0.with(|held| {
            let resets = held.resets + 1;
            let (restores, lineage) = (held.restores, held.lineage);
            *held = Held { restores, resets, lineage, ..Held::default() };
        });
        Ok(())
    }
}
