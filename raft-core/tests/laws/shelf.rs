//! A small map in one file, and the ways in which it can be wrong.
//!
//! A command is `key=value`, or `key` to remove it. The reply is what was there before, and how
//! many commands there have been.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft_core::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};

/// What is wrong with a shelf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flaw {
    #[default]
    None,
    /// Nothing survives a restart, which is allowed.
    Volatile,
    BornWithRecords,
    SwallowsReply,
    HidesReplies,
    RepliesInHashOrder,
    CountsInstances,
    RepliesByBatch,
    NeverRemovesRecords,
    ForgetsOtherRecords,
    RecordsInImage,
    SavesRecordsBeforeState,
    SavesStateBeforeRecords,
    ForgetsRecordsAtRestart,
    ImageOfLater,
    ImageNeverFails,
    ImageThatFailsSpoils,
    ForgetsHowMany,
    HidesHowMany,
    RestoreMerges,
    RestoreKeepsRecords,
    RestoreSwallowsErrors,
    RestoreClearsFirst,
    ResetKeepsRecords,
    ResetIsForgotten,
    ResetKeepsHowMany,
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default)]
struct State {
    shelf: Pairs,
    count: u64,
    records: Pairs,
}

pub(crate) struct Shelf {
    flaw: Flaw,
    file: PathBuf,
    number: u64,
    state: Arc<Mutex<State>>,
}

static INSTANCES: AtomicU64 = AtomicU64::new(0);

impl Shelf {
    pub(crate) fn open(directory: &Path, flaw: Flaw) -> Shelf {
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let file = directory.join("shelf");
        let mut state = match fs::read(&file) {
            Ok(bytes) => {
                let mut rest = bytes.as_slice();
                let count = read_number(&mut rest).unwrap();
                let shelf = read_pairs(&mut rest).unwrap();
                State { shelf, count, records: read_pairs(&mut rest).unwrap() }
            }
            Err(_) => State::default(),
        };
        match flaw {
            Flaw::BornWithRecords => drop(state.records.insert(b"born".to_vec(), Vec::new())),
            Flaw::ForgetsRecordsAtRestart => state.records.clear(),
            _ => {}
        }
        Shelf { flaw, file, number, state: Arc::new(Mutex::new(state)) }
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    fn save(&self) {
        self.save_as(&self.state(|state| state.clone()));
    }

    fn save_as(&self, state: &State) {
        if self.flaw == Flaw::Volatile {
            return;
        }
        let mut bytes = state.count.to_be_bytes().to_vec();
        write_pairs(&state.shelf, &mut bytes).unwrap();
        write_pairs(&state.records, &mut bytes).unwrap();
        let aside = self.file.with_extension("new");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, &self.file).unwrap();
    }

    fn reply(&self, state: &mut State, command: &[u8], place: usize) -> Bytes {
        state.count += 1;
        let mut parts = command.splitn(2, |byte| *byte == b'=');
        let key = parts.next().unwrap().to_vec();
        let before = match parts.next() {
            Some(value) => state.shelf.insert(key, value.to_vec()),
            None => state.shelf.remove(&key),
        };
        let before = before.unwrap_or_default();
        match self.flaw {
            Flaw::RepliesInHashOrder => {
                let keys: HashMap<_, _> = state.shelf.iter().collect();
                keys.keys().next().map_or(Bytes::new(), |key| Bytes::copy_from_slice(key))
            }
            Flaw::CountsInstances => self.number.to_string().into(),
            Flaw::RepliesByBatch => place.to_string().into(),
            _ => [&before[..], &state.count.to_be_bytes()].concat().into(),
        }
    }

    fn change_records(&self, held: &mut Pairs, records: &Records) {
        if self.flaw == Flaw::ForgetsOtherRecords {
            held.clear();
        }
        for (key, value) in records {
            match value {
                Some(value) => drop(held.insert(key.clone(), value.clone())),
                None if self.flaw == Flaw::NeverRemovesRecords => {}
                None => drop(held.remove(key)),
            }
        }
    }
}

fn read_number(from: &mut dyn Read) -> std::io::Result<u64> {
    let mut number = [0; 8];
    from.read_exact(&mut number)?;
    Ok(u64::from_be_bytes(number))
}

