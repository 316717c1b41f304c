//! The answering side of the UDP sweep, run by every member.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::datagram::{self, Answer, DATAGRAM_MAX_BYTES};
use crate::rate::RateLimit;

/// Pause after the socket itself failed, so that a persistent failure does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Answers `{"action":"discover"}` on a UDP port until it is shut down or dropped.
///
/// - A reply is never longer than the request it answers.
/// - What is not a request is dropped without an answer.
/// - One source gets at most 8 answers at once and 8 a second, all together 256 and 200 a second.
#[derive(Debug)]
pub struct Responder {
    local_addr: SocketAddr,
    counters: Arc<Counters>,
    /// Dropping it stops the task.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// How many datagrams were treated how, since the responder was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponderStats {
    /// Requests that were answered.
    pub answered: u64,
    /// Datagrams that were not requests, or too short to be answered.
    pub ignored: u64,
    /// Requests beyond the rate, not answered.
    pub limited: u64,
}

impl Responder {
    /// Binds `listen` (port 0 picks a free one) and starts to answer. Must be called in a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// What the operating system says when the address cannot be bound. Port 5353 is often taken by
    /// an mDNS service.
    pub async fn bind(listen: SocketAddr, answer: Answer) -> io::Result<Responder> {
        let socket = UdpSocket::bind(listen).await?;
        let local_addr = socket.local_addr()?;
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let actor = Actor {
            socket,
            answer,
            rate: RateLimit::new(Instant::now()),
            counters: Arc::clone(&counters),
        };
        let task = tokio::spawn(actor.run(stopped));
        info!(%local_addr, "answering discovery requests");
        Ok(Responder { local_addr, counters, stop, task })
    }

    /// The address it answers on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What it has done so far.
    pub fn stats(&self) -> ResponderStats {
        ResponderStats {
            answered: self.counters.answered.load(Ordering::Relaxed),
            ignored: self.counters.ignored.load(Ordering::Relaxed),
            limited: self.counters.limited.load(Ordering::Relaxed),
        }
    }

    /// Stops answering and gives the port back.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            warn!(%error, "the discovery responder did not end by itself");
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    ignored: AtomicU64,
    limited: AtomicU64,
}

struct Actor {
    socket: UdpSocket,
    answer: Answer,
    rate: RateLimit,
    counters: Arc<Counters>,
}

impl Actor {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut buffer = vec![0_u8; DATAGRAM_MAX_BYTES + 1];
        loop {
            let received = tokio::select! {
                // Resolves when the handle is dropped too.
                _ = &mut stopped => return,
                received = self.socket.recv_from(&mut buffer) => received,
            };
            match received {
                Ok((length, from)) => {
                    let request = buffer.get(..length).unwrap_or_default();
                    self.respond(request, from).await;
                }
                Err(error) => {
                    warn!(%error, "receiving a discovery request failed");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    async fn respond(&mut self, request: &[u8], from: SocketAddr) {
        // A reply is no request, so that two responders never talk to each other for ever.
        let answerable = from.port() != 0 && request.len() <= DATAGRAM_MAX_BYTES;
        let reply = match answerable && datagram::is_request(request) {
            true => self.answer.encode_within(request.len()),
            false => None,
        };
        let Some(reply) = reply else {
            self.counters.ignored.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if !self.rate.allow(from.ip().to_canonical(), Instant::now()) {
            self.counters.limited.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert!(reply.len() <= request.len(), "a reply must not amplify its request");
        match self.socket.send_to(&reply, from).await {
            Ok(_) => self.counters.answered.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                debug!(%error, %from, "a discovery reply was not sent");
                self.counters.ignored.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}
