//! What came from others: kept once, however often it is sent.

use crate::{
    envelope::{self, Checked},
    message::{Message, MessageId},
    store::{
        error::StoreError,
        peer::Peer,
        record::{DeviceRow, MessageRow},
        table::{Change, Rows, Table, pair},
        view::View,
    },
};
use telegraph_proto::account::{DeviceId, PublicKey};

/// How much may lie here that nobody has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InboxLimits {
    pub(crate) per_sender: u64,
    pub(crate) per_stranger: u64,
    pub(crate) all_strangers: u64,
}

/// What became of messages that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    /// Those that are new here, as people see them.
    pub(crate) new: Vec<Message>,
    /// How many of them are durable here, now or since before; the rest did not find room.
    pub(crate) kept: usize,
    /// Who sent them has no name yet.
    pub(crate) nameless: bool,
    pub(crate) peer: u64,
}

impl<R: Rows> View<'_, R> {
    pub(crate) fn their_key(&self, peer: &Peer, id: &MessageId) -> [u8; 16] {
        self.sealer.hash("in", &[peer.account_id().as_bytes(), id.as_bytes()])
    }

    pub(crate) fn device_key(&self, peer: u64, device: &DeviceId) -> [u8; 24] {
        let mut key = [0; 24];
        key[..8].copy_from_slice(&peer.to_be_bytes());
        key[8..].copy_from_slice(&self.sealer.hash("device", &[device.as_bytes()]));
        key
    }
}

impl<C: Change> View<'_, C> {
    /// Keeps what `sender` sent and is not here yet, in order, up to the first that finds no room.
    pub(crate) fn take(
        &self,
        sender: &PublicKey,
        envelopes: &[Checked],
        limits: InboxLimits,
        now_unix_ms: u64,
    ) -> Result<Taken, StoreError> {
        let known = self.peer_of(&sender.account_id())?;
        let room = self.room(known.as_ref(), limits)?;
        if known.is_none() && room == 0 {
            // Strangers without end must not fill the disk with their names either.
            return Ok(Taken { new: Vec::new(), kept: 0, nameless: false, peer: 0 });
        }
        let peer = self.peer_with_key(sender)?;
        let mut new = Vec::new();
        let mut kept = 0;
        for checked in envelopes {
            let id_key = self.their_key(&peer, &checked.id);
            if self.number(Table::Ids, &id_key)?.is_none() {
                if u64::try_from(new.len()).unwrap_or(u64::MAX) >= room {
                    break;
                }
                let row = self.enter(&peer, checked, now_unix_ms)?;
                self.put_number(Table::Ids, &id_key, row)?;
                new.push(self.message(row)?);
            }
            kept += 1;
        }
        let more = i64::try_from(new.len()).unwrap_or(i64::MAX);
        self.count_unread(peer.number, !peer.known, more)?;
        let (nameless, peer) = (peer.username.is_none(), peer.number);
        Ok(Taken { new, kept, nameless, peer })
    }

    fn room(&self, peer: Option<&Peer>, limits: InboxLimits) -> Result<u64, StoreError> {
        let unread = match peer {
            Some(peer) => self.tally(peer.number)?.unread,
            None => 0,
        };
        if peer.is_some_and(|peer| peer.known) {
            return Ok(limits.per_sender.saturating_sub(unread));
        }
        let all = limits.all_strangers.saturating_sub(self.sums()?.unread);
        Ok(limits.per_stranger.saturating_sub(unread).min(all))
    }

    fn enter(&self, peer: &Peer, checked: &Checked, now_unix_ms: u64) -> Result<u64, StoreError> {
        let row = self.highest(Table::Messages)?.saturating_add(1);
        let device_key = self.device_key(peer.number, &checked.device_id);
        let device = self.record::<DeviceRow>(Table::Devices, &device_key)?;
        let gap = device.as_ref().is_some_and(|device| is_ahead(device, checked));
        let mut device = device.unwrap_or_default();
        device.device_id = checked.device_id.as_bytes().to_vec();
        if checked.sequence > device.received_up_to {
            device.received_up_to = checked.sequence;
            device.received_hash = envelope::hash(&checked.encoded).to_vec();
        }
        self.put_record(Table::Devices, &device_key, &device)?;
        let record = MessageRow {
            peer: peer.number,
            outgoing: false,
            envelope: checked.encoded.clone(),
            delivered_unix_ms: now_unix_ms.max(1),
            read_unix_ms: 0,
            failed: String::new(),
            gap,
        };
        self.put_record(Table::Messages, &row.to_be_bytes(), &record)?;
        self.rows.put(Table::Conversations, &pair(peer.number, row), &[])?;
        self.rows.put(Table::Unread, &pair(peer.number, row), &[])?;
        Ok(row)
    }
}

/// True when something is missing between what a device sent last and this: numbers, or what the
/// sender says came before. A latecomer is not ahead.
fn is_ahead(device: &DeviceRow, checked: &Checked) -> bool {
    let follows = Some(checked.sequence) == device.received_up_to.checked_add(1)
        && checked.previous == device.received_hash;
    checked.sequence > device.received_up_to && !follows
}
