//! The kept connections to the other members: one for consensus, one for everything else.
//!
//! Two, so that a burst of forwarded commands never delays a heartbeat (openraft#1716). Each is
//! made when first used and again whenever it broke, resolving the member's name anew.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::credentials::{ALPN, Credentials};
use crate::life::Life;
use crate::member::{Member, NodeId};
use crate::socket::{Socket, Stream};

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
}

/// The connections to all members but ourselves.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    peers: BTreeMap<NodeId, PeerChannels>,
}

impl Channels {
    /// Prepares connections; none is made yet.
    pub(crate) fn new<'a>(
        members: impl Iterator<Item = &'a Member>,
        credentials: Option<&Credentials>,
        connect_timeout: Duration,
        life: &Life,
    ) -> Channels {
        let peers = members
            .map(|member| {
                let channel = || channel(member, credentials, connect_timeout, life);
                (member.id, PeerChannels { consensus: channel(), application: channel() })
            })
            .collect();
        Channels { peers }
    }

    /// The connections to a member; `None` for a stranger and for ourselves.
    pub(crate) fn get(&self, id: NodeId) -> Option<&PeerChannels> {
        self.peers.get(&id)
    }
}

fn channel(
    member: &Member,
    credentials: Option<&Credentials>,
    connect_timeout: Duration,
    life: &Life,
) -> Channel {
    let (address, life) = (member.address.clone(), life.clone());
    let tls = credentials.map(|credentials| {
        (TlsConnector::from(credentials.client.clone()), credentials.name.clone())
    });
    // The URI names nobody: where to connect and whom to expect is the connector's.
    let endpoint = Endpoint::from_static("http://member.invalid")
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (address, tls, life) = (address.clone(), tls.clone(), life.clone());
        async move {
            let connected = tokio::time::timeout(connect_timeout, connect(&address, tls));
            let stream = life
                .ended()
                .run_until_cancelled(connected)
                .await
                .ok_or(io::ErrorKind::ConnectionAborted)???;
            Ok::<_, io::Error>(TokioIo::new(Socket::new(stream, None, &life)))
        }
    }))
}

async fn connect(
    address: &str,
    tls: Option<(TlsConnector, rustls::pki_types::ServerName<'static>)>,
) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some((connector, name)) = tls else { return Ok(Stream::Plain(stream)) };
    let stream = connector.connect(name, stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
    }
    Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
}
