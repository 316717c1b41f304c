//! Which committed commands were not applied: the log holds them, and does not say so.
//!
//! A command of a session is passed over when it was applied before, or is refused. That follows
//! from the session as it was then, which whoever reads the log later does not have; hence it is
//! noted, in the transaction of the batch, for as long as the log holds the entry.
//!
//! | key | value |
//! |---|---|
//! | `noted` | an encoded `Position`: of the entries after it, those passed over are noted |
//! | `skip/`, index (8 bytes, big-endian) | one byte, 1: the command there was not applied |

use std::collections::BTreeSet;

use prost::Message as _;
use telegraph_proto::raft as proto;

use crate::engine::wire::{Misshapen, read_position, wire_position};
use crate::position::Position;

const NOTED: &[u8] = b"noted";
const SKIP: &[u8] = b"skip/";
const NOT_APPLIED: [u8; 1] = [1];

/// Notes removed along with one batch, so that no transaction removes all at once: as many as a
/// batch can add.
const SWEPT_PER_BATCH: usize = 1024;

/// A record's key and its new value, if it stays.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// The entries passed over; 8 bytes for each that the log still holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Of this entry and those before, nothing is known.
    noted_after: Position,
    /// What the records say of that.
    recorded: Option<Position>,
    indexes: BTreeSet<u64>,
}

/// What a batch changes in the notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    noted_after: Option<Position>,
    gone: Vec<u64>,
    new: Vec<u64>,
}

impl Skipped {
    /// Nothing is known of what came with a snapshot; once the records say so.
    pub(crate) fn after(snapshot: Position) -> Skipped {
        Skipped { noted_after: snapshot, recorded: Some(snapshot), indexes: BTreeSet::new() }
    }

    /// Reads the notes beside a state that is at `applied`; records of others are passed over.
    pub(crate) fn read(
        records: &[(Vec<u8>, Vec<u8>)],
        applied: Option<Position>,
    ) -> Result<Skipped, Misshapen> {
        let mut skipped = Skipped::default();
        for (key, value) in records {
            if key == NOTED {
                skipped.recorded = Some(read_position(proto::Position::decode(value.as_slice())?));
            } else if let Some(index) = key.strip_prefix(SKIP) {
                let index = <[u8; 8]>::try_from(index)
                    .map_err(|_| Misshapen("the key of a skipped entry is not 8 bytes".into()))?;
                if value[..] != NOT_APPLIED {
                    return Err(Misshapen("a skipped entry is marked in an unknown way".into()));
                }
                skipped.indexes.insert(u64::from_be_bytes(index));
            }
        }
        // A state that was written before there were notes, or a fresh one.
        skipped.noted_after = skipped.recorded.or(applied).unwrap_or_default();
        Ok(skipped)
    }

    /// All notes as records.
    pub(crate) fn records(&self) -> Vec<Change> {
        let all = Step {
            noted_after: Some(self.noted_after),
            gone: Vec::new(),
            new: self.indexes.iter().copied().collect(),
        };
        let mut records = Vec::new();
        all.append_records(&mut records);
        records
    }

    /// The last entry of which nothing is known.
    pub(crate) fn noted_after(&self) -> Position {
        self.noted_after
    }

    /// From now on nothing is known of this entry and those before.
    pub(crate) fn leap(&mut self, to: Position) {
        self.noted_after = self.noted_after.max(to);
    }

    /// Those among the entries from `first` to `last` that were passed over.
    pub(crate) fn among(&self, first: u64, last: u64) -> BTreeSet<u64> {
        match first <= last {
            true => self.indexes.range(first..=last).copied().collect(),
            false => BTreeSet::new(),
        }
    }

    /// What a batch changes that passes over `new`, while the log has let go of all up to `purged`.
    pub(crate) fn step(&self, new: Vec<u64>, purged: Option<u64>) -> Step {
        let changed = self.recorded != Some(self.noted_after);
        let gone = self.indexes.iter().copied().take(SWEPT_PER_BATCH);
        Step {
            noted_after: changed.then_some(self.noted_after),
            gone: gone.take_while(|index| Some(*index) <= purged).collect(),
            new,
        }
    }

