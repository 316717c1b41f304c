//! How a node comes up: directory, log, state machine, port, consensus, service.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::Instrument as _;

use crate::assembly::gathering::Gathering;
use crate::channels::Channels;
use crate::config::Config;
use crate::courier::Couriers;
use crate::engine::{Engine, Parts};
use crate::environment::Environment;
use crate::error::StartError;
use crate::forward::Forward;
use crate::identity::DataDir;
use crate::life::Life;
use crate::listener;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::machine::placed::Placed;
use crate::members::MemberRecord;
use crate::metrics::Counters;
use crate::node::announcing::Announcer;
use crate::node::ending::{Ending, Order};
use crate::node::ground::Ground;
use crate::node::running::Running;
use crate::node::serving::serve;
use crate::node::{assembling, following, tasks, upkeep};
use crate::observer::Observer;
use crate::position::Position;
use crate::proposer::Proposer;
use crate::reads::Reads;
use crate::refusals::Refusals;
use crate::roster::Roster;
use crate::service::Service;
use crate::socket::Socket;
use crate::state_machine::OnDiskStateMachine;
use crate::status::{Role, Status};

/// Starts a node. What was begun is ended again when a later step fails.
pub(crate) async fn start(
    config: Config,
    machine: impl OnDiskStateMachine,
    services: Routes,
    environment: Environment,
) -> Result<Running, StartError> {
    config.validate()?;
    let mut config = config;
    let prepared = {
        let (config, environment) = (config.clone(), environment.clone());
        tokio::task::spawn_blocking(move || Ground::prepare(&config, &environment)).await
    };
    let ground = prepared.map_err(|error| StartError::Engine(error.to_string()))??;
    let listener = environment
        .transport
        .listen(config.listen)
        .await
        .map_err(|source| StartError::Bind { address: config.listen, source })?;
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Bind { address: config.listen, source })?;
    let identity = ground.directory.identity;
    // A node that finds its cluster itself has made its number.
    config.node_id = identity.node_id;
    let gathering = assembling::gathering(&config, &ground.directory, &environment.random)?;
    let own = MemberRecord {
        member: assembling::own_member(&config),
        incarnation: Some(identity.incarnation),
        signing_key: ground.signing_key.public(),
        readable_version: config.readable_version,
    };
    let pins = ground.directory.pins()?;
    let lineage = ground.directory.lineage();
    let roster = Roster::new(identity, ground.start, own, &config.members, pins, lineage);
    let roster = Arc::new(roster);
    let life = Life::of(identity.node_id, identity.cluster_id, &ground.observer.fault);
    let credentials = ground.credentials.as_ref();
    let places = Arc::clone(&roster);
    let places = Arc::new(move |id| places.addresses(id));
    let (transport, limit) = (&environment.transport, config.connect_timeout);
    let channels = Channels::new(transport, places, credentials, limit, &life);
    let refusals = Arc::new(Refusals::new(ground.observer.events.clone()));
    let places = Arc::clone(&roster);
    let machine = Placed::new(machine, move || places.identity().lineage_id());
    let machine = Machine::start(machine)
        .map_err(|error| StartError::Engine(format!("no thread for the machine: {error}")))?;
    let parts = Parts {
        log: Arc::clone(&ground.log),
        machine: machine.clone(),
        snapshots: ground.snapshots.clone(),
        roster: Arc::clone(&roster),
        channels: channels.clone(),
        refusals: Arc::clone(&refusals),
        clock: Arc::clone(&environment.clock),
        observer: ground.observer.clone(),
    };
    let engine = match Engine::start(&config, parts).instrument(life.span().clone()).await {
        Ok(engine) => engine,
        Err(error) => {
            machine.stop(true).await;
            life.end().await;
            return Err(error);
        }
    };
    let sockets =
        listener::accept(listener, ground.credentials.clone(), config.connect_timeout, &life);
    let up = Up { engine, roster, channels, machine, life, refusals, address, gathering };
    Ok(open(config, ground, up, sockets, services))
}

struct Up {
    engine: Engine,
    roster: Arc<Roster>,
    channels: Channels,
    machine: Machine,
    life: Life,
    refusals: Arc<Refusals>,
    address: SocketAddr,
    gathering: Option<Arc<Gathering>>,
}

