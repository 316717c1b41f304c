//! What is committed is on a majority, always (openraft#1802: an entry was committed that two of
//! five voters had).

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use raft_core::testing::{Cluster, ClusterPlan, Random};
use raft_core::{
    Entry, Image, MachineError, NodeId, OnDiskStateMachine, Position, Records, RecordsFor,
};

use super::ledger::{Ledger, Ledgers};
use super::load::Load;
use super::witness::{Pace, Witness};

/// How long logs keep what is durable to themselves: far longer than the difference between two
/// disks, so that an answer that does not wait for a majority of them comes before it.
const LATE: Duration = Duration::from_millis(10);

/// Asks the logs who holds what is said to be committed, whenever that is said.
#[derive(Clone, Debug)]
struct Sceptic {
    witness: Witness,
    asked: Arc<AtomicU64>,
    anomalies: Arc<Mutex<Vec<String>>>,
}

impl Sceptic {
    fn new(pace: Pace) -> Sceptic {
        let witness = Witness::new(5, pace);
        Sceptic { witness, asked: Arc::default(), anomalies: Arc::default() }
    }

    fn plan(&self) -> ClusterPlan {
        let witness = self.witness.clone();
        Cluster::of(5).wrap_logs(move |id, logs| witness.watch(id, logs))
    }

    fn ask(&self, committed: Position) {
        let holders = self.witness.holders(committed);
        if holders.len() < 3 {
            let anomaly = format!("{committed} is committed, and {holders:?} hold it");
            self.anomalies.lock().unwrap().push(anomaly);
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    fn anomalies(&self) -> Vec<String> {
        self.anomalies.lock().unwrap().clone()
    }
}

/// A ledger that does not take it on trust that its entries are committed. What is applied comes
/// before its answer, and nobody gives it up: whoever is answered later is told no less.
struct Doubted {
    ledger: Ledger,
    sceptic: Sceptic,
}

impl OnDiskStateMachine for Doubted {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        self.ledger.records()
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        entries.iter().for_each(|entry| self.sceptic.ask(entry.position));
        self.ledger.apply(entries, records)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        self.ledger.snapshot()
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        self.ledger.restore(from, records)
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.ledger.reset()
    }
}

async fn start(sceptic: &Sceptic, ledgers: &Ledgers) -> Cluster {
    let (open, doubting) = (ledgers.clone(), sceptic.clone());
    let doubted = move |id| Doubted { ledger: open.open(id), sceptic: doubting.clone() };
    sceptic.plan().start(move |id, _| doubted(id)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_committed_that_is_not_on_a_majority() {
    let (sceptic, ledgers) = (Sceptic::new(Pace::Late(LATE)), Ledgers::default());
    let cluster = start(&sceptic, &ledgers).await;
    let load = Load::start(&cluster, &ledgers, 4);
    let mut random = Random::new(cluster.seed());
    for _ in 0..12 {
        let mut ids: Vec<NodeId> = (1..=5).collect();
        ids.sort_by_cached_key(|_| random.number());
        let (some, others) = ids.split_at(1 + random.below(4) as usize);
        cluster.partition(&[some, others]);
        for _ in 0..50 {
            for id in 1..=5 {
                let committed = cluster.node(id).status().committed;
                if committed.index > 0 {
                    sceptic.ask(committed);
                }
            }
            assert_eq!(sceptic.anomalies(), [""; 0], "seed {}", cluster.seed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    cluster.heal();
    load.acknowledged(&cluster, 10).await;
    let summary = load.check(&cluster).await;
    assert_eq!(sceptic.anomalies(), [""; 0], "seed {}", cluster.seed());
    assert!(sceptic.asked.load(Ordering::Relaxed) > 2_000 + summary.acknowledged);
}

/// Otherwise the test above might see nothing whatever happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_that_answer_before_their_sync_are_found_out_by_what_is_committed_then() {
    let (sceptic, ledgers) = (Sceptic::new(Pace::Early(LATE)), Ledgers::default());
    let cluster = start(&sceptic, &ledgers).await;
    let load = Load::start(&cluster, &ledgers, 4);
    cluster.wait("an anomaly", || !sceptic.anomalies().is_empty()).await;
    load.check(&cluster).await;
}
