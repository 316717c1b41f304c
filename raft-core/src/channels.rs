//! The kept connections to the other members: one for consensus, one for everything else.
//!
//! Two, so that a burst of forwarded commands never delays a heartbeat (openraft#1716). Each is
//! made when first used and again whenever it broke, resolving the member's name anew. Who may be
//! reached, and where, is asked each time: members come, go and move.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio_rustls::{TlsConnector, TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::credentials::{ALPN, Credentials};
use crate::life::Life;
use crate::member::NodeId;
use crate::socket::{Socket, Stream};
use crate::transport::Transport;

/// Time without any sign of life after which the other end is asked for one.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// Time for its answer, after which the connection is given up: what was sent into a black hole
/// must not sit in front of what can be delivered again.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes that may be under way on one stream: a full window of appends.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes that may be under way on one connection: appends beside a snapshot.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Bytes of the largest message between members: an append filled to the highest limit a
/// configuration may set, or its one entry that is as large as any may be, and their frame.
pub(crate) const MESSAGE_MAX_BYTES: usize = 10 << 20;

/// The connections to one member.
#[derive(Clone, Debug)]
pub(crate) struct PeerChannels {
    /// Votes, appends, snapshots.
    pub(crate) consensus: Channel,
    /// Forwarded commands and reads, and whatever the application says.
    pub(crate) application: Channel,
    /// True once the member has been greeted, and had no reason to be greeted again.
    pub(crate) greeted: Arc<AtomicBool>,
}

/// Where a member may be found, the likeliest place first; empty for a stranger and for ourselves.
pub(crate) type Addresses = Arc<dyn Fn(NodeId) -> Vec<String> + Send + Sync>;

/// The connections to all members but ourselves; cheap to clone.
#[derive(Clone)]
pub(crate) struct Channels {
    inner: Arc<Inner>,
}

struct Inner {
    addresses: Addresses,
    dialer: Dialer,
    peers: Mutex<BTreeMap<NodeId, Made>>,
}

/// Channels, and the places they lead to.
struct Made {
    channels: PeerChannels,
    places: Vec<String>,
    /// How often it was not found at the place tried first, which then goes to the end.
    wrong: usize,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").finish_non_exhaustive()
    }
}

impl Channels {
    /// Prepares connections; none is made yet.
    pub(crate) fn new(
        transport: &Arc<dyn Transport>,
        addresses: Addresses,
        credentials: Option<&Credentials>,
        connect_timeout: Duration,
        life: &Life,
    ) -> Channels {
        let credentials = credentials.cloned();
        let (transport, life) = (Arc::clone(transport), life.clone());
        let dialer = Dialer { transport, credentials, connect_timeout, life };
        Channels { inner: Arc::new(Inner { addresses, dialer, peers: Mutex::default() }) }
    }

    /// The connections to a member; `None` for a stranger and for ourselves.
    pub(crate) fn get(&self, id: NodeId) -> Option<PeerChannels> {
        let places = (self.inner.addresses)(id);
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if places.is_empty() {
            peers.remove(&id);
            return None;
        }
        match peers.get(&id) {
            Some(made) if made.places == places => Some(made.channels.clone()),
            _ => Some(self.inner.make(&mut peers, id, places, 0)),
        }
    }

    /// A connection to whoever is at an address; none is made before it is used.
    pub(crate) fn dial(&self, place: &str) -> Channel {
        self.inner.dialer.channel(vec![place.to_owned()])
    }

    /// Notes that this member did not answer where we looked for it, but nobody or somebody else:
    /// the next place is tried first from now on, if there is another one.
    pub(crate) fn distrust(&self, id: NodeId) {
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(made) = peers.get(&id).filter(|made| made.places.len() > 1) else { return };
        let (places, wrong) = (made.places.clone(), made.wrong.wrapping_add(1));
        self.inner.make(&mut peers, id, places, wrong);
    }

    /// Lets go of the connections to whoever is not to be reached any more.
    pub(crate) fn forget_strangers(&self) {
        let mut peers = self.inner.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|id, _| !(self.inner.addresses)(*id).is_empty());
    }
}

impl Inner {
    fn make(
        &self,
        peers: &mut BTreeMap<NodeId, Made>,
        id: NodeId,
        places: Vec<String>,
        wrong: usize,
    ) -> PeerChannels {
        let mut dialed = places.clone();
        let turn = wrong.checked_rem(dialed.len()).unwrap_or_default();
        dialed.rotate_left(turn);
        let channel = || self.dialer.channel(dialed.clone());
        let (consensus, application) = (channel(), channel());
        let channels = PeerChannels { consensus, application, greeted: Arc::default() };
        peers.insert(id, Made { channels: channels.clone(), places, wrong });
        channels
    }
}

/// What making a connection takes.
#[derive(Clone)]
struct Dialer {
    transport: Arc<dyn Transport>,
    credentials: Option<Credentials>,
    connect_timeout: Duration,
    life: Life,
}

impl Dialer {
    /// A channel to whichever of `places` can be reached, tried in this order.
    fn channel(&self, places: Vec<String>) -> Channel {
        // The URI names nobody: where to connect and whom to expect is the connector's.
        let endpoint = Endpoint::from_static("http://member.invalid")
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let dialer = self.clone();
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (places, dialer) = (places.clone(), dialer.clone());
            async move {
                let connected = dialer.dial(&places);
                let stream = dialer
                    .life
                    .ended()
                    .run_until_cancelled(connected)
                    .await
                    .ok_or(io::ErrorKind::ConnectionAborted)??;
                Ok::<_, io::Error>(TokioIo::new(Socket::new(stream, None, &dialer.life)))
            }
        }))
    }

    async fn dial(&self, places: &[String]) -> io::Result<Stream> {
        let tls = self.credentials.as_ref().map(|credentials| {
            (TlsConnector::from(credentials.client.clone()), credentials.name.clone())
        });
        // A place that swallows everything must not take the time of the others.
        let each = self.connect_timeout / u32::try_from(places.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for place in places {
            match tokio::time::timeout(each, connect(&*self.transport, place, tls.clone())).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(late) => failure = late.into(),
            }
        }
        Err(failure)
    }
}

async fn connect(
    transport: &dyn Transport,
    address: &str,
    tls: Option<(TlsConnector, rustls::pki_types::ServerName<'static>)>,
) -> io::Result<Stream> {
    let stream = transport.connect(address).await?;
    let Some((connector, name)) = tls else { return Ok(Stream::Plain(stream)) };
    let stream = connector.connect(name, stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
    }
    Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
}
