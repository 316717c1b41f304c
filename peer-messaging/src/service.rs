//! What others may ask of us, each over a connection that proves who they are.

use crate::{
    clock::unix_ms,
    delivery::{Delivery, bell::Call},
    envelope::{self, Checked, MAX_ENVELOPES, PROTOCOL_VERSION, Refusal},
    event::Event,
    message::{MessageId, Stage},
    office::Office,
    store::{error::StoreError, inbox::InboxLimits},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use telegraph_proto::{
    account::{AccountId, DeviceId, PublicKey},
    peer::{
        DeliverReply, DeliverRequest, KnockReply, KnockRequest, MarkReadReply, MarkReadRequest,
        Receipt, peer_service_server::PeerService, receipt::Outcome,
    },
};
use tonic::{Request, Response, Status};

/// The calls of one connection.
///
/// - `caller` was proven in TLS; no message is believed about it.
#[derive(Debug)]
pub(crate) struct Reception {
    office: Arc<Office>,
    delivery: Delivery,
    caller: PublicKey,
    account: AccountId,
    answered: Arc<AtomicU64>,
    /// Where a caller said to be who was not known then: kept as soon as they are.
    heard: Mutex<Option<(Vec<SocketAddr>, u64)>>,
}

impl Reception {
    /// `answered` counts calls that made sense: a connection without any is not kept.
    pub(crate) fn new(
        office: Arc<Office>,
        delivery: Delivery,
        caller: PublicKey,
        answered: Arc<AtomicU64>,
    ) -> Self {
        let account = caller.account_id();
        Self { office, delivery, caller, account, answered, heard: Mutex::default() }
    }

    fn limits(&self) -> InboxLimits {
        let config = &self.office.config;
        InboxLimits {
            per_sender: config.unread_per_sender,
            per_stranger: config.unread_per_stranger,
            all_strangers: config.unread_of_strangers,
        }
    }

    /// Keeps the acceptable ones among `checked`, all in one commit, and answers each.
    async fn keep(
        &self,
        checked: Vec<Result<Checked, Refusal>>,
    ) -> Result<Vec<(Outcome, &'static str)>, Status> {
        let fit: Vec<Checked> = checked.iter().filter_map(|c| c.as_ref().ok()).cloned().collect();
        let mut kept = 0;
        if !fit.is_empty() {
            let (caller, limits, now) = (self.caller, self.limits(), unix_ms());
            let take = self.office.store.write(move |view| view.take(&caller, &fit, limits, now));
            let taken = take.await.map_err(|error| unavailable(&error))?;
            kept = taken.kept;
            self.keep_heard(taken.peer).await.map_err(|error| unavailable(&error))?;
            if taken.nameless && !taken.new.is_empty() {
                self.delivery.call(taken.peer, Call::Name);
            }
            for message in taken.new {
                self.office.events.send(Event::Received(message));
            }
        }
        let mut full = false;
        let answers = checked.iter().map(|checked| match checked {
            // Nothing overtakes what found no room.
            _ if full => (Outcome::Busy, "too much waits to be read here"),
            Err(Refusal::NotAddressee) => (Outcome::NotAddressee, ""),
            Err(Refusal::Refused(why)) => (Outcome::Refused, *why),
            Ok(_) if kept > 0 => {
                kept -= 1;
                (Outcome::Delivered, "")
            }
            Ok(_) => {
                full = true;
                (Outcome::Busy, "too much waits to be read here")
            }
        });
        Ok(answers.collect())
    }

    /// Enters a watermark, a bounded number of messages at a time.
    async fn mark(&self, peer: u64, read_up_to: u64, at: u64) -> Result<u32, Status> {
        let mut from = 0;
        let mut count: u32 = 0;
        loop {
            let mark =
                self.office.store.write(move |view| view.mark_read(peer, read_up_to, at, from));
            let marked = mark.await.map_err(|error| unavailable(&error))?;
            count = count.saturating_add(u32::try_from(marked.ids.len()).unwrap_or(u32::MAX));
            let read = |id: MessageId| (id, Stage::Read);
            self.office.advanced(marked.ids.into_iter().map(read).collect());
            match marked.next {
                Some(next) => from = next,
                None => return Ok(count),
            }
        }
    }

    /// Keeps where the caller said to be before there was anything to keep it with.
    async fn keep_heard(&self, peer: u64) -> Result<(), StoreError> {
        let heard = self.heard().take();
        match heard {
            Some((addresses, sequence)) if peer > 0 => {
                self.office.keep_address(peer, addresses, sequence).await
            }
            _ => Ok(()),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Option<(Vec<SocketAddr>, u64)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl PeerService for Reception {
    async fn deliver(
        &self,
        request: Request<DeliverRequest>,
    ) -> Result<Response<DeliverReply>, Status> {
        let DeliverRequest { protocol_version, envelopes } = request.into_inner();
        speaks(protocol_version)?;
        if envelopes.is_empty() || envelopes.len() > MAX_ENVELOPES {
            return Err(Status::invalid_argument("a call has 1 to 32 envelopes"));
        }
        let own = self.office.sender.account_id;
        let checked: Vec<_> =
            envelopes.iter().map(|e| envelope::check(e, &self.account, &own)).collect();
        in_one_line(&checked)?;
        let answers = self.keep(checked).await?;
        self.answered();
        let receipts = envelopes.into_iter().zip(answers).map(|(envelope, (outcome, detail))| {
            let mut message_id = envelope.message_id;
            message_id.truncate(16);
            Receipt { message_id, outcome: outcome.into(), detail: detail.to_owned() }
        });
        Ok(Response::new(DeliverReply { receipts: receipts.collect() }))
    }

    async fn mark_read(
        &self,
        request: Request<MarkReadRequest>,
    ) -> Result<Response<MarkReadReply>, Status> {
        let request = request.into_inner();
        speaks(request.protocol_version)?;
        let malformed = |_| Status::invalid_argument("an id has the wrong size");
        let reader = AccountId::from_slice(&request.reader_account_id).map_err(malformed)?;
        let sender = AccountId::from_slice(&request.sender_account_id).map_err(malformed)?;
        let device = DeviceId::from_slice(&request.sender_device_id).map_err(malformed)?;
        if reader != self.account {
            return Err(Status::permission_denied("the reader is not who calls"));
        }
        let own = self.office.sender;
        if sender != own.account_id || device != own.device_id {
            return Err(Status::not_found("nothing was sent from here by that device"));
        }
        let account = self.account;
        let peer = self.office.store.read(move |view| view.peer_of(&account)).await;
        let peer = peer.map_err(|error| unavailable(&error))?;
        let peer = peer.ok_or(Status::not_found("nothing was ever sent to the caller"))?;
        if request.read_up_to == 0 || request.read_up_to > peer.last_sequence {
            return Err(Status::invalid_argument("no message has that number"));
        }
        let marked = self.mark(peer.number, request.read_up_to, request.read_unix_ms).await?;
        self.answered();
        Ok(Response::new(MarkReadReply { marked }))
    }

    async fn knock(&self, request: Request<KnockRequest>) -> Result<Response<KnockReply>, Status> {
        let KnockRequest { protocol_version, address } = request.into_inner();
        speaks(protocol_version)?;
        let heard = address.map(|statement| self.office.believe(&statement, &self.caller));
        let heard = heard.transpose().map_err(|e| Status::invalid_argument(e.to_string()))?;
        let account = self.account;
        let known = self.office.store.read(move |view| {
            let Some(peer) = view.peer_of(&account)? else { return Ok(None) };
            let waits = view.has_work(peer.number)?;
            Ok(Some((peer, waits)))
        });
        if let Some((peer, waits)) = known.await.map_err(|error| unavailable(&error))? {
            if let Some((addresses, sequence)) = heard
                && sequence > peer.address_sequence
            {
                let keep = self.office.keep_address(peer.number, addresses, sequence);
                keep.await.map_err(|error| unavailable(&error))?;
            }
            if waits {
                self.delivery.call(peer.number, Call::Arrived);
            }
        } else {
            *self.heard() = heard;
        }
        self.answered();
        Ok(Response::new(KnockReply { address: self.office.announced() }))
    }
}

fn speaks(version: u32) -> Result<(), Status> {
    if version == PROTOCOL_VERSION {
        Ok(())
    } else {
        Err(Status::failed_precondition("this program speaks version 1"))
    }
}

/// All of one device, in rising order: what a call has to be. What is malformed in itself is
/// answered for itself.
fn in_one_line(checked: &[Result<Checked, Refusal>]) -> Result<(), Status> {
    let mut last: Option<&Checked> = None;
    for next in checked.iter().flatten() {
        if let Some(last) = last {
            if last.device_id != next.device_id {
                return Err(Status::invalid_argument("a call has envelopes of one device"));
            }
            if last.sequence >= next.sequence {
                return Err(Status::invalid_argument("envelopes come in rising order"));
            }
        }
        last = Some(next);
    }
    Ok(())
}

/// Our store fails: the caller keeps what it has, and learns nothing of the reason.
fn unavailable(error: &StoreError) -> Status {
    tracing::error!(%error, "the store failed");
    Status::unavailable("not now")
}
