//! What the engine keeps beside the application's state, in the same transaction.

use prost::Message as _;
use telegraph_proto::raft as proto;

use crate::engine::types::{LogId, StoredMembership};
use crate::engine::wire::{Misshapen, read_log_id_option, read_stored, wire_log_id, wire_stored};

/// The last entry applied: an encoded `Position`; the key is absent before the first.
const POSITION: &[u8] = b"position";
/// The last membership applied: an encoded `StoredMembership`.
const MEMBERSHIP: &[u8] = b"membership";
/// Log time in milliseconds since 1970, 8 bytes, big-endian.
const TIME: &[u8] = b"time";

/// How far log time may leap from one command to the next: one hour, in milliseconds. A leader
/// whose clock is years ahead thus ends no session at once; after a longer silence log time
/// catches up an hour per command, and what expires by it expires late.
const LEAP_MAX_MS: u64 = 60 * 60 * 1000;

/// The engine's records, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The last entry applied.
    pub(crate) applied: Option<LogId>,
    /// The last membership applied.
    pub(crate) membership: StoredMembership,
    /// Log time; 0 before the first command.
    pub(crate) time_unix_ms: u64,
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
        let time = match value(TIME) {
            Some(bytes) => <[u8; 8]>::try_from(bytes.as_slice())
                .map_err(|_| Misshapen("log time is not 8 bytes".into()))?,
            None => [0; 8],
        };
        Ok(Facts {
            applied: read_log_id_option(applied)?,
            membership: read_stored(membership)?,
            time_unix_ms: u64::from_be_bytes(time),
        })
    }

    /// What a state machine stores.
    pub(crate) fn records(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records = vec![
            (MEMBERSHIP.to_vec(), wire_stored(&self.membership).encode_to_vec()),
            (TIME.to_vec(), self.time_unix_ms.to_be_bytes().to_vec()),
        ];
        if let Some(applied) = self.applied {
            records.push((POSITION.to_vec(), wire_log_id(applied).encode_to_vec()));
        }
        records
    }

    /// Log time of a command the leader stamped so: never back, never more than an hour on, except
    /// from nothing. A pure function of what came before, hence the same on every replica.
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
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn facts_survive_as_records() {
        assert_eq!(Facts::read(&[]).unwrap(), Facts::default());
        let at = log_id(Position { term: 3, index: 9 });
        let members = BTreeMap::from([(1, Place::default())]);
        let membership = Membership::new(vec![BTreeSet::from([1])], members).unwrap();
        let facts = Facts {
            applied: Some(at),
            membership: StoredMembership::new(Some(at), membership),
            time_unix_ms: 12,
        };
        assert_eq!(Facts::read(&facts.records()).unwrap(), facts);
    }

    #[test]
    fn garbled_records_are_an_error() {
        for key in [POSITION, MEMBERSHIP, TIME] {
            assert!(Facts::read(&[(key.to_vec(), vec![0xff; 5])]).is_err());
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
