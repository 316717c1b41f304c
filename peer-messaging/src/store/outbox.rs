//! What we sent: taken, handed out for delivery, and settled.

use crate::{
    envelope::{self, BATCH_BYTES, MAX_ENVELOPES, Sender},
    message::{MessageId, Stage},
    store::{
        error::StoreError,
        peer::Peer,
        record::MessageRow,
        table::{Change, Order, Rows, Table, number, pair, second},
        view::View,
    },
};
use prost::Message as _;
use telegraph_proto::peer::Envelope;

/// Messages one decision moves at most; what is more goes in further changes.
pub(crate) const CHUNK: usize = 512;

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutboxLimits {
    pub(crate) per_recipient: u64,
    pub(crate) in_all: u64,
}

/// What became of a new message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Composed {
    /// It is kept.
    Queued(Stage),
    /// Too much waits already: for this person, or in all.
    Full { waiting: u64 },
}

/// One message on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queued {
    pub(crate) id: MessageId,
    pub(crate) sequence: u64,
    pub(crate) envelope: Envelope,
}

/// What the addressee said for good.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Delivered,
    Refused(String),
}

impl<R: Rows> View<'_, R> {
    /// The oldest messages for a peer that are not answered for good: as many as fit one call.
    pub(crate) fn next_batch(&self, peer: u64) -> Result<Vec<Queued>, StoreError> {
        let (first, last) = (pair(peer, 0), pair(peer, u64::MAX));
        let rows = self.rows.scan(Table::Outbox, &first, &last, Order::Rising, MAX_ENVELOPES)?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (key, row) in rows {
            let (_, record) = self.message_row(number(&row)?)?;
            bytes += record.envelope.len();
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            let envelope = decode(&record.envelope)?;
            batch.push(Queued { id: id_of(&envelope)?, sequence: second(&key)?, envelope });
        }
        Ok(batch)
    }

    /// The row of a message of ours.
    pub(crate) fn own_row(&self, id: &MessageId) -> Result<Option<u64>, StoreError> {
        self.number(Table::Ids, &self.own_key(id))
    }

    /// How far a message of ours has come. `None`: there is none of that id.
    pub(crate) fn stage(&self, id: &MessageId) -> Result<Option<Stage>, StoreError> {
        let Some(row) = self.own_row(id)? else { return Ok(None) };
        let (_, record) = self.message_row(row)?;
        let peer = self.peer(record.peer)?;
        Ok(Some(stage_of(&record, &peer)))
    }

    /// A message's record with its key. Fails with [`StoreError::Damaged`] when it is missing.
    pub(crate) fn message_row(&self, row: u64) -> Result<([u8; 8], MessageRow), StoreError> {
        let key = row.to_be_bytes();
        let record = self.record(Table::Messages, &key)?;
        Ok((key, record.ok_or(StoreError::Damaged("a message without a record"))?))
    }

    fn own_key(&self, id: &MessageId) -> [u8; 16] {
        self.sealer.hash("out", &[id.as_bytes()])
    }
}

