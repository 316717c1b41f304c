//! What was read: theirs by us, which they have to be told, and ours by them.

use crate::{
    message::MessageId,
    store::{
        error::StoreError,
        outbox::{CHUNK, decode, id_of},
        record::DeviceRow,
        table::{Change, Order, Rows, Table, number, pair, second},
        view::View,
    },
};
use telegraph_proto::account::DeviceId;

/// Most watermarks told in one go.
const MAX_DUE: usize = 32;

/// "Everything up to this was shown", for one device of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) device_id: DeviceId,
    pub(crate) read_up_to: u64,
    pub(crate) read_unix_ms: u64,
}

/// What a watermark of theirs did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Marked {
    /// Messages of ours that became read.
    pub(crate) ids: Vec<MessageId>,
    /// Where to go on; `None`: it is done.
    pub(crate) next: Option<u64>,
}

impl<R: Rows> View<'_, R> {
    /// Watermarks a peer does not know of yet.
    pub(crate) fn due(&self, peer: u64) -> Result<Vec<Watermark>, StoreError> {
        let mut first = [0; 24];
        let mut last = [0xff; 24];
        first[..8].copy_from_slice(&peer.to_be_bytes());
        last[..8].copy_from_slice(&peer.to_be_bytes());
        let rows = self.rows.scan(Table::Due, &first, &last, Order::Rising, MAX_DUE)?;
        rows.iter()
            .map(|(key, _)| {
                let device = self.record::<DeviceRow>(Table::Devices, key)?;
                let device = device.ok_or(StoreError::Damaged("a device without a record"))?;
                let device_id = DeviceId::from_slice(&device.device_id)
                    .map_err(|_| StoreError::Damaged("a device id"))?;
                let DeviceRow { read_up_to, read_unix_ms, .. } = device;
                Ok(Watermark { device_id, read_up_to, read_unix_ms })
            })
            .collect()
    }

    /// True when messages or watermarks wait for a peer.
    pub(crate) fn has_work(&self, peer: u64) -> Result<bool, StoreError> {
        Ok(self.tally(peer)?.pending > 0 || !self.due(peer)?.is_empty())
    }

    /// The number of every peer with something that has to go out: messages or watermarks.
    pub(crate) fn peers_to_reach(&self) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        for table in [Table::Outbox, Table::Due] {
            let mut from = 0;
            loop {
                // From one peer straight to the next.
                let row = self.rows.scan(
                    table,
                    &u64::to_be_bytes(from),
                    &[0xff; 24],
                    Order::Rising,
                    1,
                )?;
                let Some((key, _)) = row.first() else { break };
                let peer = number(key.get(..8).unwrap_or_default())?;
                found.push(peer);
                let Some(next) = peer.checked_add(1) else { break };
                from = next;
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl<C: Change> View<'_, C> {
    /// At most [`CHUNK`] messages of `peer` up to `last_row` were shown: they are read, and the
    /// peer has to be told. Returns how many; fewer than [`CHUNK`]: it is done.
    pub(crate) fn mark_shown(
        &self,
        peer: u64,
        last_row: u64,
        now_unix_ms: u64,
    ) -> Result<usize, StoreError> {
        let (first, last) = (pair(peer, 0), pair(peer, last_row));
        let rows = self.rows.scan(Table::Unread, &first, &last, Order::Rising, CHUNK)?;
        let mut peer = self.peer(peer)?;
        for (place, _) in &rows {
            let (key, mut record) = self.message_row(second(place)?)?;
            record.read_unix_ms = now_unix_ms.max(1);
            self.put_record(Table::Messages, &key, &record)?;
            self.rows.remove(Table::Unread, place)?;
            let envelope = decode(&record.envelope)?;
            let device = DeviceId::from_slice(&envelope.from_device_id)
                .map_err(|_| StoreError::Damaged("a device id"))?;
            self.raise(peer.number, &device, envelope.sequence, now_unix_ms)?;
        }
        let shown = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        self.count_unread(peer.number, !peer.known, -shown)?;
        if !rows.is_empty() && !peer.known {
            self.make_known(&mut peer)?;
            self.put_peer(&peer)?;
        }
        Ok(rows.len())
    }

    /// The peer knows of a watermark now.
    pub(crate) fn told(&self, peer: u64, watermark: &Watermark) -> Result<(), StoreError> {
        let key = self.device_key(peer, &watermark.device_id);
        let Some(mut device) = self.record::<DeviceRow>(Table::Devices, &key)? else {
            return Ok(());
        };
        device.told_up_to = device.told_up_to.max(watermark.read_up_to);
        // It may have risen while it was on its way.
        if device.told_up_to >= device.read_up_to {
            self.rows.remove(Table::Due, &key)?;
        }
        self.put_record(Table::Devices, &key, &device)
    }

    /// Everything of ours up to `read_up_to` was shown to `peer`. Goes through at most [`CHUNK`]
    /// messages, from number `from` on.
    pub(crate) fn mark_read(
        &self,
        peer: u64,
        read_up_to: u64,
        read_unix_ms: u64,
        from: u64,
    ) -> Result<Marked, StoreError> {
        let mut peer = self.peer(peer)?;
        if read_up_to > peer.read_up_to {
            peer.read_up_to = read_up_to;
            peer.read_unix_ms = read_unix_ms;
            self.put_peer(&peer)?;
        }
        let (first, last) = (pair(peer.number, from), pair(peer.number, read_up_to));
        let rows = self.rows.scan(Table::Delivered, &first, &last, Order::Rising, CHUNK)?;
        let mut marked = Marked::default();
        if rows.len() == CHUNK {
            let last = rows.last().map(|(place, _)| second(place)).transpose()?;
            marked.next = last.and_then(|sequence| sequence.checked_add(1));
        }
        for (place, row) in rows {
            let (key, mut record) = self.message_row(number(&row)?)?;
            record.read_unix_ms = read_unix_ms.max(1);
            self.put_record(Table::Messages, &key, &record)?;
            self.rows.remove(Table::Delivered, &place)?;
            marked.ids.push(id_of(&decode(&record.envelope)?)?);
        }
        Ok(marked)
    }

    fn raise(
        &self,
        peer: u64,
        device_id: &DeviceId,
        sequence: u64,
        now_unix_ms: u64,
    ) -> Result<(), StoreError> {
        let key = self.device_key(peer, device_id);
        let mut device = self.record::<DeviceRow>(Table::Devices, &key)?.unwrap_or_default();
        if sequence > device.read_up_to {
            device.device_id = device_id.as_bytes().to_vec();
            device.read_up_to = sequence;
            device.read_unix_ms = now_unix_ms;
            self.put_record(Table::Devices, &key, &device)?;
            self.rows.put(Table::Due, &key, &[])?;
        }
        assert!(device.read_up_to >= sequence, "watermarks only rise");
        Ok(())
    }
}
