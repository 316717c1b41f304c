//! One identity manager: what is started in which order, and stopped in which.

use crate::api::Api;
use crate::certs::Credentials;
use crate::config::{ConfigError, ManagerConfig};
use crate::edge::door::Door;
use crate::edge::state::Edge;
use crate::edge::{self, grpc, openapi, operations};
use crate::limiter::Limiter;
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::presence::ear::Presence;
use crate::presence::worker::Worker;
use crate::tls::{self, TlsError};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use identity_store::{IdentityReader, IdentityStore, StoreError};
use raft_core::{BootstrapError, Node, StartError, StopReason};
use raft_core_discovery::{Answer, DiscoveryError, Responder};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use telegraph_proto::identity::manager_service_server::SERVICE_NAME;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Time that requests under way have to end at a shutdown: a consensus deadline and a password.
const GRACE: Duration = Duration::from_secs(10);

/// Time until a stopped manager's last task must have let go of the view.
const LET_GO: Duration = Duration::from_secs(5);

/// Time for a new connection to send its first request, and for any request's head to arrive.
/// Beyond the third of a lease after which clients send the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of a request's head: a token and a request id have 150.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Requests at once on one connection.
const MAX_STREAMS: u32 = 64;

/// Why a manager did not start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The configuration cannot work.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The credentials cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be had.
    #[error("cannot listen at {address} for {purpose}: {source}")]
    Bind {
        /// What it was for.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The answer to discovery requests cannot be made.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The view cannot be opened.
    #[error("the view of the accounts: {0}")]
    Store(#[from] StoreError),
    /// The node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The manager has no place in its cluster: a member refuses it, or the cluster has others.
    #[error("the cluster was not formed: {0}")]
    Unformed(#[source] Arc<BootstrapError>),
    /// The node has stopped, by itself or because it was asked to.
    #[error(transparent)]
    Stopped(StopReason),
    /// Something on the way failed by our fault.
    #[error("internal: {0}")]
    Internal(String),
}

/// A running identity manager.
///
/// - Stopped by [`shutdown`](Manager::shutdown) or [`halt`](Manager::halt). Its directory is free
///   for another manager of the same process once it is stopped *and* dropped, as it and the
///   handles it gave out read the view until then.
#[derive(Debug)]
pub struct Manager {
    edge: Edge,
    rest: Handle<SocketAddr>,
    rest_addr: SocketAddr,
    discovery: Mutex<Option<Responder>>,
    discovery_addr: Option<SocketAddr>,
    health: HealthReporter,
    stop: CancellationToken,
    tasks: TaskTracker,
    unformed: watch::Receiver<Option<Arc<BootstrapError>>>,
}

impl Manager {
    /// Starts a manager: it serves when this returns, though a leader may not be known yet, nor
    /// the cluster be formed: that waits until all members are there, and goes on in the
    /// background. Until then `/readyz` says no. When it fails, [`join`](Manager::join) tells.
    ///
    /// Everything that was started is stopped again when a later step fails.
    pub async fn bind(config: ManagerConfig) -> Result<Self, ManagerError> {
        config.validate()?;
        let credentials = credentials(&config)?;
        let tls = tls::server(&credentials)?;
        // The ports first: a port that is taken is the commonest failure, and touches nothing.
        let listener = bind_rest(config.rest_listen)?;
        let prepared = prepare(&config).await?;
        let metrics = Arc::new(Metrics::new());
        let presence = Presence::new(config.lease, Arc::clone(&metrics));
        let (services, health) = grpc::services(presence.clone());
        set_health(&health, false).await;
        let node = Node::start(config.node.clone(), prepared.store, services).await?;
        presence.attach(node.clone());
        let api = Api {
            node: node.clone(),
            reader: prepared.reader,
            passwords: prepared.passwords,
            limiter: Limiter::new(config.login_limit),
            presence,
            metrics,
            deadline: config.consensus_deadline,
            session_lifetime: config.session_lifetime,
        };
        match Self::serve(&config, api, listener, tls, health).await {
            Ok(manager) => Ok(manager),
            Err(error) => {
                node.halt().await;
                Err(error)
            }
        }
    }

    async fn serve(
        config: &ManagerConfig,
        api: Api,
        listener: (TcpListener, SocketAddr),
        tls: rustls::ServerConfig,
        health: HealthReporter,
    ) -> Result<Self, ManagerError> {
        let (listener, rest_addr) = listener;
        let discovery = bind_discovery(config, rest_addr, api.node.lineage_id()).await?;
        let (stop, tasks, tracker) =
            (CancellationToken::new(), TaskTracker::new(), TaskTracker::new());
        let worker = Worker::new(
            api.presence.clone(),
            api.node.clone(),
            api.reader.clone(),
            config.presence_interval,
            config.consensus_deadline,
        );
        let door = Door::new(config.max_connections, tracker.clone(), Arc::clone(&api.metrics));
        let members = config.node.members.clone();
        let edge = Edge::new(api, config.max_requests, tracker, members, openapi::document());
        let rest = Handle::new();
        let serving = serve_rest(edge.clone(), listener, tls, door, rest.clone())?;
        tasks.spawn(serving);
        tasks.spawn(worker.run(stop.clone()));
        tasks.spawn(report_health(edge.clone(), health.clone(), stop.clone()));
        let (refused, unformed) = watch::channel(None);
        tasks.spawn(form(edge.clone(), stop.clone(), refused));
        let discovery_addr = discovery.as_ref().map(Responder::local_addr);
        let discovery = Mutex::new(discovery);
        let node_id = edge.api.node.status().node_id;
        tracing::info!(node_id, %rest_addr, raft_addr = %edge.api.node.local_addr(), "serving");
        Ok(Self { edge, rest, rest_addr, discovery, discovery_addr, health, stop, tasks, unformed })
    }

    /// Where clients' HTTPS requests are accepted.
    pub fn rest_addr(&self) -> SocketAddr {
        self.rest_addr
    }

    /// Where other managers' calls are accepted.
    pub fn raft_addr(&self) -> SocketAddr {
        self.node().local_addr()
    }

    /// Where discovery requests are answered.
    pub fn discovery_addr(&self) -> Option<SocketAddr> {
        self.discovery_addr
    }

    /// This manager's part in the cluster.
    pub fn node(&self) -> &Node {
        &self.edge.api.node
    }

    /// What this manager knows of the accounts.
    pub fn reader(&self) -> &IdentityReader {
        &self.edge.api.reader
    }

    /// Waits until the manager has ended or must be: the node has stopped, by itself or because it
    /// was asked to ([`ManagerError::Stopped`]), or this manager has no place in its cluster
    /// ([`ManagerError::Unformed`]). In the latter case it still runs, is never ready, and is to be
    /// shut down.
    pub async fn join(&self) -> ManagerError {
        let mut unformed = self.unformed.clone();
        let refused = async move {
            // No sender and no error: the cluster is formed, and this says nothing any more.
            unformed.wait_for(Option::is_some).await.ok().and_then(|error| error.clone())
        };
        tokio::select! {
            biased;
            Some(error) = refused => ManagerError::Unformed(error),
            reason = self.node().stopped() => ManagerError::Stopped(reason),
        }
    }

    /// Stops in order: whoever asks is sent elsewhere, requests under way are answered, leadership
    /// is handed over, everything is flushed. Fails when the node had failed before.
    pub async fn shutdown(&self) -> Result<(), StopReason> {
        // 1. Nobody new is sent here.
        self.edge.begin_to_stop();
        set_health(&self.health, false).await;
        if let Some(responder) = self.discovery.lock().await.take() {
            responder.shutdown().await;
        }
        // 2. Requests under way end, while there is still a node to answer them.
        self.rest.graceful_shutdown(Some(GRACE));
        self.edge.tracker.close();
        if tokio::time::timeout(GRACE + LET_GO, self.edge.tracker.wait()).await.is_err() {
            tracing::warn!("requests under way did not end in time");
        }
        // 3. Nobody is left to be heard.
        self.stop_tasks().await;
        // 4. The node last: everything above needed it.
        self.node().shutdown().await
    }

    /// Stops at once, as a killed process does: connections are cut, nothing is handed over.
    pub async fn halt(&self) {
        self.rest.shutdown();
        self.discovery.lock().await.take();
        self.stop.cancel();
        self.node().halt().await;
        self.edge.tracker.close();
        // Only for the memory they hold: whether they end is not what a kill waits for.
        let _ = tokio::time::timeout(LET_GO, self.edge.tracker.wait()).await;
        self.stop_tasks().await;
    }

    async fn stop_tasks(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(LET_GO, self.tasks.wait()).await.is_err() {
            tracing::warn!("tasks of the manager did not end in time");
        }
    }
}

/// What is made where blocking is allowed.
struct Prepared {
    store: IdentityStore,
    reader: IdentityReader,
    passwords: Passwords,
}

async fn prepare(config: &ManagerConfig) -> Result<Prepared, ManagerError> {
    let (node, cost) = (config.node.clone(), config.bcrypt_cost);
    let prepared = tokio::task::spawn_blocking(move || {
        let lineage_id = raft_core::prepare_data_dir(&node)?;
        let (store, reader) = IdentityStore::open(&node.data_dir.join("view"), lineage_id)?;
        let passwords =
            Passwords::new(cost).map_err(|error| ManagerError::Internal(error.to_string()))?;
        Ok(Prepared { store, reader, passwords })
    });
    prepared.await.map_err(|error| ManagerError::Internal(error.to_string()))?
}

fn credentials(config: &ManagerConfig) -> Result<Credentials, ConfigError> {
    let tls = config.node.tls.clone();
    let tls = tls.ok_or(ConfigError { field: "tls", why: "is missing".into() })?;
    Ok(Credentials { ca_pem: tls.ca_pem, cert_pem: tls.cert_pem, key_pem: tls.key_pem })
}

fn bind_rest(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ManagerError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| ManagerError::Bind { purpose: "HTTPS", address, source })
}

async fn bind_discovery(
    config: &ManagerConfig,
    rest_addr: SocketAddr,
    lineage_id: [u8; 16],
) -> Result<Option<Responder>, ManagerError> {
    let Some(address) = config.discovery_listen else { return Ok(None) };
    let answer = Answer::new(rest_addr.port(), &hex::encode(lineage_id))?;
    let bound = Responder::bind(address, answer).await;
    let purpose = "discovery (UDP); choose another port, or `off`";
    bound.map(Some).map_err(|source| ManagerError::Bind { purpose, address, source })
}

/// The task of the REST edge.
fn serve_rest(
    edge: Edge,
    listener: TcpListener,
    tls: rustls::ServerConfig,
    door: Door,
    handle: Handle<SocketAddr>,
) -> Result<impl Future<Output = ()>, ManagerError> {
    let failed = |source| {
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        ManagerError::Bind { purpose: "HTTPS", address, source }
    };
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls))).acceptor(door);
    let mut server = axum_server::from_tcp(listener).map_err(failed)?.acceptor(acceptor);
    let builder = server.http_builder();
    builder.http1().header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(HEAD_TIMEOUT);
    let server = server.handle(handle).first_request_timeout(HEAD_TIMEOUT);
    let service = edge::router(edge).into_make_service_with_connect_info::<SocketAddr>();
    Ok(async move {
        if let Err(error) = server.serve(service).await {
            tracing::error!(%error, "the REST edge ended");
        }
    })
}

