//! Commands as a machine is given them: with places, times and records, in batches.

use std::collections::BTreeMap;

use crate::command::Command;
use crate::disk::sim::random::Random;
use crate::position::Position;
use crate::state_machine::Entry;

/// The largest batch. Empty ones occur, too: the engine has entries of its own.
const BATCH_MAX: u64 = 7;

/// What log time advances by at most from one entry to the next, in milliseconds: as far as the
/// engine lets it, so that what expires by it does.
const STEP_MAX_MS: u64 = 60 * 60 * 1000;

/// Records as they are held.
pub(super) type Held = BTreeMap<Vec<u8>, Vec<u8>>;

/// One call of `apply`.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// What this batch makes of the records.
    pub(super) fn change(&self, held: &mut Held) {
        for (key, value) in &self.records {
            match value {
                Some(value) => held.insert(key.clone(), value.clone()),
                None => held.remove(key),
            };
        }
    }
}

/// Divides commands into batches.
pub(super) fn batches(commands: &[Command], random: &mut Random) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut at = Position { term: 1, index: 1 };
    let mut time_unix_ms = 1_700_000_000_000;
    let mut rest = commands;
    while !rest.is_empty() {
        let size = random.below(BATCH_MAX + 1).min(rest.len() as u64) as usize;
        let (now, later) = rest.split_at(size);
        rest = later;
        let entries = now
            .iter()
            .map(|command| {
                // Gaps are the engine's own entries.
                at.index += 1 + random.below(2);
                at.term += u64::from(random.below(10) == 0);
                let hurry = if random.below(8) == 0 { STEP_MAX_MS } else { 2000 };
                time_unix_ms += random.below(hurry);
                let Command { payload, version } = command.clone();
                Entry { position: at, time_unix_ms, version, payload }
            })
            .collect();
        at.index += 1;
        batches.push(Batch { entries, records: records(at, random) });
    }
    batches
}

/// One that always changes, as the engine's position does, and some that come and go.
fn records(at: Position, random: &mut Random) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut records = vec![(b"position".to_vec(), Some(at.to_string().into_bytes()))];
    for name in [&b"a"[..], b"b", b"\0\xff", b""] {
        let key = [b"record/".as_slice(), name].concat();
        match random.below(5) {
            0 => records.push((key, None)),
            1 => records.push((key, Some(Vec::new()))),
            2 => records.push((key, Some(random.number().to_be_bytes().to_vec()))),
            _ => {}
        }
    }
    records
}
