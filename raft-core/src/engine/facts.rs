//! What the engine keeps beside the application's state, in the same transaction.

use std::collections::BTreeSet;

use prost::Message as _;
use telegraph_proto::raft as proto;

use crate::engine::sessions::Sessions;
use crate::engine::skipped::Skipped;
use crate::engine::types::{LogId, Membership, StoredMembership, position};
use crate::engine::wire::{
    Misshapen, read_log_id_option, read_stored, read_tombstones, wire_log_id, wire_stored,
};
use crate::member::NodeId;

/// The last entry applied: an encoded `Position`; the key is absent before the first.
const POSITION: &[u8] = b"position";
/// The last membership applied: an encoded `StoredMembership`.
const MEMBERSHIP: &[u8] = b"membership";
/// Log time in milliseconds since 1970, 8 bytes, big-endian.
const TIME: &[u8] = b"time";

/// The highest version of a command applied, 4 bytes, big-endian; the key is absent up to 1.
const VERSION: &[u8] = b"version";

/// How far log time may leap from one command to the next: one hour, in milliseconds. The second
/// line of defence: a leader stamps no time that a majority's clocks have not reached
/// (`engine/clocks.rs`), and where most clocks are years ahead this ends no session at once. After
/// a longer silence log time catches up an hour per command, and what expires by it expires late.
const LEAP_MAX_MS: u64 = 60 * 60 * 1000;

/// The engine's records, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The last entry applied.
    pub(crate) applied: Option<LogId>,
    /// The last membership applied.
    pub(crate) membership: StoredMembership,
    /// The ids that were members and are not any more.
    pub(crate) removed: BTreeSet<NodeId>,
    /// Log time; 0 before the first command.
    pub(crate) time_unix_ms: u64,
    /// The highest version of a command applied: whoever votes must read it. 0 before the first,
    /// and where only programs that did not keep it have applied any.
    pub(crate) version: u32,
}

/// Everything the engine keeps beside the application's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    /// How far the state is.
    pub(crate) facts: Facts,
    /// The open sessions.
    pub(crate) sessions: Sessions,
    /// The commands in the log that were passed over; a running applier shares them.
    pub(crate) skipped: Skipped,
}

impl Held {
    /// Reads what a state machine stored; empty records are a fresh machine's.
    pub(crate) fn read(records: &[(Vec<u8>, Vec<u8>)]) -> Result<Held, Misshapen> {
        let facts = Facts::read(records)?;
        let skipped = Skipped::read(records, facts.applied.map(position))?;
        Ok(Held { facts, sessions: Sessions::read(records)?, skipped })
    }

    /// Everything a state machine stores.
    pub(crate) fn records(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut records = self.facts.records();
        records.extend(self.sessions.records());
        records.extend(self.skipped.records());
        records
    }
}

impl Facts {
    /// Reads what a state machine stored; empty records are a fresh machine's.
    pub(crate) fn read(records: &[(Vec<u8>, Vec<u8>)]) -> Result<Facts, Misshapen> {
        let value = |wanted: &[u8]| records.iter().find(|(key, _)| key == wanted).map(|(_, v)| v);
        let applied =
            value(POSITION).map(|bytes| proto::Position::decode(bytes.as_slice())).transpose()?;
        let membership = value(MEMBERSHIP)
            .map(|bytes| proto::StoredMembership::decode(bytes.as_slice()))
            .transpose()?;
        let removed = membership.as_ref().map(read_tombstones).unwrap_or_default();
        let time = match value(TIME) {
            Some(bytes) => <[u8; 8]>::try_from(bytes.as_slice())
                .map_err(|_| Misshapen("log time is not 8 bytes".into()))?,
            None => [0; 8],
        };
        let version = match value(VERSION) {
            Some(bytes) => <[u8; 4]>::try_from(bytes.as_slice())
                .map_err(|_| Misshapen("a command version is not 4 bytes".into()))?,
            None => [0; 4],
        };
        Ok(Facts {
            applied: read_log_id_option(applied)?,
            membership: read_stored(membership)?,
            removed,
            time_unix_ms: u64::from_be_bytes(time),
            version: u32::from_be_bytes(version),
        })
    }

    /// What a state machine stores, whole.
    pub(crate) fn records(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let membership = wire_stored(&self.membership, &self.removed).encode_to_vec();
        let mut records = vec![(MEMBERSHIP.to_vec(), Some(membership))];
        records.extend(self.passing_records());
        records
    }

    /// The same for a state machine that holds the records of a moment at which the membership was
    /// set by the entry `held`. All who were ever removed are in that record: it is left out while
    /// it is the same.
    pub(crate) fn records_since(&self, held: Option<LogId>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        match *self.membership.log_id() == held {
            true => self.passing_records(),
            false => self.records(),
        }
    }

