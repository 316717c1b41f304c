//! Nodes that find each other: all with the same flags but for their names and addresses.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft_core::discovery::Discovery;
use raft_core::{Assembly, Config, Event, Node, Role, StartError, Status};
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::service::Routes;

use super::harness::{PATIENCE, wait};
use super::journal::{Journal, Kept};
use super::proxy::Proxy;

/// Events of one place, over all the lives of its nodes.
type Told = Arc<Mutex<Vec<Event>>>;

type Adjust = Box<dyn Fn(usize, &mut Config) + Send + Sync>;

/// One name with its volume and its address.
pub(crate) struct Place {
    pub(crate) proxy: Proxy,
    pub(crate) kept: Kept,
    pub(crate) node: Option<Node>,
    pub(crate) told: Told,
}

pub(crate) struct Fleet {
    pub(crate) directory: TempDir,
    pub(crate) places: Vec<Place>,
    pub(crate) expect: u32,
    pub(crate) adjust: Adjust,
}

impl Fleet {
    /// Prepares so many places; no node is started.
    pub(crate) async fn prepare(size: usize, expect: u32) -> Fleet {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let mut fleet = Fleet {
            directory: tempfile::tempdir().unwrap(),
            places: Vec::new(),
            expect,
            adjust: Box::new(|_, _| {}),
        };
        for _ in 0..size {
            fleet.add().await;
        }
        fleet
    }

    /// Prepares, starts all, and waits until they are a cluster.
    pub(crate) async fn formed(size: usize, expect: u32) -> Fleet {
        let mut fleet = Fleet::prepare(size, expect).await;
        fleet.start_all().await;
        fleet.leader().await;
        fleet
    }

    /// One more place; returns which.
    pub(crate) async fn add(&mut self) -> usize {
        self.places.push(Place {
            proxy: Proxy::start().await,
            kept: Kept::default(),
            node: None,
            told: Told::default(),
        });
        self.places.len() - 1
    }

    pub(crate) fn name(place: usize) -> String {
        format!("node-{place}")
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.places.iter().map(|place| place.proxy.address.to_string()).collect()
    }

    pub(crate) fn data_dir(&self, place: usize) -> PathBuf {
        self.directory.path().join(Fleet::name(place))
    }

    pub(crate) fn config(&self, place: usize) -> Config {
        let mut config = Config {
            data_dir: self.data_dir(place),
            allow_plaintext: true,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(900),
            quorum_loss_probe_interval: Duration::from_millis(1800),
            promote_after: Duration::from_millis(300),
            assembly: Some(Assembly {
                name: Fleet::name(place),
                address: self.places[place].proxy.address.to_string(),
                discovery: Discovery::fixed(self.addresses()),
                bootstrap_expect: self.expect,
                round_pause: Duration::from_millis(100),
                reconcile_interval: Duration::from_millis(100),
                replace_after: Duration::from_secs(1),
                ..Assembly::default()
            }),
            ..Config::default()
        };
        (self.adjust)(place, &mut config);
        config
    }

    pub(crate) async fn try_start(&mut self, place: usize) -> Result<(), StartError> {
        let machine = Journal(self.places[place].kept.clone());
        let node = Node::start(self.config(place), machine, Routes::default()).await?;
        let (mut events, told) = (node.events(), Arc::clone(&self.places[place].told));
        tokio::spawn(async move {
            while let Ok(event) = events.recv().await {
                told.lock().unwrap().push(event);
            }
        });
        self.places[place].proxy.lead_to(node.local_addr());
        self.places[place].node = Some(node);
        Ok(())
    }

    pub(crate) async fn start(&mut self, place: usize) {
        self.try_start(place).await.unwrap();
    }

    pub(crate) async fn start_all(&mut self) {
        for place in 0..self.places.len() {
            self.start(place).await;
        }
    }

    pub(crate) async fn halt(&mut self, place: usize) {
        let node = self.places[place].node.take().unwrap();
        timeout(PATIENCE, node.halt()).await.unwrap();
    }

    pub(crate) async fn halt_all(&mut self) {
        for place in self.running() {
            self.halt(place).await;
        }
    }

    /// Loses everything a halted node has kept.
    pub(crate) fn wipe(&mut self, place: usize) {
        fs::remove_dir_all(self.data_dir(place)).unwrap();
        self.places[place].kept.with(|held| *held = Default::default());
    }

    /// Gives a halted node another address.
    pub(crate) async fn move_away(&mut self, place: usize) -> SocketAddr {
        self.places[place].proxy = Proxy::start().await;
        self.places[place].proxy.address
    }

    pub(crate) fn node(&self, place: usize) -> &Node {
        self.places[place].node.as_ref().unwrap()
    }

    pub(crate) fn status(&self, place: usize) -> Status {
        self.node(place).status()
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|place| self.places[*place].node.is_some()).collect()
    }

    /// True when such an event was told at a place.
    pub(crate) fn told(&self, place: usize, wanted: impl Fn(&Event) -> bool) -> bool {
        self.places[place].told.lock().unwrap().iter().any(wanted)
    }

    pub(crate) async fn tells(&self, place: usize, what: &str, wanted: impl Fn(&Event) -> bool) {
        wait(what, || self.told(place, &wanted)).await;
    }

    /// Waits until one node leads and every running one follows it; returns at which place.
    pub(crate) async fn leader(&self) -> usize {
        let mut found = None;
        wait("a leader that all follow", || {
            let running = self.running();
            let leads = |place: &usize| self.status(*place).role == Role::Leader;
            let leaders: Vec<usize> = running.iter().copied().filter(leads).collect();
            found = leaders.first().copied();
            let id = found.map(|place| self.status(place).node_id);
            leaders.len() == 1 && running.iter().all(|place| self.status(*place).leader == id)
        })
        .await;
        found.unwrap()
    }

    pub(crate) async fn follower(&self) -> usize {
        let leader = self.leader().await;
        self.running().into_iter().find(|place| *place != leader).unwrap()
    }

    /// The ids of the voters as a place knows them.
    pub(crate) fn voters(&self, place: usize) -> BTreeSet<u64> {
        self.status(place).voters.into_iter().map(|voter| voter.id).collect()
    }

    pub(crate) fn cluster_ids(&self) -> BTreeSet<[u8; 16]> {
        self.running().into_iter().map(|place| self.node(place).cluster_id()).collect()
    }

    /// Proposes through a place until it is acknowledged.
    pub(crate) async fn insist(&self, place: usize, name: &str) -> String {
        for attempt in 0.. {
            let command = format!("{name}.{attempt}");
            match self.node(place).propose(Bytes::from(command.clone()), PATIENCE).await {
                Ok(_) => return command,
                Err(error) if error.may_have_happened() => {}
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!("attempts are without end");
    }

    /// Waits until all running nodes hold these commands.
    pub(crate) async fn hold(&self, commands: &[&String]) {
        wait("everybody to hold the commands", || {
            self.running().into_iter().all(|place| {
                commands.iter().all(|command| self.places[place].kept.contains(command))
            })
        })
        .await;
    }
}
