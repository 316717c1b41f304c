//! How a node comes up: directory, log, state machine, port, consensus, service.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use telegraph_proto::raft::raft_service_server::RaftServiceServer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::channels::{
    CONNECTION_WINDOW_BYTES, Channels, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_MAX_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::config::{Config, ConfigError};
use crate::credentials::Credentials;
use crate::disk::RealDisk;
use crate::engine::{Engine, Parts};
use crate::error::{StartError, StopReason};
use crate::fault::Fault;
use crate::forward::Forward;
use crate::identity::DataDir;
use crate::life::Life;
use crate::listener;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::metrics::Counters;
use crate::node::ending::{Ending, Order};
use crate::position::Position;
use crate::proposer::Proposer;
use crate::roster::Roster;
use crate::service::Service;
use crate::snapshot::directory::SnapshotDir;
use crate::socket::Socket;
use crate::state_machine::StateMachine;
use crate::status::{Role, Status};
use crate::wal::Wal;
use crate::wal::config::WalConfig;
use crate::wal::error::WalError;

/// Calls under way on one connection: a member has a few streams and its forwarded commands.
const STREAMS_MAX: u32 = 4096;

/// What a handle of a running node holds.
#[derive(Debug)]
pub(crate) struct Running {
    /// The configuration it was started with.
    pub(crate) config: Config,
    /// Consensus.
    pub(crate) engine: Engine,
    /// Finds the leader.
    pub(crate) forward: Forward,
    /// The log, for its counters.
    pub(crate) wal: Arc<Wal>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// What the node says of itself.
    pub(crate) status: watch::Receiver<Status>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Asks it to end.
    pub(crate) orders: mpsc::Sender<Order>,
    /// Tells that it has ended, and why.
    pub(crate) ended: watch::Receiver<Option<StopReason>>,
}

/// What is there before consensus.
struct Ground {
    directory: DataDir,
    wal: Arc<Wal>,
    snapshots: SnapshotDir,
    credentials: Option<Credentials>,
}

/// Starts a node. What was begun is ended again when a later step fails.
pub(crate) async fn start(
    config: Config,
    machine: impl StateMachine,
    services: Routes,
) -> Result<Running, StartError> {
    config.validate()?;
    let prepared = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || prepare(&config)).await
    };
    let ground = prepared.map_err(|error| StartError::Engine(error.to_string()))??;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Bind { address: config.listen, source })?;
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Bind { address: config.listen, source })?;
    let roster =
        Arc::new(Roster::new(ground.directory.identity, &config.members, ground.directory.pins()?));
    let life = Life::default();
    let others = config.members.iter().filter(|member| member.id != config.node_id);
    let credentials = ground.credentials.as_ref();
    let channels = Channels::new(others, credentials, config.connect_timeout, &life);
    let fault = Fault::default();
    let machine = Machine::start(machine)
        .map_err(|error| StartError::Engine(format!("no thread for the machine: {error}")))?;
    let parts = Parts {
        log: Arc::clone(&ground.wal) as Arc<dyn LogStore>,
        machine: machine.clone(),
        snapshots: ground.snapshots.clone(),
        roster: Arc::clone(&roster),
        channels: channels.clone(),
        fault: fault.clone(),
    };
    let engine = match Engine::start(&config, parts).await {
        Ok(engine) => engine,
        Err(error) => {
            machine.stop(true).await;
            life.end().await;
            return Err(error);
        }
    };
    let sockets =
        listener::accept(listener, ground.credentials.clone(), config.connect_timeout, &life);
    let up = Up { engine, roster, channels, machine, life, fault, address };
    Ok(serve(config, ground, up, sockets, services))
}

struct Up {
    engine: Engine,
    roster: Arc<Roster>,
    channels: Channels,
    machine: Machine,
    life: Life,
    fault: Fault,
    address: SocketAddr,
}