    /// Takes over what a batch has recorded.
    pub(crate) fn keep(&mut self, step: Step) {
        self.recorded = step.noted_after.or(self.recorded);
        for index in step.gone {
            self.indexes.remove(&index);
        }
        self.indexes.extend(step.new);
    }
}

impl Step {
    /// Adds its records to those of the batch.
    pub(crate) fn append_records(&self, records: &mut Vec<Change>) {
        let noted = self.noted_after.map(|at| wire_position(at).encode_to_vec());
        records.extend(noted.map(|noted| (NOTED.to_vec(), Some(noted))));
        records.extend(self.gone.iter().map(|index| (key(*index), None)));
        records.extend(self.new.iter().map(|index| (key(*index), Some(NOT_APPLIED.to_vec()))));
    }
}

fn key(index: u64) -> Vec<u8> {
    [SKIP, &index.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::kept;

    fn at(index: u64) -> Position {
        Position { term: 7, index }
    }

    /// Pinned: what was written once must be read for ever.
    #[test]
    fn a_change_of_the_notes_records_breaks_every_state_machine_written_so_far() {
        let golden = [
            ("6e6f746564", "080710ac02"),
            ("736b69702f000000000000012d", "01"),
            ("736b69702f000000000000012e", "01"),
        ];
        let mut skipped = Skipped::after(at(300));
        skipped.keep(skipped.step(vec![302, 301], None));
        let written = kept(&skipped.records());
        let readable = written.iter().map(|(key, value)| (hex::encode(key), hex::encode(value)));
        let golden_text = golden.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(readable.collect::<Vec<_>>(), golden_text);
        let golden = golden.map(|(key, value)| (hex::decode(key), hex::decode(value)));
        let golden = golden.map(|(key, value)| (key.unwrap(), value.unwrap()));
        assert_eq!(Skipped::read(&golden, Some(at(400))).unwrap(), skipped);
    }

    #[test]
    fn garbled_notes_are_an_error() {
        for (key, value) in [
            (&b"noted"[..], &[0xff; 5][..]),
            (b"skip/1", &[1]),
            (b"skip/12345678", &[]),
            (b"skip/12345678", &[2]),
        ] {
            assert!(Skipped::read(&[(key.to_vec(), value.to_vec())], None).is_err());
        }
    }

    #[test]
    fn of_a_state_without_notes_nothing_is_known_unless_it_is_fresh() {
        let fresh = Skipped::read(&[], None).unwrap();
        assert_eq!(fresh.noted_after(), Position::default());
        let mut old = Skipped::read(&[], Some(at(9))).unwrap();
        assert_eq!(old.noted_after(), at(9));
        // That is recorded with the next batch, and with no other.
        let step = old.step(vec![10], None);
        assert_eq!(step.noted_after, Some(at(9)));
        old.keep(step);
        assert_eq!(old.step(vec![11], None), Step { new: vec![11], ..Step::default() });
        assert_eq!(Skipped::read(&kept(&old.records()), Some(at(10))).unwrap(), old);
    }

    #[test]
    fn a_note_goes_when_the_log_lets_go_of_the_entry() {
        let mut skipped = Skipped::default();
        skipped.keep(skipped.step((1..=3000).collect(), None));
        assert_eq!(skipped.among(5, 7), BTreeSet::from([5, 6, 7]));
        for purged in [Some(1500), Some(1500), Some(1500)] {
            let step = skipped.step(Vec::new(), purged);
            assert!(step.gone.len() <= SWEPT_PER_BATCH);
            skipped.keep(step);
        }
        assert_eq!(skipped.among(0, u64::MAX), (1501..=3000).collect());
        assert_eq!(skipped.among(7, 5), BTreeSet::new());
    }
}
