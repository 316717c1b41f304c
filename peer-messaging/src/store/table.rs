//! The tables, and what can be done with their rows.

use crate::store::error::StoreError;

/// What is kept. Keys are numbers of this store and keyed hashes, never names; values are sealed
/// unless said otherwise. A disk format: names are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Text to: `format` (open), `check`, `owner`.
    Meta,
    /// Peer number to [`crate::store::record::PeerRow`].
    Peers,
    /// Hash of an account id to a peer number (open).
    Accounts,
    /// Hash of a username to the number of the peer that is pinned to it (open).
    Names,
    /// Row number, rising with arrival, to [`crate::store::record::MessageRow`].
    Messages,
    /// Peer and row number to nothing: a person's messages.
    Conversations,
    /// Hash of direction, account and message id to a row number (open): deduplication, lookup.
    Ids,
    /// Peer number and sequence to a row number (open): ours, not answered for good.
    Outbox,
    /// Peer number and sequence to a row number (open): ours, delivered and not read.
    Delivered,
    /// Peer and row number to nothing: theirs, not shown.
    Unread,
    /// Peer number and hash of a device id to [`crate::store::record::DeviceRow`].
    Devices,
    /// Peer number and hash of a device id to nothing: a read watermark that they do not know of.
    Due,
    /// Peer number to two counts (open): ours not answered, theirs not shown. Number 0 sums up: all
    /// of ours, and those of strangers.
    Tallies,
}

impl Table {
    /// Every table, for making them.
    pub(crate) const ALL: [Self; 13] = [
        Self::Meta,
        Self::Peers,
        Self::Accounts,
        Self::Names,
        Self::Messages,
        Self::Conversations,
        Self::Ids,
        Self::Outbox,
        Self::Delivered,
        Self::Unread,
        Self::Devices,
        Self::Due,
        Self::Tallies,
    ];

    /// The name on disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Peers => "peers",
            Self::Accounts => "accounts",
            Self::Names => "names",
            Self::Messages => "messages",
            Self::Conversations => "conversations",
            Self::Ids => "ids",
            Self::Outbox => "outbox",
            Self::Delivered => "delivered",
            Self::Unread => "unread",
            Self::Devices => "devices",
            Self::Due => "due",
            Self::Tallies => "tallies",
        }
    }
}

/// In which order rows are scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Rising,
    Falling,
}

/// A key with its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Reading rows.
pub(crate) trait Rows {
    /// The value under `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` rows with keys from `first` to `last`, both included.
    fn scan(
        &self,
        table: Table,
        first: &[u8],
        last: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;
}

/// Changing rows; all of one group become durable together or not at all.
pub(crate) trait Change: Rows {
    /// Puts a value in the place of any other.
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a row, if it is there.
    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError>;
}

impl<R: Rows> Rows for &R {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        first: &[u8],
        last: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        (**self).scan(table, first, last, order, limit)
    }
}

impl<C: Change> Change for &C {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        (**self).put(table, key, value)
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        (**self).remove(table, key)
    }
}

/// A key of two numbers, which sorts by the first and then by the second.
pub(crate) fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

/// The number in eight bytes of a key or value. Fails when they are not eight.
pub(crate) fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged("a number of other length"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// The second number of a [`pair`].
pub(crate) fn second(key: &[u8]) -> Result<u64, StoreError> {
    number(key.get(8..).unwrap_or_default())
}