fn read_pairs(from: &mut dyn Read) -> std::io::Result<Pairs> {
    let mut pairs = Pairs::new();
    for _ in 0..read_number(from)? {
        let mut pair = [Vec::new(), Vec::new()];
        for part in &mut pair {
            let length = read_number(from)?;
            part.resize(length as usize, 0);
            from.read_exact(part)?;
        }
        let [key, value] = pair;
        pairs.insert(key, value);
    }
    Ok(pairs)
}

fn write_pairs(pairs: &Pairs, to: &mut dyn Write) -> std::io::Result<()> {
    to.write_all(&(pairs.len() as u64).to_be_bytes())?;
    for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
        to.write_all(&(part.len() as u64).to_be_bytes())?;
        to.write_all(part)?;
    }
    Ok(())
}

impl OnDiskStateMachine for Shelf {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.state(|state| state.records.clone().into_iter().collect()))
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        let before = self.state(|state| state.clone());
        let mut replies = self.state(|state| {
            let commands = entries.iter().enumerate();
            let replies = commands.map(|(place, entry)| self.reply(state, &entry.payload, place));
            let replies: Vec<Bytes> = replies.collect();
            let told = if self.flaw == Flaw::HidesReplies { &[] } else { &replies[..] };
            self.change_records(&mut state.records, &records(told));
            replies
        });
        let after = self.state(|state| state.clone());
        match self.flaw {
            Flaw::SwallowsReply if entries.len() > 2 => drop(replies.pop()),
            // What a crash between two writes leaves, which here lie far apart.
            Flaw::SavesRecordsBeforeState => {
                self.save_as(&State { records: after.records, ..before });
                return Ok(replies);
            }
            Flaw::SavesStateBeforeRecords if before.count > 20 => {
                self.save_as(&State { records: before.records, ..after });
                return Ok(replies);
            }
            _ => {}
        }
        self.save();
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let (flaw, live) = (self.flaw, Arc::clone(&self.state));
        let captured = self.state(|state| state.clone());
        Ok(Box::new(move |to| {
            let state = match flaw {
                Flaw::ImageOfLater => live.lock().unwrap().clone(),
                _ => captured,
            };
            let mut bytes = Vec::new();
            if flaw != Flaw::HidesHowMany {
                bytes.extend(state.count.to_be_bytes());
            }
            write_pairs(&state.shelf, &mut bytes)?;
            if flaw == Flaw::RecordsInImage {
                write_pairs(&state.records, &mut bytes)?;
            }
            match to.write_all(&bytes) {
                Err(_) if flaw == Flaw::ImageNeverFails => Ok(()),
                Err(error) if flaw == Flaw::ImageThatFailsSpoils => {
                    live.lock().unwrap().count = 0;
                    Err(error.into())
                }
                written => Ok(written?),
            }
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let old = self.state(|state| state.clone());
        if self.flaw == Flaw::RestoreClearsFirst {
            self.save_as(&State { records: old.records.clone(), ..State::default() });
        }
        let mut new = State::default();
        let mut read = || -> Result<(), MachineError> {
            if self.flaw != Flaw::HidesHowMany {
                new.count = read_number(from)?;
            }
            new.shelf = read_pairs(from)?;
            Ok(())
        };
        let read = read();
        if self.flaw != Flaw::RestoreSwallowsErrors {
            read?;
        }
        match self.flaw {
            Flaw::ForgetsHowMany => new.count = 0,
            Flaw::RestoreMerges => {
                let kept: HashSet<_> = new.shelf.keys().cloned().collect();
                new.shelf.extend(old.shelf.into_iter().filter(|(key, _)| !kept.contains(key)));
            }
            Flaw::RestoreKeepsRecords => new.records = old.records,
            _ => {}
        }
        self.change_records(&mut new.records, records);
        self.state(|state| *state = new);
        self.save();
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.state(|state| {
            *state = match self.flaw {
                Flaw::ResetKeepsRecords => {
                    State { records: state.records.clone(), ..State::default() }
                }
                Flaw::ResetKeepsHowMany => State { count: state.count, ..State::default() },
                _ => State::default(),
            }
        });
        if self.flaw != Flaw::ResetIsForgotten {
            self.save();
        }
        Ok(())
    }
}
