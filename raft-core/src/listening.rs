//! The machine's network with a socket that listens already.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::transport::{Acceptor, AnyConnection, Tcp, Transport};

/// TCP, except that whoever wants to listen is handed a socket that was made before.
#[derive(Debug)]
pub(crate) struct Listening {
    socket: Mutex<Option<TcpListener>>,
    address: SocketAddr,
}

impl Listening {
    /// Takes over a socket that listens.
    pub(crate) fn new(socket: TcpListener) -> io::Result<Listening> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Listening { socket: Mutex::new(Some(socket)), address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Transport for Listening {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<AnyConnection>> {
        Tcp.connect(address)
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        match socket {
            Some(socket) => Box::pin(async move {
                let listener = tokio::net::TcpListener::from_std(socket)?;
                Ok(Box::new(listener) as Box<dyn Acceptor>)
            }),
            // It was taken: a node listens once, so that this is another one's wish.
            None => Tcp.listen(address),
        }
    }
}
