//! A wire tap: passes connections on, keeps what the caller said, and can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    target: Mutex<SocketAddr>,
    /// What callers said, a connection each.
    said: Mutex<Vec<Vec<u8>>>,
    deaf: AtomicBool,
    cut: Notify,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire {
            target: Mutex::new(target),
            said: Mutex::default(),
            deaf: AtomicBool::new(false),
            cut: Notify::new(),
        });
        let shared = wire.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(shared.clone().pass(stream));
            }
        });
        Self { address, wire }
    }

    pub(crate) fn turn_to(&self, target: SocketAddr) {
        *self.wire.target.lock().unwrap() = target;
    }

    /// Answers are swallowed from now on, or not any more.
    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.wire.deaf.store(swallow, Ordering::SeqCst);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.wire.cut.notify_waiters();
    }

    pub(crate) fn said(&self) -> Vec<Vec<u8>> {
        self.wire.said.lock().unwrap().clone()
    }
}

impl Wire {
    async fn pass(self: Arc<Self>, caller: TcpStream) {
        let target = *self.target.lock().unwrap();
        let Ok(called) = TcpStream::connect(target).await else { return };
        let at = {
            let mut said = self.said.lock().unwrap();
            said.push(Vec::new());
            said.len() - 1
        };
        let (mut from_caller, mut to_caller) = caller.into_split();
        let (mut from_called, mut to_called) = called.into_split();
        let forth = async {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_caller.read(&mut bytes).await {
                self.said.lock().unwrap()[at].extend_from_slice(&bytes[..count]);
                if to_called.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
            let _ = to_called.shutdown().await;
        };
        let back = async {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_called.read(&mut bytes).await {
                if self.deaf.load(Ordering::SeqCst) {
                    continue;
                }
                if to_caller.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
            let _ = to_caller.shutdown().await;
        };
        tokio::select! {
            () = self.cut.notified() => {}
            () = async { tokio::join!(forth, back); } => {}
        }
    }
}