fn serve(
    config: Config,
    ground: Ground,
    up: Up,
    sockets: mpsc::Receiver<io::Result<Socket>>,
    services: Routes,
) -> Running {
    let Up { engine, roster, channels, machine, life, fault, address } = up;
    let counters = Arc::new(Counters::default());
    let (pending, entry_bytes) = (config.max_pending_proposals, config.max_entry_bytes);
    let proposer =
        Arc::new(Proposer::new(engine.clone(), Arc::clone(&roster), pending, entry_bytes));
    let service = Service {
        engine: engine.clone(),
        roster: Arc::clone(&roster),
        proposer: Arc::clone(&proposer),
        counters: Arc::clone(&counters),
        throttle: Arc::default(),
    };
    let serving = CancellationToken::new();
    let server = tokio::spawn(run_server(service, services, sockets, serving.clone()));
    watch_snapshots(&engine, &life);
    let (status, status_seen) = watch::channel(first_status(&config, &roster, &engine));
    watch_leaders(status_seen.clone(), Arc::clone(&counters), &life);
    let (orders, to_obey) = mpsc::channel(1);
    let (ended, ended_seen) = watch::channel(None);
    let ending = Ending {
        engine: engine.clone(),
        machine,
        wal: Arc::clone(&ground.wal),
        life,
        serving,
        server,
        directory: ground.directory,
        fault,
        status,
    };
    tokio::spawn(ending.wait(to_obey, ended));
    let forward = Forward {
        roster,
        channels,
        proposer,
        engine: engine.clone(),
        status: status_seen.clone(),
        counters: Arc::clone(&counters),
    };
    Running {
        config,
        engine,
        forward,
        wal: ground.wal,
        counters,
        status: status_seen,
        address,
        orders,
        ended: ended_seen,
    }
}

/// Opens everything that lies on disk. Blocks.
fn prepare(config: &Config) -> Result<Ground, StartError> {
    let credentials = config.tls.as_ref().map(Credentials::new).transpose()?;
    let mut directory = DataDir::open(config)?;
    let path = directory.log_path()?;
    let settings = WalConfig { segment_bytes: config.segment_bytes, ..WalConfig::default() };
    let (wal, recovery) =
        Wal::open(&path, Arc::new(RealDisk), settings).map_err(|error| of_log(&path, error))?;
    directory.note_log_opened(recovery.created)?;
    let path = directory.snapshots_path();
    let snapshots = SnapshotDir::open(&path).map_err(|source| StartError::Io { path, source })?;
    Ok(Ground { directory, wal: Arc::new(wal), snapshots, credentials })
}

fn of_log(path: &Path, error: WalError) -> StartError {
    match error {
        WalError::Locked { path } => StartError::Locked { path },
        WalError::Io { path, source, .. } => StartError::Io { path, source },
        WalError::Config(why) => ConfigError { field: "segment_bytes", why }.into(),
        damage => StartError::Damaged(format!("{}: {damage}", path.display()).into()),
    }
}

async fn run_server(
    service: Service,
    services: Routes,
    sockets: mpsc::Receiver<io::Result<Socket>>,
    serving: CancellationToken,
) {
    let service = RaftServiceServer::new(service)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let served = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(services.add_service(service))
        .serve_with_incoming_shutdown(ReceiverStream::new(sockets), serving.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the service between members ended");
    }
}

fn watch_snapshots(engine: &Engine, life: &Life) {
    let engine = engine.clone();
    life.spawn(async move {
        loop {
            engine.snapshot_due().await;
            if !engine.want_snapshot().await {
                return;
            }
        }
    });
}

fn watch_leaders(mut status: watch::Receiver<Status>, counters: Arc<Counters>, life: &Life) {
    life.spawn(async move {
        let mut last = None;
        while status.changed().await.is_ok() {
            let (leader, term) = {
                let status = status.borrow_and_update();
                (status.leader, status.term)
            };
            if let Some(leader) = leader
                && last != Some((leader, term))
            {
                last = Some((leader, term));
                counters.leader_change();
                tracing::info!(leader, term, "a leader is known");
            }
        }
    });
}

fn first_status(config: &Config, roster: &Roster, engine: &Engine) -> Status {
    Status {
        node_id: config.node_id,
        cluster_id: roster.identity().cluster_id,
        role: Role::Learner,
        term: 0,
        leader: None,
        committed: Position::default(),
        applied: Position::default(),
        last_log: Position::default(),
        snapshot: None,
        voters: Vec::new(),
        rebuilds: engine.rebuilds(),
    }
}