/// Opens the node to others, now that consensus runs. Nothing here can fail.
fn open(
    config: Config,
    ground: Ground,
    up: Up,
    sockets: mpsc::Receiver<io::Result<Socket>>,
    services: Routes,
) -> Running {
    let Up { engine, roster, channels, life, .. } = &up;
    let observer = ground.observer;
    let counters = Arc::new(Counters::default());
    let proposer = proposer(&config, &up, &observer);
    let (status, status_seen) = watch::channel(first_status(&config, roster, engine));
    let reads =
        Reads::start(&config, engine, roster, channels, status_seen.clone(), &counters, life);
    let parts = assembling::Parts {
        config: &config,
        data_dir: ground.directory.path(),
        engine,
        roster,
        channels,
        events: &observer.events,
        counters: &counters,
    };
    let gathering = up.gathering.as_ref();
    let assembly = gathering.map(|gathering| assembling::assembling(gathering, &parts));
    let service = Service {
        engine: engine.clone(),
        roster: Arc::clone(roster),
        proposer: Arc::clone(&proposer),
        reads: reads.clone(),
        counters: Arc::clone(&counters),
        throttle: Arc::default(),
        assembly: assembly.clone(),
    };
    let serving = CancellationToken::new();
    let node = life.span().clone();
    let serve = serve(service, services, sockets, serving.clone(), node);
    let server = life.clone().last("the service between members", serve, serving.clone());
    let server = tokio::spawn(server);
    tasks::keep_watch(&config, engine, ground.disk, &observer, &counters, &status_seen, life);
    following::follow(engine, roster, channels, &observer.events, life);
    upkeep::keep_up(engine, roster, life);
    if let Some(assembly) = &assembly {
        assembling::assemble(assembly, &parts, &status, life);
    }
    let forward = forward(&up, proposer, &observer, &counters, &status_seen);
    let (orders, to_obey) = mpsc::channel(1);
    life.spawn(announcer(&config, &up, &observer, &orders).run());
    let (ended, ended_seen) = watch::channel(None);
    let node = life.span().clone();
    let ending = ending(&up, ground.directory, &ground.log, &observer, (serving, server), status);
    tokio::spawn(ending.wait(to_obey, ended).instrument(node));
    Running {
        config,
        forward,
        reads,
        counters,
        observer,
        orders,
        ended: ended_seen,
        engine: up.engine,
        machine: up.machine,
        gathering: up.gathering,
        address: up.address,
        log: ground.log,
        random: ground.random,
        status: status_seen,
    }
}

fn proposer(config: &Config, up: &Up, observer: &Observer) -> Arc<Proposer> {
    Arc::new(Proposer::new(
        up.engine.clone(),
        Arc::clone(&up.roster),
        config.max_pending_proposals,
        config.max_entry_bytes,
        Arc::clone(&observer.low_disk),
    ))
}

fn forward(
    up: &Up,
    proposer: Arc<Proposer>,
    observer: &Observer,
    counters: &Arc<Counters>,
    status: &watch::Receiver<Status>,
) -> Forward {
    let (roster, channels) = (&up.roster, &up.channels);
    Forward {
        roster: Arc::clone(roster),
        channels: channels.clone(),
        couriers: Couriers::new(Arc::clone(roster), channels.clone(), &up.life),
        proposer,
        engine: up.engine.clone(),
        status: status.clone(),
        counters: Arc::clone(counters),
        meters: Arc::clone(&observer.meters),
    }
}

fn announcer(
    config: &Config,
    up: &Up,
    observer: &Observer,
    orders: &mpsc::Sender<Order>,
) -> Announcer {
    Announcer {
        engine: up.engine.clone(),
        roster: Arc::clone(&up.roster),
        channels: up.channels.clone(),
        events: observer.events.clone(),
        refusals: Arc::clone(&up.refusals),
        limit: config.connect_timeout,
        orders: orders.downgrade(),
    }
}

fn ending(
    up: &Up,
    directory: DataDir,
    log: &Arc<dyn LogStore>,
    observer: &Observer,
    (serving, server): (CancellationToken, JoinHandle<()>),
    status: watch::Sender<Status>,
) -> Ending {
    Ending {
        engine: up.engine.clone(),
        machine: up.machine.clone(),
        log: Arc::clone(log),
        life: up.life.clone(),
        serving,
        server,
        directory,
        fault: observer.fault.clone(),
        status,
    }
}

fn first_status(config: &Config, roster: &Roster, engine: &Engine) -> Status {
    Status {
        node_id: config.node_id,
        cluster_id: roster.identity().cluster_id,
        role: Role::Learner,
        term: engine.term(),
        leader: None,
        committed: Position::default(),
        applied: Position::default(),
        last_log: Position::default(),
        snapshot: None,
        voters: Vec::new(),
        rebuilds: engine.rebuilds(),
    }
}
