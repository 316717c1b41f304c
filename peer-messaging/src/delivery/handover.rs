//! Handing over: messages, and what was read.

use crate::{
    clock::unix_ms,
    delivery::{trouble::Trouble, visitor::Visitor},
    envelope::PROTOCOL_VERSION,
    office::Office,
    store::{
        outbox::{Queued, Verdict},
        peer::Peer,
    },
};
use telegraph_proto::peer::{DeliverRequest, MarkReadRequest, Receipt, receipt::Outcome};
use tonic::Status;

impl Visitor {
    /// Hands over `first` and all that comes after it, in order, one call at a time.
    pub(crate) async fn deliver(
        &mut self,
        office: &Office,
        first: Vec<Queued>,
    ) -> Result<(), Trouble> {
        let mut batch = first;
        while !batch.is_empty() {
            office.hand_over(batch.iter().map(|queued| queued.id));
            let envelopes = batch.iter().map(|queued| queued.envelope.clone()).collect();
            let request = DeliverRequest { protocol_version: PROTOCOL_VERSION, envelopes };
            let reply =
                self.call(office, |mut link| async move { link.deliver(request).await }).await?;
            let (verdicts, trouble) = judge(&batch, &reply.receipts);
            let peer = self.peer;
            let now = unix_ms();
            if !verdicts.is_empty() {
                let settle =
                    office.store.write(move |view| view.settle(peer, &verdicts, now)).await?;
                office.advanced(settle);
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
            batch = office.store.read(move |view| view.next_batch(peer)).await?;
        }
        Ok(())
    }

    /// Tells what was read here.
    pub(crate) async fn tell_read(&mut self, office: &Office, peer: &Peer) -> Result<(), Trouble> {
        loop {
            let number = self.peer;
            let due = office.store.read(move |view| view.due(number)).await?;
            if due.is_empty() {
                return Ok(());
            }
            for watermark in due {
                let request = MarkReadRequest {
                    protocol_version: PROTOCOL_VERSION,
                    reader_account_id: office.sender.account_id.as_bytes().to_vec(),
                    sender_account_id: peer.account_id().as_bytes().to_vec(),
                    sender_device_id: watermark.device_id.as_bytes().to_vec(),
                    read_up_to: watermark.read_up_to,
                    read_unix_ms: watermark.read_unix_ms,
                };
                match self
                    .call(office, |mut link| async move { link.mark_read(request).await })
                    .await
                {
                    Ok(_) => {}
                    // They do not have these messages any more: there is nobody to tell.
                    Err(Trouble::Call(status)) if is_final(&status) => {
                        tracing::debug!(peer = number, %status, "a watermark is not wanted");
                    }
                    Err(trouble) => return Err(trouble),
                }
                office.store.write(move |view| view.told(number, &watermark)).await?;
            }
        }
    }
}

/// What the receipts say for good, and why to come again. Receipts have to be those of the batch.
fn judge(batch: &[Queued], receipts: &[Receipt]) -> (Vec<(u64, Verdict)>, Option<Trouble>) {
    let mut verdicts = Vec::new();
    if receipts.len() != batch.len() {
        return (verdicts, Some(Trouble::Nonsense));
    }
    for (queued, receipt) in batch.iter().zip(receipts) {
        if receipt.message_id != queued.id.as_bytes() {
            return (verdicts, Some(Trouble::Nonsense));
        }
        match receipt.outcome() {
            Outcome::Delivered => verdicts.push((queued.sequence, Verdict::Delivered)),
            Outcome::Refused => {
                let why: String = receipt.detail.chars().take(200).collect();
                let why = if why.is_empty() { "refused by the other side".into() } else { why };
                verdicts.push((queued.sequence, Verdict::Refused(why)));
            }
            // Later ones must not overtake it.
            Outcome::Busy => return (verdicts, Some(Trouble::Busy)),
            Outcome::NotAddressee | Outcome::Unspecified => {
                return (verdicts, Some(Trouble::Nonsense));
            }
        }
    }
    (verdicts, None)
}

/// True when the same call will never succeed.
fn is_final(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::InvalidArgument | tonic::Code::NotFound)
}
