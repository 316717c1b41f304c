//! The seam to the network: how members are reached, and how they are listened for.
//!
//! [`Tcp`] is the real one. TLS, HTTP/2 and everything above stand on [`Connection`] and know
//! neither addresses nor ports, so that a network in memory or in a simulation replaces this file.

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// An ordered stream of bytes in both directions, as TCP keeps it.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// A connection of whatever kind.
pub type AnyConnection = Box<dyn Connection>;

/// Makes connections and accepts them, for one node.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Connects to a member's `host:port`, resolving a name anew each time. May take for ever: the
    /// caller sets the limit, and drops the future when it has passed.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<AnyConnection>>;

    /// Listens at an address; port 0 lets the transport choose.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>>;
}

/// Accepts the connections that others make. Dropping it ends the listening.
pub trait Acceptor: fmt::Debug + Send + Sync + 'static {
    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection, and who made it. Dropping the future loses none.
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyConnection, SocketAddr)>>;
}

/// The machine's network, through tokio.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<AnyConnection>> {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as AnyConnection)
        })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(listener) as Box<dyn Acceptor>)
        })
    }
}

impl Acceptor for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyConnection, SocketAddr)>> {
        Box::pin(async move {
            let (stream, remote) = TcpListener::accept(self).await?;
            // It fails when the other end is gone already, which the handshake finds out, too.
            let _ = stream.set_nodelay(true);
            Ok((Box::new(stream) as AnyConnection, remote))
        })
    }
}
