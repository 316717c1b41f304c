//! A connection of ours to somebody, who has proven to be that somebody.

use crate::{
    envelope::MAX_MESSAGE_BYTES,
    tls::{ALPN, Identity, is_wrong_key},
    watched::{Pulse, Watched},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use telegraph_proto::{account::PublicKey, peer::peer_service_client::PeerServiceClient};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint, Uri};

/// Between two signs of life of a connection that is kept and not used.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long the other end may take to answer one.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Why somebody was not reached at an address. Nothing but a handshake was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Nobody answers there, or not in time.
    #[error("nobody answers")]
    Unreachable(#[source] io::Error),
    /// Somebody else answers there.
    #[error("somebody else answers there")]
    WrongKey,
    /// What answers there does not speak as people here do.
    #[error("what answers there is no messenger")]
    NotAMessenger(#[source] io::Error),
    /// A fault of this program.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// The calls of an open connection.
pub(crate) type Calls = PeerServiceClient<Channel>;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) calls: Calls,
    pulse: Pulse,
}

impl Link {
    /// False once the other end has gone, as far as the network told.
    pub(crate) fn is_open(&self) -> bool {
        !self.pulse.has_stopped()
    }
}

/// Connects to `address`, where the owner of `pinned` has to answer within `limit`.
pub(crate) async fn connect(
    identity: &Identity,
    pinned: &PublicKey,
    address: SocketAddr,
    limit: Duration,
) -> Result<Link, LinkError> {
    let config = Arc::new(identity.client(pinned)?);
    let stream = match timeout(limit, handshake(config, address)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(LinkError::Unreachable(io::ErrorKind::TimedOut.into())),
    };
    // The scheme is http: what is below the channel encrypts already.
    let endpoint = Endpoint::from_static("http://peer.invalid")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .keep_alive_while_idle(true);
    // One stream, once: a channel that loses it fails, and is not connected again unasked.
    let pulse = Pulse::default();
    let stream = Mutex::new(Some(Watched::new(stream, pulse.clone())));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(match stream {
            Some(stream) => Ok(TokioIo::new(stream)),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        })
    });
    let channel = endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| LinkError::NotAMessenger(io::Error::other(error)))?;
    let calls = PeerServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Ok(Link { calls, pulse })
}

async fn handshake(
    config: Arc<rustls::ClientConfig>,
    address: SocketAddr,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let stream = TcpStream::connect(address).await.map_err(LinkError::Unreachable)?;
    stream.set_nodelay(true).map_err(LinkError::Unreachable)?;
    // Never sent (there is no SNI), never compared (the key is).
    let name = ServerName::from(address.ip());
    let stream = match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) if is_wrong_key(&error) => return Err(LinkError::WrongKey),
        Err(error) => return Err(LinkError::NotAMessenger(error)),
    };
    // A server that ignores ALPN passes TLS.
    if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
        Ok(stream)
    } else {
        Err(LinkError::NotAMessenger(io::Error::other("it does not speak HTTP/2")))
    }
}
