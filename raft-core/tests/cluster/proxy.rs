//! What stands in front of each member: its address stays while the node behind it comes and goes,
//! and it can be cut off or swallow everything.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
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
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: Arc<watch::Sender<(Mode, Option<SocketAddr>)>>,
}

impl Proxy {
    pub(crate) async fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, seen) = watch::channel((Mode::Pass, None));
        tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                tokio::spawn(pass(inbound, seen.clone()));
            }
        });
        Proxy { address, mode: Arc::new(mode) }
    }

    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.mode.send_modify(|(_, to)| *to = Some(target));
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_modify(|(now, _)| *now = mode);
    }
}

async fn pass(mut inbound: TcpStream, mut mode: watch::Receiver<(Mode, Option<SocketAddr>)>) {
    let (now, target) = *mode.borrow_and_update();
    match (now, target) {
        (Mode::Cut, _) | (_, None) => {}
        (Mode::Hole, _) => {
            let _ = mode.wait_for(|(mode, _)| *mode != Mode::Hole).await;
        }
        (Mode::Pass, Some(target)) => {
            let Ok(mut outbound) = TcpStream::connect(target).await else { return };
            inbound.set_nodelay(true).unwrap();
            outbound.set_nodelay(true).unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut inbound, &mut outbound) => return,
                _ = mode.wait_for(|(mode, to)| *mode != Mode::Pass || *to != Some(target)) => {}
            }
            if mode.borrow().0 == Mode::Hole {
                let _ = mode.wait_for(|(mode, _)| *mode != Mode::Hole).await;
            }
        }
    }
}