impl<C: Change> View<'_, C> {
    /// Takes a message for `peer`, which becomes known by it.
    pub(crate) fn compose(
        &self,
        sender: &Sender,
        peer: u64,
        message: (MessageId, &str, u64),
        limits: OutboxLimits,
    ) -> Result<Composed, StoreError> {
        let mut peer = self.peer(peer)?;
        let waiting = self.tally(peer.number)?.pending;
        let in_all = self.sums()?.pending;
        if waiting >= limits.per_recipient {
            return Ok(Composed::Full { waiting });
        }
        if in_all >= limits.in_all {
            return Ok(Composed::Full { waiting: in_all });
        }
        self.make_known(&mut peer)?;
        let row = self.highest(Table::Messages)?.saturating_add(1);
        let (id, text, composed_unix_ms) = message;
        self.address(sender, &mut peer, row, (id, text.to_owned(), composed_unix_ms))?;
        self.rows.put(Table::Conversations, &pair(peer.number, row), &[])?;
        self.put_number(Table::Ids, &self.own_key(&id), row)?;
        self.count_pending(peer.number, 1)?;
        self.put_peer(&peer)?;
        Ok(Composed::Queued(pending_stage(&peer)))
    }

    /// Enters what the addressee said, and returns how far each message has come by it. Messages
    /// that were settled before are left out.
    pub(crate) fn settle(
        &self,
        peer: u64,
        verdicts: &[(u64, Verdict)],
        now_unix_ms: u64,
    ) -> Result<Vec<(MessageId, Stage)>, StoreError> {
        let peer = self.peer(peer)?;
        let mut changed = Vec::new();
        for (sequence, verdict) in verdicts {
            let place = pair(peer.number, *sequence);
            let Some(row) = self.number(Table::Outbox, &place)? else { continue };
            let (key, mut record) = self.message_row(row)?;
            match verdict {
                Verdict::Refused(why) => record.failed.clone_from(why),
                Verdict::Delivered => {
                    record.delivered_unix_ms = now_unix_ms.max(1);
                    if *sequence <= peer.read_up_to {
                        record.read_unix_ms = peer.read_unix_ms.max(1);
                    } else {
                        self.put_number(Table::Delivered, &place, row)?;
                    }
                }
            }
            self.rows.remove(Table::Outbox, &place)?;
            self.put_record(Table::Messages, &key, &record)?;
            changed.push((id_of(&decode(&record.envelope)?)?, stage_of(&record, &peer)));
        }
        let settled = i64::try_from(changed.len()).unwrap_or(i64::MAX);
        self.count_pending(peer.number, -settled)?;
        Ok(changed)
    }

    /// Addresses at most [`CHUNK`] of what waits for `from` to `to`, which has the name now. Ids
    /// and texts stay. Returns the ids; none: it is done.
    pub(crate) fn readdress(
        &self,
        sender: &Sender,
        from: u64,
        to: u64,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut to = self.peer(to)?;
        let (first, last) = (pair(from, 0), pair(from, u64::MAX));
        let rows = self.rows.scan(Table::Outbox, &first, &last, Order::Rising, CHUNK)?;
        let mut ids = Vec::new();
        for (place, row) in rows {
            let row = number(&row)?;
            let (_, record) = self.message_row(row)?;
            let envelope = decode(&record.envelope)?;
            let (id, composed) = (id_of(&envelope)?, envelope.composed_unix_ms);
            self.rows.remove(Table::Outbox, &place)?;
            self.rows.remove(Table::Conversations, &pair(from, row))?;
            self.address(sender, &mut to, row, (id, envelope::text(envelope), composed))?;
            self.rows.put(Table::Conversations, &pair(to.number, row), &[])?;
            ids.push(id);
        }
        let moved = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        self.count_pending(from, -moved)?;
        self.count_pending(to.number, moved)?;
        self.put_peer(&to)?;
        Ok(ids)
    }

    /// Gives a message its number and envelope, and puts it into the outbox.
    fn address(
        &self,
        sender: &Sender,
        peer: &mut Peer,
        row: u64,
        message: (MessageId, String, u64),
    ) -> Result<(), StoreError> {
        let (id, text, composed_unix_ms) = message;
        let sequence = peer.last_sequence.saturating_add(1);
        assert!(sequence > peer.last_sequence, "numbers of messages only rise");
        let link = (sequence, peer.last_hash.as_slice());
        let envelope =
            envelope::compose(sender, &peer.account_id(), id, link, composed_unix_ms, text);
        let envelope = envelope.encode_to_vec();
        peer.last_sequence = sequence;
        peer.last_hash = envelope::hash(&envelope).to_vec();
        let record =
            MessageRow { peer: peer.number, outgoing: true, envelope, ..MessageRow::default() };
        self.put_record(Table::Messages, &row.to_be_bytes(), &record)?;
        self.put_number(Table::Outbox, &pair(peer.number, sequence), row)
    }
}

/// How far a message has come, of ours or of theirs.
pub(crate) fn stage_of(record: &MessageRow, peer: &Peer) -> Stage {
    if !record.failed.is_empty() {
        Stage::Failed(record.failed.clone())
    } else if record.read_unix_ms > 0 {
        Stage::Read
    } else if record.delivered_unix_ms > 0 {
        Stage::Delivered
    } else {
        pending_stage(peer)
    }
}

/// The stage of what waits for `peer`.
pub(crate) fn pending_stage(peer: &Peer) -> Stage {
    if peer.is_held() {
        let name = peer.correspondent();
        Stage::Held(format!("the directory names another key for {name} than the one known here"))
    } else {
        Stage::Pending
    }
}

pub(crate) fn decode(envelope: &[u8]) -> Result<Envelope, StoreError> {
    Envelope::decode(envelope).map_err(|_| StoreError::Damaged("an envelope does not decode"))
}

pub(crate) fn id_of(envelope: &Envelope) -> Result<MessageId, StoreError> {
    MessageId::from_slice(&envelope.message_id)
        .map_err(|_| StoreError::Damaged("an envelope without an id"))
}
