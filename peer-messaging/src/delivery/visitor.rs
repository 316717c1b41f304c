//! One visit: who is it, where are they, and what is there to bring.

use crate::{
    delivery::{
        bell::{Call, Calls},
        trouble::{Done, Trouble},
    },
    directory::DirectoryError,
    envelope::PROTOCOL_VERSION,
    link::{self, Link, LinkError},
    office::{LookupError, Office},
    store::peer::{Met, Peer},
};
use std::{net::SocketAddr, time::Duration};
use telegraph_proto::peer::KnockRequest;
use tokio::time::{Instant, timeout};
use tonic::{Response, Status};

/// A connection that was silent for longer is asked for a sign of life before it is trusted with
/// messages: the other end may have moved on without a word.
const FRESH: Duration = Duration::from_secs(5);

/// Who visits one peer, and what is remembered from one visit to the next.
pub(crate) struct Visitor {
    pub(crate) peer: u64,
    pub(crate) link: Option<Kept>,
    /// Ask the directory before anything is tried.
    pub(crate) look_up: bool,
    /// Tell the peer where we are.
    pub(crate) knock: bool,
    /// Nothing but a knock is left to do: not worth a second visit.
    pub(crate) only_knock: bool,
    /// It is not known what the peer is called.
    pub(crate) is_nameless: bool,
}

/// A connection, and when the other end was last heard on it.
pub(crate) struct Kept {
    link: Link,
    heard: Instant,
}

impl Visitor {
    pub(crate) fn new(peer: u64) -> Self {
        Self {
            peer,
            link: None,
            look_up: false,
            knock: false,
            only_knock: false,
            is_nameless: false,
        }
    }

    /// Brings what waits. Ends with nothing left to bring, or with the first trouble.
    pub(crate) async fn visit(&mut self, office: &Office, calls: Calls) -> Result<Done, Trouble> {
        let number = self.peer;
        let look = office.store.read(move |view| {
            Ok((view.peer(number)?, view.next_batch(number)?, view.due(number)?))
        });
        let (mut peer, batch, due) = look.await?;
        let is_idle = batch.is_empty() && due.is_empty();
        self.is_nameless = peer.username.is_none();
        let mut unnamed = Ok(Done::Everything);
        if self.is_nameless && (calls.has(Call::Name) || self.look_up) {
            match find_name(office, peer.clone()).await {
                Ok(found) => peer = found,
                // What can be done without a name is done.
                Err(trouble) => unnamed = Err(trouble),
            }
        }
        if is_idle && !self.knock {
            return unnamed;
        }
        self.only_knock = is_idle && unnamed.is_ok();
        if !self.is_nameless && self.look_up && self.link.is_none() && !self.only_knock {
            peer = look_up(office, peer).await?;
        }
        if peer.is_held() || self.open(office, &mut peer).await? == Done::Held {
            return Ok(Done::Held);
        }
        self.deliver(office, batch).await?;
        self.tell_read(office, &peer).await?;
        unnamed
    }

    /// Makes sure of a connection on which the peer has answered lately.
    async fn open(&mut self, office: &Office, peer: &mut Peer) -> Result<Done, Trouble> {
        if self.link.as_ref().is_some_and(|kept| !kept.link.is_open()) {
            self.link = None;
        }
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
        if !self.look_up && !self.only_knock {
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

    /// Connects to the first address where the peer answers, and greets. Nothing but handshakes
    /// goes to the others.
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

    /// One call with a deadline. Any failure but a refusal of the call itself ends the connection.
    pub(crate) async fn call<T, F>(
        &mut self,
        office: &Office,
        call: impl FnOnce(link::Calls) -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let Some(kept) = &mut self.link else { return Err(Trouble::Unreachable(None)) };
        match timeout(office.config.call_timeout, call(kept.link.calls.clone())).await {
            Ok(Ok(reply)) => {
                kept.heard = Instant::now();
                Ok(reply.into_inner())
            }
            Ok(Err(status)) => Err(Trouble::Call(status)),
            Err(_) => Err(Trouble::Late),
        }
    }
}

/// Finds out what somebody is called who wrote first. That nobody knows is no trouble.
async fn find_name(office: &Office, peer: Peer) -> Result<Peer, Trouble> {
    match office.look_up_account(&peer.account_id()).await {
        Ok(Met::Pinned { peer, .. }) => Ok(peer),
        // The name is somebody else's here: the short id stays.
        Ok(Met::KeyChanged { .. }) | Err(LookupError::Directory(DirectoryError::Unknown)) => {
            Ok(peer)
        }
        Err(error) => Err(error.into()),
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
        Err(error @ (LookupError::Directory(_) | LookupError::Ourselves)) => {
            tracing::debug!(peer = peer.number, %error, "not found in the directory");
            Ok(peer)
        }
        Err(error) => Err(error.into()),
    }
}
