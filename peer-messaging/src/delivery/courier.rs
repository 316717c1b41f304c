//! One courier: brings one person what waits for them, as often as it takes.

use crate::{clock::unix_ms, directory::DirectoryError, envelope::PROTOCOL_VERSION};
use crate::{
    delivery::{
        Delivery,
        backoff::Backoff,
        bell::{Bell, Call, Calls},
    },
    link::{self, Link, LinkError},
    office::{LookupError, Office},
    store::{
        error::StoreError,
        outbox::{Queued, Verdict},
        peer::{Met, Peer},
    },
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use telegraph_proto::peer::{
    DeliverRequest, KnockRequest, MarkReadRequest, Receipt, receipt::Outcome,
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

/// A connection that was silent for longer is asked for a sign of life before it is trusted with
/// messages: the other end may have moved on without a word.
const FRESH: Duration = Duration::from_secs(5);
/// Between two attempts that were called for, at least: who calls often does not make us dial often.
const SPACING: Duration = Duration::from_millis(20);

/// Why a courier has to come again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// Not reached at any address, or nobody knows one.
    #[error("not reached")]
    Unreachable(#[source] Option<LinkError>),
    /// A call failed.
    #[error("the call failed: {0}")]
    Call(Status),
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The other end asks for patience.
    #[error("the other side is busy")]
    Busy,
    /// The other end answers what makes no sense.
    #[error("the answer makes no sense")]
    Nonsense,
    /// The directory does not say.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Our own store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How an attempt ended without trouble.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    /// Everything is told.
    Everything,
    /// A decision about a new key is awaited.
    Held,
}

/// Brings `peer` what waits, in order, one call at a time.
pub(crate) struct Courier {
    delivery: Delivery,
    peer: u64,
    bell: Arc<Bell>,
    link: Option<Kept>,
    /// Ask the directory before anything is tried.
    look_up: bool,
    /// Tell the peer where we are.
    knock: bool,
    backoff: Backoff,
}

/// A connection, and when the other end was last heard on it.
struct Kept {
    link: Link,
    heard: Instant,
}

impl Courier {
    pub(crate) fn new(delivery: Delivery, peer: u64, bell: Arc<Bell>) -> Self {
        let config = &delivery.office().config;
        let backoff = Backoff::new(config.first_retry, config.max_retry);
        Self { delivery, peer, bell, link: None, look_up: false, knock: false, backoff }
    }

    /// Runs until nothing is left to do for a while, or until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        loop {
            let calls = self.bell.take();
            self.look_up |= calls.has(Call::Moved);
            self.knock |= calls.has(Call::Knock);
            if calls.are_urgent() {
                self.backoff.reset();
            }
            let began = Instant::now();
            match Box::pin(self.attempt(calls)).await {
                Ok(done) => {
                    self.backoff.reset();
                    self.look_up = false;
                    if !self.idle(&done).await {
                        return;
                    }
                }
                Err(trouble) => {
                    tracing::debug!(peer = self.peer, %trouble, "will try again");
                    if !matches!(trouble, Trouble::Busy | Trouble::Store(_)) {
                        // Wherever we looked, they are not there any more.
                        self.link = None;
                        self.look_up = true;
                    }
                    self.pause(began).await;
                }
            }
        }
    }

    /// Keeps the connection for a while. Returns false when this courier is dismissed.
    async fn idle(&mut self, done: &Done) -> bool {
        let keep = self.delivery.office().config.keep_connection;
        let until = Instant::now() + keep;
        while self.bell.is_silent() {
            if self.link.is_none() || *done == Done::Held || Instant::now() >= until {
                if self.delivery.dismiss(self.peer, &self.bell) {
                    return false;
                }
                continue;
            }
            tokio::select! {
                () = self.bell.rung() => {}
                () = sleep_until(until) => {}
            }
        }
        true
    }

    /// Waits for the timer, or for a reason to try before. New work alone brings the next attempt no
    /// nearer than the first pause.
    async fn pause(&mut self, began: Instant) {
        let now = Instant::now();
        let mut until = now + self.backoff.pause();
        let first = now + self.delivery.office().config.first_retry;
        loop {
            let calls = self.bell.peek();
            if calls.are_urgent() {
                until = until.min(began + SPACING);
            } else if calls.has(Call::Work) {
                until = until.min(first);
            }
            if Instant::now() >= until {
                return;
            }
            tokio::select! {
                () = self.bell.rung() => {}
                () = sleep_until(until) => return,
            }
        }
    }

    async fn attempt(&mut self, calls: Calls) -> Result<Done, Trouble> {
        let delivery = self.delivery.clone();
        let Ok(_turn) = delivery.attempts().acquire().await else {
            return Ok(Done::Held);
        };
        let office = delivery.office();
        let number = self.peer;
        let look = office.store.read(move |view| {
            Ok((view.peer(number)?, view.next_batch(number)?, view.due(number)?))
        });
        let (mut peer, batch, due) = look.await?;
        let nameless = peer.username.is_none();
        if nameless && (calls.has(Call::Name) || self.look_up) {
            peer = self.find_name(office, peer).await?;
        }
        if batch.is_empty() && due.is_empty() && !self.knock {
            return Ok(Done::Everything);
        }
        if !nameless && self.look_up && self.link.is_none() {
            peer = look_up(office, peer).await?;
        }
        if peer.is_held() {
            return Ok(Done::Held);
        }
        if self.open(office, &mut peer).await? == Done::Held {
            return Ok(Done::Held);
        }
        self.deliver(office, batch).await?;
        self.tell_read(office, &peer).await?;
        Ok(Done::Everything)
    }

    /// Finds out what somebody is called who wrote first. That nobody knows is no trouble.
    async fn find_name(&mut self, office: &Office, peer: Peer) -> Result<Peer, Trouble> {
        match office.look_up_account(&peer.account_id()).await {
            Ok(Met::Pinned { peer, .. }) => Ok(peer),
            // The name is somebody else's here: the short id stays.
            Ok(Met::KeyChanged { .. }) | Err(LookupError::Directory(DirectoryError::Unknown)) => {
                Ok(peer)
            }
            Err(error) => {
                self.bell.ring(Call::Name);
                Err(error.into())
            }
        }
    }

    /// Makes sure of a connection on which the peer has answered lately.
    async fn open(&mut self, office: &Office, peer: &mut Peer) -> Result<Done, Trouble> {
        if let Some(kept) = &self.link
            && kept.heard.elapsed() < FRESH
            && !self.knock
        {
            return Ok(Done::Everything);
        }
        if self.link.is_some() && self.greet(office, peer).await.is_ok() {
            return Ok(Done::Everything);
        }
        self.link = None;
        let tried = peer.addresses.clone();
        let mut last = match self.dial(office, peer, &tried).await? {
            Ok(()) => return Ok(Done::Everything),
            Err(error) => error,
        };
        if !self.look_up {
            // What we knew is old. Is there anything newer?
            *peer = look_up(office, peer.clone()).await?;
            if peer.is_held() {
                return Ok(Done::Held);
            }
            if peer.addresses != tried {
                let addresses = peer.addresses.clone();
                last = match self.dial(office, peer, &addresses).await? {
                    Ok(()) => return Ok(Done::Everything),
                    Err(error) => error.or(last),
                };
            }
        }
        Err(Trouble::Unreachable(last))
    }

    /// Connects to the first address where the peer answers, and greets. Nothing but handshakes goes
    /// to the others.
    async fn dial(
        &mut self,
        office: &Office,
        peer: &mut Peer,
        addresses: &[SocketAddr],
    ) -> Result<Result<(), Option<LinkError>>, Trouble> {
        let mut last = None;
        for address in addresses {
            let limit = office.config.connect_timeout;
            let link = link::connect(&office.identity, &peer.public_key, *address, limit).await;
            match link {
                Ok(link) => {
                    self.link = Some(Kept { link, heard: Instant::now() });
                    // In TLS 1.3 a refusal by the server shows at the first call only.
                    match self.greet(office, peer).await {
                        Ok(()) => return Ok(Ok(())),
                        Err(Trouble::Store(error)) => return Err(error.into()),
                        Err(trouble) => tracing::debug!(%address, %trouble, "no greeting"),
                    }
                    self.link = None;
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "not reached");
                    last = Some(error);
                }
            }
        }
        Ok(Err(last))
    }

    /// Exchanges addresses: the first call on every connection, and its sign of life.
    async fn greet(&mut self, office: &Office, peer: &mut Peer) -> Result<(), Trouble> {
        let request =
            KnockRequest { protocol_version: PROTOCOL_VERSION, address: office.announced() };
        let reply = self.call(office, |mut link| async move { link.knock(request).await }).await?;
        self.knock = false;
        let Some(statement) = reply.address else { return Ok(()) };
        if let Ok((addresses, sequence)) = office.believe(&statement, &peer.public_key)
            && sequence > peer.address_sequence
        {
            peer.moved_to(&addresses, sequence);
            office.keep_address(peer.number, addresses, sequence).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, office: &Office, first: Vec<Queued>) -> Result<(), Trouble> {
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

    async fn tell_read(&mut self, office: &Office, peer: &Peer) -> Result<(), Trouble> {
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

    /// One call with a deadline. Any failure but a refusal of the call itself ends the connection.
    async fn call<T, F>(
        &mut self,
        office: &Office,
        call: impl FnOnce(Link) -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let Some(kept) = &mut self.link else { return Err(Trouble::Unreachable(None)) };
        match timeout(office.config.call_timeout, call(kept.link.clone())).await {
            Ok(Ok(reply)) => {
                kept.heard = Instant::now();
                Ok(reply.into_inner())
            }
            Ok(Err(status)) => Err(Trouble::Call(status)),
            Err(_) => Err(Trouble::Late),
        }
    }
}

/// Asks where `peer` is, and whether it is still who was pinned. When the directory does not say,
/// what we know has to do.
async fn look_up(office: &Office, peer: Peer) -> Result<Peer, Trouble> {
    let asked = match &peer.username {
        Some(name) => office.look_up(name).await,
        None => office.look_up_account(&peer.account_id()).await,
    };
    match asked {
        Ok(Met::Pinned { peer: found, .. }) if found.number == peer.number => Ok(found),
        Ok(Met::KeyChanged { peer: found, .. }) if found.number == peer.number => Ok(found),
        // The name went to somebody else by our own decision, or is somebody else's.
        Ok(_) => Ok(peer),
        Err(LookupError::Directory(error)) => {
            tracing::debug!(peer = peer.number, %error, "not found in the directory");
            Ok(peer)
        }
        Err(error) => Err(error.into()),
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
