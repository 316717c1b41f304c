//! Being online: an address others can reach, announced to managers and people, kept by heartbeats.

use crate::{
    account::{Account, KeepError},
    directory::AddressBook,
    error::ClientError,
    event::{ClientEvent, Events},
    managers::{ManagerClient, error::ManagerError},
};
use peer_messaging::Messenger;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};
use telegraph_proto::{
    account::Username,
    identity::SignedStatement,
    rest::{Base64, Heartbeat, HeartbeatRequest, ReconnectRequest},
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Until the managers say how often they wish to hear from this client, and at most so long again
/// after they could not be reached.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
/// How long going online waits for the managers to take the address. People already known can be
/// reached without them, so that a cluster without a leader must not hold up a message.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// Bounds of what managers may ask for.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// Most names a heartbeat watches (`rest.rs`).
const MAX_WATCHED: usize = 100;
/// How often an address is signed anew because its number was used.
const SIGNING_ATTEMPTS: usize = 3;

/// The lease and the announced address of one messenger.
///
/// - The task ends with [`Online::stop`], or by itself when the session is over; the messenger goes
///   on either way, for what is signed and pinned needs no manager. Only when a newer login has
///   replaced the session the messenger ends with it: what it took, the person would not see on
///   the device they use now.
#[derive(Debug)]
pub(crate) struct Online {
    /// What others are told.
    pub(crate) advertised: SocketAddr,
    stop: CancellationToken,
    replaced: CancellationToken,
    task: JoinHandle<()>,
}

/// What keeping the lease takes.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) account: Arc<Account>,
    pub(crate) managers: ManagerClient,
    pub(crate) book: AddressBook,
    pub(crate) messenger: Messenger,
    pub(crate) events: Events,
    pub(crate) advertised: SocketAddr,
}

impl Online {
    /// Announces the address and starts the heartbeats. Without a manager it is announced to people
    /// alone, and to the managers as soon as one can be reached. Fails with
    /// [`ManagerError::SessionEnded`] when the session is over, and when the number of the
    /// announcement cannot be kept.
    pub(crate) async fn start(lease: Lease) -> Result<Self, ClientError> {
        let advertised = lease.advertised;
        let replaced = CancellationToken::new();
        let mut keeper = Keeper {
            statement: lease.account.sign_address(&[advertised])?,
            replaced: replaced.clone(),
            published: false,
            reachable: true,
            lease,
        };
        keeper.lease.messenger.announce(keeper.statement.clone());
        match tokio::time::timeout(START_PATIENCE, keeper.publish()).await {
            Ok(Err(Unkept::Managers(error))) if !is_final(&error) => keeper.lost(&error),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => keeper.lost(&ManagerError::Unavailable("no answer in time".into())),
            Ok(Ok(())) => {}
        }
        let stop = CancellationToken::new();
        let task = tokio::spawn(keeper.run(stop.clone()));
        Ok(Self { advertised, stop, replaced, task })
    }

    /// True once the session gave way to one of another device and the messenger is shut down.
    pub(crate) fn was_replaced(&self) -> bool {
        self.replaced.is_cancelled()
    }

    /// Ends the heartbeats; the lease runs out by itself.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the heartbeat task did not end well");
        }
    }
}

struct Keeper {
    lease: Lease,
    statement: SignedStatement,
    published: bool,
    reachable: bool,
    replaced: CancellationToken,
}