    /// What changes with every command.
    fn passing_records(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut records = vec![(TIME.to_vec(), Some(self.time_unix_ms.to_be_bytes().to_vec()))];
        if self.version > 1 {
            records.push((VERSION.to_vec(), Some(self.version.to_be_bytes().to_vec())));
        }
        if let Some(applied) = self.applied {
            records.push((POSITION.to_vec(), Some(wire_log_id(applied).encode_to_vec())));
        }
        records
    }

    /// Takes over the membership of an applied entry. Whoever was a member and is none in it was
    /// removed: a pure function of what came before, hence the same on every replica.
    pub(crate) fn set_membership(&mut self, at: LogId, membership: Membership) {
        let gone = self.membership.membership().nodes().map(|(id, _)| *id);
        self.removed.extend(gone.filter(|id| membership.get_node(id).is_none()));
        self.membership = StoredMembership::new(Some(at), membership);
    }

    /// Log time of a command the leader stamped so: never back, never more than an hour on, except
    /// from nothing: no time is known then to measure by, and replicas of older programs know no
    /// other rule, so that there the leader's care alone is the limit. A pure function of what came
    /// before, hence the same on every replica.
    pub(crate) fn advance_time(&mut self, stamped_unix_ms: u64) -> u64 {
        let before = self.time_unix_ms;
        let limit = if before == 0 { u64::MAX } else { before.saturating_add(LEAP_MAX_MS) };
        self.time_unix_ms = stamped_unix_ms.clamp(before, limit);
        assert!(self.time_unix_ms >= before, "log time never runs backwards");
        self.time_unix_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::{Membership, Place, log_id};
    use crate::position::Position;
    use std::collections::BTreeMap;

    #[test]
    fn facts_survive_as_records() {
        assert_eq!(Facts::read(&[]).unwrap(), Facts::default());
        let at = log_id(Position { term: 3, index: 9 });
        let members = BTreeMap::from([(1, Place::default())]);
        let membership = Membership::new(vec![BTreeSet::from([1])], members).unwrap();
        let facts = Facts {
            applied: Some(at),
            membership: StoredMembership::new(Some(at), membership),
            removed: BTreeSet::from([4, 300]),
            time_unix_ms: 12,
            version: 3,
        };
        let kept = crate::engine::tests::kept(&facts.records());
        assert_eq!(Facts::read(&kept).unwrap(), facts);
    }

    #[test]
    fn garbled_records_are_an_error() {
        for key in [POSITION, MEMBERSHIP, TIME, VERSION] {
            assert!(Facts::read(&[(key.to_vec(), vec![0xff; 5])]).is_err());
        }
    }

    #[test]
    fn the_membership_is_written_again_only_when_an_entry_has_set_it() {
        let mut facts = Facts::default();
        let names_membership = |records: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
            records.iter().any(|(key, _)| key == MEMBERSHIP)
        };
        let before = *facts.membership.log_id();
        let members = BTreeMap::from([(1, Place::default())]);
        let membership = Membership::new(vec![BTreeSet::from([1])], members).unwrap();
        let at = log_id(Position { term: 1, index: 1 });
        facts.set_membership(at, membership);
        facts.applied = Some(at);
        assert!(names_membership(facts.records_since(before)));
        facts.applied = Some(log_id(Position { term: 1, index: 2 }));
        assert!(!names_membership(facts.records_since(Some(at))));
        // A state machine that was emptied or filled from a snapshot gets everything.
        assert!(names_membership(facts.records()));
        assert!(names_membership(facts.records_since(None)));
    }

    #[test]
    fn whoever_was_a_member_and_is_none_any_more_was_removed_for_ever() {
        let set = |ids: &[u64]| {
            let voters = BTreeSet::from([ids[0]]);
            let places = ids.iter().map(|id| (*id, Place::default()));
            Membership::new(vec![voters], places.collect::<BTreeMap<_, _>>()).unwrap()
        };
        let mut facts = Facts::default();
        let steps: [(&[u64], &[u64]); 4] =
            [(&[1, 2, 3], &[]), (&[1, 3, 4], &[2]), (&[1], &[2, 3, 4]), (&[1, 2], &[2, 3, 4])];
        for (index, (members, removed)) in (1..).zip(steps) {
            facts.set_membership(log_id(Position { term: 1, index }), set(members));
            assert_eq!(facts.removed, removed.iter().copied().collect());
            assert_eq!(facts.membership.membership(), &set(members));
        }
    }

    #[test]
    fn log_time_never_runs_backwards_and_never_leaps_more_than_an_hour() {
        let mut facts = Facts::default();
        assert_eq!(facts.advance_time(1_700_000_000_000), 1_700_000_000_000);
        assert_eq!(facts.advance_time(5), 1_700_000_000_000);
        assert_eq!(facts.advance_time(u64::MAX), 1_700_000_000_000 + LEAP_MAX_MS);
        assert_eq!(facts.advance_time(0), 1_700_000_000_000 + LEAP_MAX_MS);
    }
}
