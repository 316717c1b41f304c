//! What a cluster shall be like, before it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::service::Routes;

use crate::config::Config;
use crate::disk::RealDisk;
use crate::disk::sim::SimDisk;
use crate::environment::Environment;
use crate::log_opener::{LogOpener, WalOpener};
use crate::member::{Member, NodeId};
use crate::node::Node;
use crate::random::RandomSource;
use crate::state_machine::OnDiskStateMachine;
use crate::testing::cluster::place::{Adjust, PORT, Place};
use crate::testing::cluster::{Cluster, Launch, Shared};
use crate::testing::memory_logs::MemoryLogs;
use crate::testing::network::Network;
use crate::testing::seed::{chosen_seed, print_seed};
use crate::testing::seeded::{SeededRandom, ShiftedClock};

/// Time for anything to happen, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the members keep their logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogKind {
    /// The write-ahead log in the member's directory, on the machine's disk.
    #[default]
    Real,
    /// The write-ahead log on a simulated disk, which loses at a power loss what was not synced.
    /// The other files of a member stay on the machine's disk, and lose nothing.
    Simulated,
    /// A log in memory: fast, and kept over crashes whatever happens.
    Memory,
}

/// A cluster to be.
pub struct ClusterPlan {
    size: u64,
    reserves: u64,
    seed: u64,
    log: LogKind,
    wrap: Wrap,
    patience: Duration,
    adjust: Adjust,
    services: Arc<dyn Fn(NodeId) -> Routes + Send + Sync>,
}

/// Puts something before what opens a member's log.
type Wrap = Box<dyn Fn(NodeId, Arc<dyn LogOpener>) -> Arc<dyn LogOpener> + Send + Sync>;

impl Cluster {
    /// Plans a cluster of members 1 to `size`.
    #[must_use]
    pub fn of(size: u64) -> ClusterPlan {
        ClusterPlan {
            size,
            reserves: 0,
            seed: chosen_seed(),
            log: LogKind::default(),
            wrap: Box::new(|_, logs| logs),
            patience: PATIENCE,
            adjust: Box::new(|_, _| {}),
            services: Arc::new(|_| Routes::default()),
        }
    }
}

impl ClusterPlan {
    /// Repeats what happened under this seed; by default it is that of `RAFT_TEST_SEED`, or else a
    /// random one.
    #[must_use]
    pub fn seed(self, seed: u64) -> ClusterPlan {
        ClusterPlan { seed, ..self }
    }

    /// Prepares so many nodes more, with the numbers after the members', that belong to no cluster:
    /// started, they wait to be taken in ([`Node::add_learner`]). None by default.
    #[must_use]
    pub fn reserves(self, reserves: u64) -> ClusterPlan {
        ClusterPlan { reserves, ..self }
    }

    /// What the members keep their logs in; on the machine's disk by default.
    #[must_use]
    pub fn log(self, log: LogKind) -> ClusterPlan {
        ClusterPlan { log, ..self }
    }

    /// Puts a log of the test's own before each member's, to see or to delay what passes: `wrap`
    /// is given what opens the member's log, and gives what opens it from then on.
    #[must_use]
    pub fn wrap_logs(
        self,
        wrap: impl Fn(NodeId, Arc<dyn LogOpener>) -> Arc<dyn LogOpener> + Send + Sync + 'static,
    ) -> ClusterPlan {
        ClusterPlan { wrap: Box::new(wrap), ..self }
    }

    /// Time after which waiting is in vain; 60 s by default.
    #[must_use]
    pub fn patience(self, patience: Duration) -> ClusterPlan {
        ClusterPlan { patience, ..self }
    }

    /// Changes the configuration of each member, at each of its starts. By default its times are
    /// longer than [`Config`]'s own, because tests share a machine.
    #[must_use]
    pub fn configure(
        self,
        adjust: impl Fn(NodeId, &mut Config) + Send + Sync + 'static,
    ) -> ClusterPlan {
        ClusterPlan { adjust: Box::new(adjust), ..self }
    }

    /// The application's own services at each member; none by default.
    #[must_use]
    pub fn services(
        self,
        services: impl Fn(NodeId) -> Routes + Send + Sync + 'static,
    ) -> ClusterPlan {
        ClusterPlan { services: Arc::new(services), ..self }
    }

    /// Starts all members, forms their cluster, and waits for a leader. `open` makes the state
    /// machine of a member, at each of its starts, from what an earlier one left in the directory.
    pub async fn start<M: OnDiskStateMachine>(
        self,
        open: impl Fn(NodeId, &Path) -> M + Send + Sync + 'static,
    ) -> Cluster {
        let cluster = self.prepare(open);
        cluster.start_all().await;
        cluster.form().await;
        cluster.leader().await;
        cluster
    }

    /// Prepares the members, and starts none.
    #[must_use]
    pub fn prepare<M: OnDiskStateMachine>(
        self,
        open: impl Fn(NodeId, &Path) -> M + Send + Sync + 'static,
    ) -> Cluster {
        print_seed(self.seed);
        let network = Network::new(self.seed);
        let random: Arc<dyn RandomSource> = Arc::new(SeededRandom::new(self.seed));
        let mut members = Vec::new();
        let mut places = BTreeMap::new();
        let mut reserves = Vec::new();
        for id in 1..=self.size.saturating_add(self.reserves) {
            let host = format!("node-{id}");
            let member = Member { id, address: format!("{host}:{PORT}"), ..Member::default() };
            if id <= self.size {
                members.push(member)
            } else {
                reserves.push(member)
            }
            places.insert(id, self.place(id, host, &network, &random));
        }
        let directory = tempfile::tempdir()
            .unwrap_or_else(|error| panic!("no directory for the cluster: {error}"));
        let services = self.services;
        let launch: Launch = Box::new(move |id, directory, config, environment| {
            let machine = open(id, directory);
            Box::pin(Node::start_with(config, machine, services(id), environment))
        });
        Cluster {
            shared: Arc::new(Shared {
                seed: self.seed,
                patience: self.patience,
                network,
                directory,
                members,
                reserves,
                places,
                adjust: self.adjust,
                launch,
                nodes: Mutex::default(),
            }),
        }
    }

    fn place(
        &self,
        id: NodeId,
        host: String,
        network: &Network,
        random: &Arc<dyn RandomSource>,
    ) -> Place {
        let clock = Arc::<ShiftedClock>::default();
        let disk =
            (self.log == LogKind::Simulated).then(|| SimDisk::new(self.seed.wrapping_add(id)));
        let logs: Arc<dyn LogOpener> = match (&disk, self.log) {
            (Some(disk), _) => Arc::new(WalOpener::new(Arc::new(disk.clone()))),
            (None, LogKind::Memory) => Arc::new(MemoryLogs::default()),
            (None, _) => Arc::new(WalOpener::new(Arc::new(RealDisk))),
        };
        let environment = Environment {
            disk: Arc::new(RealDisk),
            transport: network.host(&host),
            logs: (self.wrap)(id, logs),
            clock: Arc::clone(&clock) as Arc<_>,
            random: Arc::clone(random),
        };
        Place { host, environment, clock, disk }
    }
}

impl fmt::Debug for ClusterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterPlan")
            .field("size", &self.size)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