/// Why the lease is not kept.
enum Unkept {
    Managers(ManagerError),
    /// No new number for a statement.
    Number(KeepError),
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        let mut interval = Duration::ZERO;
        loop {
            let next = Instant::now() + interval;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => {}
            }
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = self.beat() => beat,
            };
            match beat {
                Ok(answer) => {
                    self.found();
                    let wished = Duration::from_millis(answer.interval_ms);
                    interval = wished.clamp(MIN_INTERVAL, MAX_INTERVAL);
                    self.greet(answer);
                }
                Err(Unkept::Managers(error @ ManagerError::SessionEnded(_))) => {
                    return self.end(&error).await;
                }
                Err(Unkept::Managers(error)) => {
                    self.lost(&error);
                    interval = FIRST_INTERVAL;
                }
                Err(Unkept::Number(error)) => {
                    tracing::error!(%error, "no new address can be signed");
                    interval = FIRST_INTERVAL;
                }
            }
        }
    }

    /// The session is over.
    async fn end(&self, why: &ManagerError) {
        let Lease { account, managers, messenger, events, .. } = &self.lease;
        if let Err(error) = account.set_token(managers, None) {
            tracing::warn!(%error, "the end of the session was not kept");
        }
        let replaced = why.is_replaced();
        if replaced {
            messenger.shutdown().await;
            self.replaced.cancel();
        }
        events.send(ClientEvent::SessionEnded { why: why.to_string(), replaced });
    }

    async fn beat(&mut self) -> Result<Heartbeat, Unkept> {
        if !self.published {
            self.publish().await?;
        }
        let watch: Vec<Username> = self.lease.messenger.waiting_for();
        let request = HeartbeatRequest {
            username: self.lease.account.username.to_string(),
            watch: watch.iter().take(MAX_WATCHED).map(Username::to_string).collect(),
        };
        Ok(self.lease.managers.heartbeat(&request).await?)
    }

    /// Tells the messenger whom it is worth trying.
    fn greet(&self, answer: Heartbeat) {
        for peer in answer.watched.iter().take(MAX_WATCHED) {
            if let Some(person) = self.lease.book.refresh(peer) {
                tracing::debug!(username = %person.username, "is there: delivering what waits");
                self.lease.messenger.kick(&person.username);
            }
        }
    }

    /// Announces the address to the managers; signs anew when its number was used meanwhile.
    async fn publish(&mut self) -> Result<(), Unkept> {
        let Lease { account, managers, advertised, .. } = &self.lease;
        let mut last = None;
        for _ in 0..SIGNING_ATTEMPTS {
            let request = ReconnectRequest {
                port: advertised.port(),
                address_statement: Base64::statement(&self.statement),
            };
            match managers.reconnect(&account.username, advertised.ip(), &request).await {
                Ok(()) => {
                    self.published = true;
                    return Ok(());
                }
                Err(error @ ManagerError::StaleSequence(_)) => {
                    let own = managers.account().await?;
                    if own.public.address_statement.as_ref() == Some(&request.address_statement) {
                        // It was this one, and only its answer was lost.
                        self.published = true;
                        return Ok(());
                    }
                    account.raise_sequence(own.sequence);
                    self.statement = account.sign_address(&[*advertised])?;
                    self.lease.messenger.announce(self.statement.clone());
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.unwrap_or(ManagerError::OutcomeUnknown).into())
    }

    fn lost(&mut self, error: &ManagerError) {
        if std::mem::replace(&mut self.reachable, false) {
            let why = error.to_string();
            self.lease.events.send(ClientEvent::ManagersAway { why });
        }
    }

    fn found(&mut self) {
        if !std::mem::replace(&mut self.reachable, true) {
            self.lease.events.send(ClientEvent::ManagersBack);
        }
    }
}

impl From<ManagerError> for Unkept {
    fn from(error: ManagerError) -> Self {
        Self::Managers(error)
    }
}

impl From<KeepError> for Unkept {
    fn from(error: KeepError) -> Self {
        Self::Number(error)
    }
}

impl From<Unkept> for ClientError {
    fn from(error: Unkept) -> Self {
        match error {
            Unkept::Managers(error) => error.into(),
            Unkept::Number(error) => error.into(),
        }
    }
}

/// True when another try would be refused like this one.
fn is_final(error: &ManagerError) -> bool {
    matches!(error, ManagerError::SessionEnded(_) | ManagerError::Forbidden(_))
}

/// What to tell others: `advertise` if given; else where the messenger listens; and when that is
/// every interface, the address this machine uses towards `manager`, or loopback without one.
pub(crate) fn advertised(
    listening: SocketAddr,
    advertise: Option<SocketAddr>,
    manager: Option<SocketAddr>,
) -> SocketAddr {
    if let Some(mut given) = advertise {
        if given.port() == 0 {
            given.set_port(listening.port());
        }
        return given;
    }
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let own = manager.and_then(own_ip_towards).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(own, listening.port())
}

/// The source address the system would use. Nothing is sent: a UDP socket "connects" by itself.
fn own_ip_towards(target: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_told_to_others_is_what_they_can_reach() {
        let manager = Some(at("127.0.0.1:8000"));
        assert_eq!(advertised(at("10.1.2.3:7"), None, manager), at("10.1.2.3:7"));
        assert_eq!(advertised(at("0.0.0.0:7"), None, manager), at("127.0.0.1:7"));
        assert_eq!(advertised(at("0.0.0.0:7"), None, None), at("127.0.0.1:7"));
        let given = Some(at("203.0.113.9:70"));
        assert_eq!(advertised(at("0.0.0.0:7"), given, manager), at("203.0.113.9:70"));
        let same_port = Some(at("203.0.113.9:0"));
        assert_eq!(advertised(at("0.0.0.0:7"), same_port, manager), at("203.0.113.9:7"));
    }
}
