//! The door: who calls proves a key within a time limit, and is then served until they leave, stay
//! silent for too long, or the door is closed.

use crate::{
    delivery::{Delivery, bell::Call},
    envelope::MAX_MESSAGE_BYTES,
    office::Office,
    service::Reception,
    tls,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use telegraph_proto::{
    account::{AccountId, PublicKey},
    peer::peer_service_server::PeerServiceServer,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Calls of one connection at the same time.
const CALLS: u32 = 8;
/// Bytes of the headers of a call.
const HEADER_BYTES: u32 = 16 * 1024;
/// Bytes that one connection may have on their way to us: a call of full size, and nobody can make
/// us hold more than that for every place there is.
const WINDOW: u32 = MAX_MESSAGE_BYTES as u32 + 64 * 1024;
/// Between two signs of life of a silent connection, and how long one may take.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
/// A connection without a call that made sense for so long is closed; who has to say something
/// connects again.
const SILENCE: Duration = Duration::from_secs(300);
/// After a failure to accept: most often this process has too many files open.
const AFTER_FAILURE: Duration = Duration::from_millis(50);
/// How long calls may take that are under way when the door is closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the door needs to serve callers.
#[derive(Debug)]
pub(crate) struct Listener {
    office: Arc<Office>,
    delivery: Delivery,
    acceptor: TlsAcceptorSlot,
    handshakes: Arc<Semaphore>,
    places: Arc<Places>,
    tasks: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

/// `TlsAcceptor` does not print itself.
struct TlsAcceptorSlot(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptorSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor(..)")
    }
}

/// How a listener is ended.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// No new callers; calls under way are finished.
    pub(crate) stop: CancellationToken,
    /// Every connection is closed at once.
    pub(crate) kill: CancellationToken,
}

impl Listener {
    pub(crate) fn new(
        office: Arc<Office>,
        delivery: Delivery,
        tasks: TaskTracker,
        ends: Ends,
    ) -> Result<Arc<Self>, rustls::Error> {
        let acceptor = TlsAcceptor::from(Arc::new(office.identity.server()?));
        let handshakes = Arc::new(Semaphore::new(office.config.handshakes));
        let places = Arc::new(Places::new(&office));
        let Ends { stop, kill } = ends;
        let acceptor = TlsAcceptorSlot(acceptor);
        Ok(Arc::new(Self { office, delivery, acceptor, handshakes, places, tasks, stop, kill }))
    }

    /// Accepts until stopped.
    pub(crate) async fn run(self: Arc<Self>, socket: TcpListener) {
        loop {
            let turn = tokio::select! {
                () = self.stop.cancelled() => return,
                turn = self.handshakes.clone().acquire_owned() => turn,
            };
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            let (Ok(turn), Ok((stream, _))) = (turn, accepted) else {
                sleep(AFTER_FAILURE).await;
                continue;
            };
            let (listener, kill) = (self.clone(), self.kill.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = kill.cancelled() => {}
                    () = Box::pin(listener.receive(stream, turn)) => {}
                }
            });
        }
    }

    async fn receive(&self, stream: TcpStream, turn: OwnedSemaphorePermit) {
        let limit = self.office.config.handshake_timeout;
        let shaken = tokio::select! {
            () = self.stop.cancelled() => return,
            shaken = timeout(limit, self.handshake(stream)) => shaken,
        };
        let Ok(Some((stream, caller))) = shaken else { return };
        drop(turn);
        let account = caller.account_id();
        let known = self.office.store.read(move |view| {
            let Some(peer) = view.peer_of(&account)? else { return Ok(None) };
            Ok(Some((peer.number, peer.known, view.has_work(peer.number)?)))
        });
        let Ok(known) = known.await else { return };
        let is_known = known.is_some_and(|(_, known, _)| known);
        let Some(_place) = Places::take(&self.places, account, is_known) else {
            tracing::debug!(account = %account.short(), "no room for another connection");
            return;
        };
        if let Some((number, _, true)) = known {
            // Who calls is there: what waits for them can go.
            self.delivery.call(number, Call::Arrived);
        }
        self.serve(stream, caller).await;
    }

    async fn handshake(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, PublicKey)> {
        stream.set_nodelay(true).ok()?;
        match self.acceptor.0.accept(stream).await {
            Ok(stream) => {
                let caller = tls::caller(stream.get_ref().1)?;
                Some((stream, caller))
            }
            Err(error) => {
                tracing::debug!(%error, "a handshake failed");
                None
            }
        }
    }

    async fn serve(&self, stream: TlsStream<TcpStream>, caller: PublicKey) {
        let answered = Arc::new(AtomicU64::new(0));
        let (office, delivery) = (self.office.clone(), self.delivery.clone());
        let reception = Reception::new(office, delivery, caller, answered.clone());
        let service = PeerServiceServer::new(reception)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS)
            .max_header_list_size(HEADER_BYTES)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER);
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
                return;
            }
            () = silence(&answered) => {}
            () = self.stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(FAREWELL, connection).await;
    }
}

/// Returns once no call was answered for a while.
async fn silence(answered: &AtomicU64) {
    let mut before = u64::MAX;
    loop {
        let now = answered.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(SILENCE).await;
    }
}

/// Who is connected, and how often.
///
/// - One account has at most `per_peer` places, all strangers together at most half.
#[derive(Debug)]
struct Places {
    taken: Mutex<Taken>,
    all: usize,
    per_peer: usize,
}

#[derive(Debug, Default)]
struct Taken {
    by_account: HashMap<AccountId, usize>,
    all: usize,
    strangers: usize,
}

/// One connection's place, free again when dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    account: AccountId,
    is_known: bool,
}

impl Places {
    fn new(office: &Office) -> Self {
        let (all, per_peer) = (office.config.connections, office.config.connections_per_peer);
        Self { taken: Mutex::default(), all, per_peer }
    }

    fn take(places: &Arc<Self>, account: AccountId, is_known: bool) -> Option<Place> {
        let mut taken = places.taken();
        let own = taken.by_account.get(&account).copied().unwrap_or(0);
        let crowded = !is_known && taken.strangers >= places.all.div_ceil(2);
        if own >= places.per_peer || taken.all >= places.all || crowded {
            return None;
        }
        taken.by_account.insert(account, own + 1);
        taken.all += 1;
        taken.strangers += usize::from(!is_known);
        assert!(taken.all <= places.all, "no more connections than allowed");
        Some(Place { places: places.clone(), account, is_known })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        taken.strangers = taken.strangers.saturating_sub(usize::from(!self.is_known));
        let left = taken.by_account.get(&self.account).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            taken.by_account.remove(&self.account);
        } else {
            taken.by_account.insert(self.account, left);
        }
    }
}
