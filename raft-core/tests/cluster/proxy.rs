//! What stands in front of each member: its address stays while the node behind it comes and goes,
//! and it can be cut off or swallow everything.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything passes.
    Pass,
    /// Connections are closed.
    Cut,
    /// Connections are accepted and nothing ever passes.
    Hole,
    /// What is sent to the member passes slowly, what it says passes as it comes. Connections that
    /// exist are closed.
    Slow,
    /// Nothing is read any more of what is sent to the member; what it says still passes.
    Clog,
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<watch::Sender<(Mode, Option<SocketAddr>)>>,
    /// How often connections were forgotten, and how many.
    forgetting: Arc<watch::Sender<u64>>,
    forgotten: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start() -> Proxy {
        Proxy::start_at([127, 0, 0, 1]).await
    }

    /// The same at an address of this machine.
    pub(crate) async fn start_at(ip: [u8; 4]) -> Proxy {
        let listener = TcpListener::bind((IpAddr::from(ip), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, seen) = watch::channel((Mode::Pass, None));
        let forgetting = Arc::new(watch::Sender::new(0));
        let forgotten = Arc::<AtomicU64>::default();
        let forget = Forget { asked: forgetting.subscribe(), done: Arc::clone(&forgotten) };
        tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                // Whatever was forgotten before is no matter of this connection.
                let mut forget = forget.clone();
                forget.asked.mark_unchanged();
                tokio::spawn(pass(inbound, seen.clone(), forget));
            }
        });
        Proxy { address, mode: Arc::new(mode), forgetting, forgotten }
    }

    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.mode.send_modify(|(_, to)| *to = Some(target));
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_modify(|(now, _)| *now = mode);
    }

    /// Lets all connections there are die without a word; new ones pass.
    pub(crate) fn forget(&self) {
        self.forgetting.send_modify(|times| *times += 1);
    }

    /// Connections that died so.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }
}

/// How a connection learns that it is to be forgotten.
#[derive(Clone)]
struct Forget {
    asked: watch::Receiver<u64>,
    done: Arc<AtomicU64>,
}

impl Forget {
    /// Waits until it is asked for.
    async fn asked(&mut self) {
        if self.asked.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Holds a connection of which neither end hears again, until the test is over.
    async fn hold(&mut self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        let _ = self.asked.wait_for(|_| false).await;
    }
}

async fn pass(
    mut inbound: TcpStream,
    mut mode: watch::Receiver<(Mode, Option<SocketAddr>)>,
    mut forget: Forget,
) {
    let (now, target) = *mode.borrow_and_update();
    match (now, target) {
        (Mode::Cut, _) | (_, None) => {}
        (Mode::Hole | Mode::Clog, _) => swallow(&mut mode).await,
        (Mode::Slow, Some(target)) => {
            let Ok(mut outbound) = TcpStream::connect(target).await else { return };
            let (mut said, mut told) = outbound.split();
            let (mut heard, mut tell) = inbound.split();
            tokio::select! {
                () = trickle(&mut heard, &mut told) => {}
                _ = copy(&mut said, &mut tell) => {}
                _ = mode.wait_for(|(mode, _)| *mode != Mode::Slow) => {}
            }
        }
        (Mode::Pass, Some(target)) => {
            let Ok(mut outbound) = TcpStream::connect(target).await else { return };
            inbound.set_nodelay(true).unwrap();
            outbound.set_nodelay(true).unwrap();
            tokio::select! {
                () = forward(&mut inbound, &mut outbound, &mut forget) => return,
                _ = mode.wait_for(|(mode, to)| *mode != Mode::Pass || *to != Some(target)) => {}
            }
            let now = mode.borrow().0;
            match now {
                Mode::Hole => swallow(&mut mode).await,
                Mode::Clog => tokio::select! {
                    _ = copy(&mut outbound, &mut inbound) => {}
                    () = swallow(&mut mode) => {}
                },
                Mode::Pass | Mode::Cut | Mode::Slow => {}
            }
        }
    }
}

/// Passes on about four megabytes a second.
async fn trickle(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut some = vec![0; 40_000];
    while let Ok(length @ 1..) = from.read(&mut some).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if to.write_all(&some[..length]).await.is_err() {
            break;
        }
    }
}

/// Copies in both directions until one end closes, or for ever nothing once forgotten.
async fn forward(inbound: &mut TcpStream, outbound: &mut TcpStream, forget: &mut Forget) {
    tokio::select! {
        _ = copy_bidirectional(inbound, outbound) => {}
        () = forget.asked() => forget.hold().await,
    }
}

/// Holds a connection open until everything passes again, or it is cut.
async fn swallow(mode: &mut watch::Receiver<(Mode, Option<SocketAddr>)>) {
    let _ = mode.wait_for(|(mode, _)| !matches!(mode, Mode::Hole | Mode::Clog)).await;
}
