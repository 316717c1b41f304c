//! Envelopes: made here, and checked when they come from somebody.

use crate::message::MessageId;
use sha2::{Digest, Sha256};
use telegraph_proto::{
    account::{AccountId, DeviceId},
    peer::{Content, Envelope, content::Kind},
};

/// Most bytes of a text: some eight printed pages.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Most envelopes of one call.
pub(crate) const MAX_ENVELOPES: usize = 32;
/// Bytes of envelopes a call is filled up to: well below [`MAX_MESSAGE_BYTES`], and above one.
pub(crate) const BATCH_BYTES: usize = 512 * 1024;
/// Most bytes of a call or its answer.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Highest number of a message: at a thousand a second, nine thousand years.
pub(crate) const MAX_SEQUENCE: u64 = 1 << 48;
/// Version of the calls between people.
pub(crate) const PROTOCOL_VERSION: u32 = 1;

/// Whose envelope it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) account_id: AccountId,
    pub(crate) device_id: DeviceId,
}

/// Why an envelope is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is for another account.
    NotAddressee,
    /// It will never be acceptable.
    Refused(&'static str),
}

/// An envelope whose every field was checked.
///
/// - The sender is the caller, the addressee is this account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checked {
    pub(crate) id: MessageId,
    pub(crate) device_id: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) previous: Vec<u8>,
    /// As it is kept.
    pub(crate) encoded: Vec<u8>,
}

/// What links an envelope to the one after it.
pub(crate) fn hash(encoded: &[u8]) -> [u8; 32] {
    Sha256::digest(encoded).into()
}

/// An envelope of ours. `previous` is the hash of the one before it, empty for the first.
pub(crate) fn compose(
    sender: &Sender,
    to: &AccountId,
    id: MessageId,
    link: (u64, &[u8]),
    composed_unix_ms: u64,
    text: String,
) -> Envelope {
    let (sequence, previous) = link;
    Envelope {
        message_id: id.as_bytes().to_vec(),
        from_account_id: sender.account_id.as_bytes().to_vec(),
        from_device_id: sender.device_id.as_bytes().to_vec(),
        to_account_id: to.as_bytes().to_vec(),
        sequence,
        previous: if previous.is_empty() { vec![0; 32] } else { previous.to_vec() },
        composed_unix_ms,
        content: Some(Content { kind: Some(Kind::Text(text)), in_reply_to: Vec::new() }),
    }
}

/// The text of an envelope that was checked or made here.
pub(crate) fn text(envelope: Envelope) -> String {
    match envelope.content.and_then(|content| content.kind) {
        Some(Kind::Text(text)) => text,
        None => String::new(),
    }
}

/// Believes an envelope from `caller` to `own`. Fails with the first thing that is wrong.
pub(crate) fn check(
    envelope: &Envelope,
    caller: &AccountId,
    own: &AccountId,
) -> Result<Checked, Refusal> {
    let refused = Refusal::Refused;
    let id = MessageId::from_slice(&envelope.message_id)
        .map_err(|_| refused("the message id is not a UUID of version 7"))?;
    let from = AccountId::from_slice(&envelope.from_account_id)
        .map_err(|_| refused("the sender's account id has not 32 bytes"))?;
    if from != *caller {
        return Err(refused("the sender is not who sends it"));
    }
    let to = AccountId::from_slice(&envelope.to_account_id)
        .map_err(|_| refused("the addressee's account id has not 32 bytes"))?;
    if to != *own {
        return Err(Refusal::NotAddressee);
    }
    let device_id = DeviceId::from_slice(&envelope.from_device_id)
        .map_err(|_| refused("the sender's device id has not 16 bytes"))?;
    if envelope.sequence == 0 || envelope.sequence > MAX_SEQUENCE {
        return Err(refused("the sequence number is out of bounds"));
    }
    if envelope.previous.len() != 32 {
        return Err(refused("the hash of the previous envelope has not 32 bytes"));
    }
    check_content(envelope.content.as_ref())?;
    Ok(Checked {
        id,
        device_id,
        sequence: envelope.sequence,
        previous: envelope.previous.clone(),
        encoded: prost::Message::encode_to_vec(envelope),
    })
}

fn check_content(content: Option<&Content>) -> Result<(), Refusal> {
    let refused = Refusal::Refused;
    let content = content.ok_or(refused("there is no content"))?;
    if !content.in_reply_to.is_empty() && MessageId::from_slice(&content.in_reply_to).is_err() {
        return Err(refused("what it answers is not a message id"));
    }
    match &content.kind {
        None => Err(refused("a kind of content that is not known here")),
        Some(Kind::Text(text)) if text.is_empty() => Err(refused("the text is empty")),
        Some(Kind::Text(text)) if text.len() > MAX_TEXT_BYTES => {
            Err(refused("the text is longer than 16,384 bytes"))
        }
        Some(Kind::Text(_)) => Ok(()),
    }
}
