//! Messages as people see them.

use crate::{
    envelope,
    message::{Direction, Message, MessageId},
    store::{
        error::StoreError,
        outbox::{decode, id_of, stage_of},
        peer::Peer,
        table::{Order, Rows, Table, number, pair, second},
        view::View,
    },
};
use std::collections::{HashMap, hash_map::Entry};
use telegraph_proto::account::DeviceId;

/// Most keys one person had here, one after the other, that a history reaches back through.
const MAX_PREDECESSORS: usize = 16;

impl<R: Rows> View<'_, R> {
    /// A message by its row.
    pub(crate) fn message(&self, row: u64) -> Result<Message, StoreError> {
        let (_, record) = self.message_row(row)?;
        let peer = self.peer(record.peer)?;
        self.shown(row, &peer).map(|(message, _)| message)
    }

    /// The row of a message received, by its id; `None`: no message of `peer` has it.
    pub(crate) fn received_row(
        &self,
        peer: &Peer,
        id: &MessageId,
    ) -> Result<Option<u64>, StoreError> {
        self.number(Table::Ids, &self.their_key(peer, id))
    }

    /// The newest `limit` messages with `with`, or with everybody, that are older than row
    /// `before`: oldest first, what one device sent in the order it was sent.
    pub(crate) fn history(
        &self,
        with: Option<&Peer>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let mut rows = match with {
            None => self.all_rows(before, limit)?,
            Some(peer) => self.rows_with(peer, before, limit)?,
        };
        rows.sort_unstable();
        let mut peers: HashMap<u64, Peer> = HashMap::new();
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            let (_, record) = self.message_row(row)?;
            let peer = match peers.entry(record.peer) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.peer(record.peer)?),
            };
            page.push(self.shown(row, peer)?);
        }
        put_in_order(&mut page);
        Ok(page.into_iter().map(|(message, _)| message).collect())
    }

    fn all_rows(&self, before: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let last = before.saturating_sub(1).to_be_bytes();
        let rows = self.rows.scan(Table::Messages, &[0; 8], &last, Order::Falling, limit)?;
        rows.iter().map(|(key, _)| number(key)).collect()
    }

    fn rows_with(&self, peer: &Peer, before: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let mut rows = Vec::new();
        let mut of = peer.clone();
        for _ in 0..MAX_PREDECESSORS {
            let (first, last) = (pair(of.number, 0), pair(of.number, before.saturating_sub(1)));
            let found =
                self.rows.scan(Table::Conversations, &first, &last, Order::Falling, limit)?;
            for (key, _) in found {
                rows.push(second(&key)?);
            }
            if of.predecessor == 0 {
                break;
            }
            of = self.peer(of.predecessor)?;
        }
        rows.sort_unstable_by(|a, b| b.cmp(a));
        rows.truncate(limit);
        Ok(rows)
    }

    fn shown(&self, row: u64, peer: &Peer) -> Result<(Message, Option<DeviceId>), StoreError> {
        let (_, record) = self.message_row(row)?;
        let envelope = decode(&record.envelope)?;
        let device = (!record.outgoing).then(|| DeviceId::from_slice(&envelope.from_device_id));
        let device = device.transpose().map_err(|_| StoreError::Damaged("a device id"))?;
        let at = |unix_ms: u64| (unix_ms > 0).then_some(unix_ms);
        let message = Message {
            id: id_of(&envelope)?,
            direction: if record.outgoing { Direction::Outgoing } else { Direction::Incoming },
            with: peer.correspondent(),
            sequence: envelope.sequence,
            gap: record.gap,
            composed_unix_ms: envelope.composed_unix_ms,
            delivered_unix_ms: at(record.delivered_unix_ms),
            read_unix_ms: at(record.read_unix_ms),
            stage: stage_of(&record, peer),
            text: envelope::text(envelope),
        };
        Ok((message, device))
    }
}

/// Messages may arrive out of order; those of one device trade places until they are in it.
fn put_in_order(page: &mut [(Message, Option<DeviceId>)]) {
    let mut places: HashMap<(_, DeviceId), Vec<usize>> = HashMap::new();
    for (at, (message, device)) in page.iter().enumerate() {
        if let Some(device) = device {
            places.entry((message.with.account_id, *device)).or_default().push(at);
        }
    }
    for places in places.values() {
        let mut messages: Vec<_> = places.iter().filter_map(|at| page.get(*at)).cloned().collect();
        messages.sort_by_key(|(message, _)| message.sequence);
        for (at, message) in places.iter().zip(messages) {
            if let Some(place) = page.get_mut(*at) {
                *place = message;
            }
        }
    }
}
