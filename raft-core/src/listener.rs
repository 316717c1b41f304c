//! Accepting connections: each is authenticated aside, and handed on only when it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::credentials::{ALPN, Credentials};
use crate::life::Life;
use crate::socket::{Socket, Stream};
use crate::throttle::Throttle;
use crate::transport::{Acceptor, AnyConnection};

/// Connections being authenticated at a time; more wait in the system's queue. Members are few,
/// so that this is only ever reached by somebody who is none.
const HANDSHAKES: usize = 64;

/// Authenticated connections not yet served.
const READY: usize = 16;

/// Pause after the system refused a connection, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the node ends, and gives out those that are authenticated.
pub(crate) fn accept(
    listener: Box<dyn Acceptor>,
    credentials: Option<Credentials>,
    timeout: Duration,
    life: &Life,
) -> mpsc::Receiver<io::Result<Socket>> {
    let (ready, sockets) = mpsc::channel(READY);
    let acceptor = credentials.map(|credentials| TlsAcceptor::from(credentials.server));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let throttle = Arc::new(Throttle::default());
    let of_node = life.clone();
    life.spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
            let (stream, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (acceptor, ready) = (acceptor.clone(), ready.clone());
            let (life, throttle) = (of_node.clone(), Arc::clone(&throttle));
            of_node.spawn_aside(async move {
                let made = tokio::time::timeout(timeout, authenticate(stream, acceptor)).await;
                drop(permit);
                match made.map_err(io::Error::from).and_then(|made| made) {
                    Ok(stream) => {
                        let socket = Socket::new(stream, Some(remote), &life);
                        let _ = ready.send(Ok(socket)).await;
                    }
                    Err(error) if throttle.passes() => {
                        tracing::warn!(%remote, %error, "connections are refused");
                    }
                    Err(error) => tracing::debug!(%remote, %error, "a connection was refused"),
                }
            });
        }
    });
    sockets
}

async fn authenticate(stream: AnyConnection, acceptor: Option<TlsAcceptor>) -> io::Result<Stream> {
    let Some(acceptor) = acceptor else { return Ok(Stream::Plain(stream)) };
    let stream = acceptor.accept(stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
    }
    Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
}
