//! Everything at once, from a seed: `RAFT_TEST_SEED` repeats the faults of a run, though not how
//! the nodes' threads interleave.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raft_core::NodeId;
use raft_core::testing::{Cluster, Crash, LogKind, Random};
use tokio::time::{Instant, sleep};

use super::ledger::Ledgers;
use super::load::{Load, Manner};

/// How long faults go on at least, and until enough was done meanwhile.
const STORM: Duration = Duration::from_secs(8);

/// Writes acknowledged while faults go on.
const ENOUGH: u64 = 50;

/// Who is meant to be there, by the word of whoever changes it.
#[derive(Clone)]
pub(crate) struct Roll(Arc<Mutex<BTreeSet<NodeId>>>);

impl Roll {
    pub(crate) fn enter(&self, id: NodeId) {
        self.0.lock().unwrap().insert(id);
    }

    pub(crate) fn strike_off(&self, id: NodeId) {
        self.0.lock().unwrap().remove(&id);
    }

    pub(crate) fn present(&self) -> Vec<NodeId> {
        self.0.lock().unwrap().iter().copied().collect()
    }
}

pub(crate) struct Storm {
    cluster: Cluster,
    roll: Roll,
    random: Random,
    /// What has happened, for whoever has to understand a failure.
    told: Vec<String>,
}

impl Storm {
    pub(crate) fn new(cluster: &Cluster) -> Storm {
        let random = Random::new(cluster.seed());
        let ids = cluster.members().iter().map(|member| member.id).collect();
        let roll = Roll(Arc::new(Mutex::new(ids)));
        Storm { cluster: cluster.clone(), roll, random, told: Vec::new() }
    }

    pub(crate) fn roll(&self) -> Roll {
        self.roll.clone()
    }

    /// Ends all faults: whoever is meant to be there is up, and nobody else.
    pub(crate) async fn end(&mut self) {
        self.cluster.heal();
        self.see_off().await;
        for id in self.roll.present() {
            if self.cluster.find(id).is_none() {
                self.cluster.start(id).await;
            }
        }
    }

    /// Ends the nodes of those that were removed.
    async fn see_off(&mut self) {
        let present = self.roll.present();
        for id in self.cluster.up().into_iter().filter(|id| !present.contains(id)) {
            // One that is being taken in is entered as soon as it has started.
            if self.cluster.members().iter().any(|member| member.id == id) {
                self.tell(format!("{id} was removed"));
                self.cluster.crash(id).await;
            }
        }
    }

    fn any(&mut self, ids: &[NodeId]) -> Option<NodeId> {
        ids.get(self.random.below(ids.len() as u64) as usize).copied()
    }

    fn shuffled(&mut self) -> Vec<NodeId> {
        let mut ids = self.roll.present();
        ids.sort_by_cached_key(|_| self.random.number());
        ids
    }

    /// A run in which hardly anything was done would prove hardly anything.
    pub(crate) async fn rage(&mut self, load: &Load) {
        let end = Instant::now() + STORM;
        while Instant::now() < end || load.count() < ENOUGH {
            assert!(Instant::now() < end + self.cluster.patience(), "hardly anything is done");
            self.strike().await;
            sleep(Duration::from_millis(50 + self.random.below(500))).await;
        }
    }

    async fn strike(&mut self) {
        self.see_off().await;
        let (cluster, present) = (self.cluster.clone(), self.roll.present());
        let mut up = cluster.up();
        up.retain(|id| present.contains(id));
        match self.random.below(12) {
            0 => {
                let ids = self.shuffled();
                let cut = 1 + self.random.below(ids.len() as u64 - 1) as usize;
                let (some, others) = ids.split_at(cut);
                self.tell(format!("{some:?} | {others:?}"));
                cluster.partition(&[some, others]);
            }
            1 => {
                let ids = self.shuffled();
                self.tell(format!("{} no longer hears {}", ids[1], ids[0]));
                cluster.cut_one_way(ids[0], ids[1]);
            }
            2 => {
                let leader = up.iter().find_map(|id| cluster.find(*id)?.status().leader);
                if let Some(leader) = leader {
                    self.tell(format!("leader {leader} is alone"));
                    cluster.isolate(leader);
                }
            }
            3 => {
                let ids = self.shuffled();
                self.tell(format!("connections of {} and {} break", ids[0], ids[1]));
                cluster.reset(ids[0], ids[1]);
            }
            4 => {
                let longest = Duration::from_millis(self.random.below(60));
                let lost = self.random.below(30) as u16;
                self.tell(format!("up to {longest:?} late, {lost} of 1000 lost"));
                cluster.delay(Duration::ZERO..=longest);
                cluster.lose(lost);
            }
            // Below a majority now and then, and not for long.
            5 | 6 if up.len() * 2 >= present.len() => {
                if let Some(id) = self.any(&up) {
                    let crash = [Crash::Process, Crash::PowerNothing, Crash::PowerTorn];
                    let crash = crash[self.random.below(3) as usize];
                    self.tell(format!("{id} goes down: {crash:?}"));
                    match cluster.disk(id) {
                        Some(_) if crash != Crash::Process => cluster.power_off(id, crash).await,
                        _ => cluster.crash(id).await,
                    }
                }
            }
            5..=8 => {
                let mut down = self.shuffled();
                down.retain(|id| !up.contains(id));
                if let Some(id) = down.first() {
                    self.tell(format!("{id} comes up"));
                    cluster.start(*id).await;
                }
            }
            9 => {
                if let Some(node) = self.any(&up).and_then(|id| cluster.find(id)) {
                    self.tell("a snapshot".into());
                    let limit = Duration::from_millis(500);
                    let _ = tokio::time::timeout(limit, node.take_snapshot()).await;
                }
            }
            _ => {
                self.tell("the sky clears".into());
                cluster.heal();
            }
        }
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }
}

/// Shows what had happened when a test fails.
impl Drop for Storm {
    #[allow(clippy::print_stderr, reason = "the test harness shows it when the test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the storm was:\n  {}", self.told.join("\n  "));
        }
    }
}

async fn weathered(size: u64, log: LogKind, manner: Manner) {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    let plan = Cluster::of(size).log(log).configure(|_, config| {
        // So that members that were away need snapshots.
        config.snapshot_after_entries = 100;
        config.keep_entries = 10;
    });
    let cluster = plan.start(move |id, _| open.open(id)).await;
    let load = Load::start_as(manner, &cluster, &ledgers, 6);
    let mut storm = Storm::new(&cluster);
    storm.rage(&load).await;
    storm.end().await;
    cluster.leader().await;
    load.acknowledged(&cluster, 20).await;
    let summary = load.check(&cluster).await;
    assert!(summary.acknowledged >= ENOUGH + 20, "{summary:?}");
    if manner == Manner::Once {
        assert_eq!(summary.unknown_applied + summary.unknown_lost, 0, "{summary:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_over_five_members_loses_and_doubles_nothing() {
    weathered(5, LogKind::Real, Manner::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_with_power_losses_loses_and_doubles_nothing() {
    weathered(3, LogKind::Simulated, Manner::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_what_is_proposed_in_sessions_is_applied_exactly_once() {
    weathered(3, LogKind::Real, Manner::Once).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_with_power_losses_sessions_keep_their_promise_too() {
    weathered(5, LogKind::Simulated, Manner::Once).await;
}
