//! A network in memory, with the faults of a real one.
//!
//! It carries streams as TCP does. What is sent over a link that is cut neither arrives nor fails:
//! it waits for the link to be healed, or for somebody to lose patience, as with a firewall that
//! drops packets. What is lost is sent again and holds up all that comes behind it. A process that
//! ends closes its connections, which the other end learns when the link lets it.

mod link;
mod pipe;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::testing::network::link::Link;
use crate::testing::network::rules::{HostId, Rules};
use crate::transport::{Acceptor, AnyConnection, Transport};

/// Connections that wait to be accepted at one listener; one more is refused, as by a system whose
/// queue is full.
const BACKLOG: usize = 128;

/// The first port given to a listener that asks for any.
const FIRST_PORT: u16 = 49_152;

type Arrival = (AnyConnection, SocketAddr);

/// A network; clones share it. Hosts have names, and an address each in `10.0.0.0/16`.
#[derive(Clone)]
pub struct Network {
    rules: Arc<Rules>,
    places: Arc<Mutex<Places>>,
}

#[derive(Default)]
struct Places {
    hosts: BTreeMap<String, HostId>,
    listeners: BTreeMap<(HostId, u16), mpsc::Sender<Arrival>>,
    last_port: u16,
}

impl Network {
    /// A network without hosts and faults; what chance decides follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Network {
        Network { rules: Arc::new(Rules::new(seed)), places: Arc::default() }
    }

    /// The network as one host sees it, which is there from now on.
    #[must_use]
    pub fn host(&self, name: &str) -> Arc<dyn Transport> {
        Arc::new(Host { network: self.clone(), id: self.id(name) })
    }

    /// Lets nothing pass from one host to another until it is healed. The other direction is left
    /// as it is, but no connection is made without both.
    pub fn cut(&self, from: &str, to: &str) {
        self.rules.cut(self.id(from), self.id(to));
    }

    /// Lets everything pass from one host to another again.
    pub fn mend(&self, from: &str, to: &str) {
        self.rules.mend(self.id(from), self.id(to));
    }

    /// Removes all cuts, delays and losses.
    pub fn heal(&self) {
        self.rules.heal();
    }

    /// Lets each piece of data take so long, by chance; zero at first.
    pub fn delay(&self, range: RangeInclusive<Duration>) {
        self.rules.delay(range);
    }

    /// Lets so many of a thousand pieces of data be lost, and be sent again after 200 ms, 400 ms
    /// and so on; none at first.
    pub fn lose(&self, per_mille: u16) {
        self.rules.lose(per_mille);
    }

    /// Breaks all connections between two hosts, at once and for both.
    pub fn reset(&self, one: &str, other: &str) {
        self.rules.reset(self.id(one), self.id(other));
    }

    /// Switches a host off: nothing reaches it and nothing comes from it, not even the end of its
    /// connections.
    pub fn switch_off(&self, host: &str) {
        self.rules.switch_off(self.id(host));
    }

    /// Switches a host on again; it knows nothing of the connections it had, and says so.
    pub fn switch_on(&self, host: &str) {
        self.rules.switch_on(self.id(host));
    }

    fn id(&self, name: &str) -> HostId {
        let mut places = self.places();
        let next = u16::try_from(places.hosts.len() + 1).unwrap_or(u16::MAX);
        *places.hosts.entry(name.to_owned()).or_insert(next)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who listens at `host:port`; the error is that of an unknown name, or of a refusal.
    fn find(&self, address: &str) -> io::Result<HostId> {
        let (host, _) = split(address)?;
        let places = self.places();
        let named = places.hosts.get(host).copied();
        let numbered = || places.hosts.values().find(|id| ip(**id).to_string() == host).copied();
        named.or_else(numbered).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("nobody knows the host {host}"))
        })
    }

    async fn connect(self, from: HostId, address: String) -> io::Result<AnyConnection> {
        let to = self.find(&address)?;
        let (_, port) = split(&address)?;
        self.rules.round_trip(from, to).await;
        let listener = self.places().listeners.get(&(to, port)).cloned();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = listener.ok_or_else(refused)?;
        let (ours, theirs) = Link::pair(&self.rules, from, to);
        let arrival: Arrival = (Box::new(theirs), SocketAddr::new(ip(from), FIRST_PORT));
        listener.try_send(arrival).map_err(|_| refused())?;
        Ok(Box::new(ours))
    }

    fn listen(&self, at: HostId, port: u16) -> io::Result<Listener> {
        let (sender, arrivals) = mpsc::channel(BACKLOG);
        let mut places = self.places();
        places.listeners.retain(|_, listener| !listener.is_closed());
        let port = if port == 0 {
            places.last_port = places.last_port.max(FIRST_PORT - 1) + 1;
            places.last_port
        } else {
            port
        };
        if places.listeners.contains_key(&(at, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        places.listeners.insert((at, port), sender);
        Ok(Listener { address: SocketAddr::new(ip(at), port), arrivals: AsyncMutex::new(arrivals) })
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("hosts", &self.places().hosts).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Host {
    network: Network,
    id: HostId,
}

impl Transport for Host {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<AnyConnection>> {
        Box::pin(self.network.clone().connect(self.id, address.to_owned()))
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        let listener = self.network.listen(self.id, address.port());
        Box::pin(async move { Ok(Box::new(listener?) as Box<dyn Acceptor>) })
    }
}

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    arrivals: AsyncMutex<mpsc::Receiver<Arrival>>,
}

impl Acceptor for Listener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let mut arrivals = self.arrivals.lock().await;
            arrivals.recv().await.ok_or_else(|| io::ErrorKind::ConnectionAborted.into())
        })
    }
}

fn ip(host: HostId) -> IpAddr {
    let [high, low] = host.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

fn split(address: &str) -> io::Result<(&str, u16)> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not host:port"))
}

#[cfg(test)]
mod tests;