/// Forms the cluster, however long its members take to come up, or finds out that this manager has
/// no place in it.
async fn form(
    edge: Edge,
    stop: CancellationToken,
    refused: watch::Sender<Option<Arc<BootstrapError>>>,
) {
    match stop.run_until_cancelled(edge.api.node.bootstrap()).await {
        // Formed; to be stopped; stopped by itself, which the node tells.
        Some(Ok(()) | Err(BootstrapError::Stopped(_))) | None => {}
        Some(Err(error)) => {
            tracing::error!(%error, "this manager has no place in its cluster");
            edge.begin_to_stop();
            refused.send_replace(Some(Arc::new(error)));
        }
    }
}

/// Tells `grpc.health.v1` whenever readiness changes.
async fn report_health(edge: Edge, health: HealthReporter, stop: CancellationToken) {
    let mut status = edge.api.node.watch_status();
    let mut told = false;
    loop {
        status.borrow_and_update();
        let ready = operations::is_ready(&edge);
        if ready != told {
            set_health(&health, ready).await;
            told = ready;
        }
        match stop.run_until_cancelled(status.changed()).await {
            Some(Ok(())) => {}
            // The node is gone, or we are to stop.
            Some(Err(_)) | None => return set_health(&health, false).await,
        }
    }
}

async fn set_health(health: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE_NAME, status).await;
}
