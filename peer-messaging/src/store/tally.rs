//! How much waits: ours to be delivered, theirs to be shown.

use crate::store::{
    error::StoreError,
    table::{Change, Rows, Table, number, pair, second},
    view::View,
};

/// Peer number of the sums: all of ours that wait, and what strangers wrote and nobody looked at.
const SUMS: u64 = 0;

/// Two counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Ours, not answered for good.
    pub(crate) pending: u64,
    /// Theirs, not shown.
    pub(crate) unread: u64,
}

impl<R: Rows> View<'_, R> {
    pub(crate) fn tally(&self, peer: u64) -> Result<Tally, StoreError> {
        let Some(bytes) = self.rows.get(Table::Tallies, &peer.to_be_bytes())? else {
            return Ok(Tally::default());
        };
        let pending = number(bytes.get(..8).unwrap_or_default())?;
        Ok(Tally { pending, unread: second(&bytes)? })
    }

    /// All of ours that wait, and what all strangers wrote.
    pub(crate) fn sums(&self) -> Result<Tally, StoreError> {
        self.tally(SUMS)
    }
}

impl<C: Change> View<'_, C> {
    pub(crate) fn count_pending(&self, peer: u64, more: i64) -> Result<(), StoreError> {
        for number in [peer, SUMS] {
            let tally = self.tally(number)?;
            self.put_tally(number, Tally { pending: moved(tally.pending, more)?, ..tally })?;
        }
        Ok(())
    }

    pub(crate) fn count_unread(
        &self,
        peer: u64,
        is_stranger: bool,
        more: i64,
    ) -> Result<(), StoreError> {
        let tally = self.tally(peer)?;
        self.put_tally(peer, Tally { unread: moved(tally.unread, more)?, ..tally })?;
        if is_stranger { self.count_strangers(more) } else { Ok(()) }
    }

    pub(crate) fn count_strangers(&self, more: i64) -> Result<(), StoreError> {
        let sums = self.sums()?;
        self.put_tally(SUMS, Tally { unread: moved(sums.unread, more)?, ..sums })
    }

    fn put_tally(&self, peer: u64, tally: Tally) -> Result<(), StoreError> {
        self.rows.put(Table::Tallies, &peer.to_be_bytes(), &pair(tally.pending, tally.unread))
    }
}

fn moved(count: u64, more: i64) -> Result<u64, StoreError> {
    count.checked_add_signed(more).ok_or(StoreError::Damaged("a count below zero"))
}
