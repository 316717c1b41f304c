//! Rows in the clear: what the rest of the store works with.

use crate::store::{
    error::StoreError,
    sealer::Sealer,
    table::{Change, Order, Rows, Table, number},
};
use prost::Message;

/// The rows of one transaction, opened and sealed in passing.
pub(crate) struct View<'a, R> {
    pub(crate) rows: R,
    pub(crate) sealer: &'a Sealer,
}

impl<'a, R> View<'a, R> {
    pub(crate) fn new(rows: R, sealer: &'a Sealer) -> Self {
        Self { rows, sealer }
    }
}

impl<R: Rows> View<'_, R> {
    /// A sealed record.
    pub(crate) fn record<M: Message + Default>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<M>, StoreError> {
        let Some(sealed) = self.rows.get(table, key)? else { return Ok(None) };
        let plain = self.sealer.open(table, key, &sealed)?;
        let record = M::decode(plain.as_slice())
            .map_err(|_| StoreError::Damaged("a record does not decode"))?;
        Ok(Some(record))
    }

    /// An open number.
    pub(crate) fn number(&self, table: Table, key: &[u8]) -> Result<Option<u64>, StoreError> {
        self.rows.get(table, key)?.map(|value| number(&value)).transpose()
    }

    /// The highest number that is a key of `table`; 0 when it is empty.
    pub(crate) fn highest(&self, table: Table) -> Result<u64, StoreError> {
        let last = self.rows.scan(table, &[0; 8], &[0xff; 8], Order::Falling, 1)?;
        last.first().map_or(Ok(0), |(key, _)| number(key))
    }
}

impl<R: Change> View<'_, R> {
    pub(crate) fn put_record<M: Message>(
        &self,
        table: Table,
        key: &[u8],
        record: &M,
    ) -> Result<(), StoreError> {
        let plain = zeroize::Zeroizing::new(record.encode_to_vec());
        self.rows.put(table, key, &self.sealer.seal(table, key, &plain)?)
    }

    pub(crate) fn put_number(
        &self,
        table: Table,
        key: &[u8],
        value: u64,
    ) -> Result<(), StoreError> {
        self.rows.put(table, key, &value.to_be_bytes())
    }
}
