//! Callers that write and read wherever a member is up, and write down what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raft_core::testing::{Cluster, History, Random, Summary};
use raft_core::{Applied, Node, NodeId, ProposeError, Role};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ledger::{Ledgers, Specified};

/// Time a caller gives one call: some elections, so that most calls outlive one fault.
const LIMIT: Duration = Duration::from_secs(3);

/// Time between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(5);

/// How callers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Once, through some member; what became of it may remain unknown.
    Plain,
    /// In sessions and under keys, again and again through whichever member is up, until it is
    /// known: each write is in the log exactly once.
    Once,
}

/// Callers at work.
pub(crate) struct Load {
    history: History,
    ledgers: Ledgers,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(cluster: &Cluster, ledgers: &Ledgers, callers: u64) -> Load {
        Load::start_as(Manner::Plain, cluster, ledgers, callers)
    }

    pub(crate) fn start_as(
        manner: Manner,
        cluster: &Cluster,
        ledgers: &Ledgers,
        callers: u64,
    ) -> Load {
        let mut load = Load {
            history: History::new(),
            ledgers: ledgers.clone(),
            acknowledged: Arc::default(),
            stop: Arc::default(),
            callers: Vec::new(),
        };
        for number in 0..callers {
            let caller = Caller {
                number,
                manner,
                session: [0xAA ^ number as u8; 16],
                next: None,
                cluster: cluster.clone(),
                history: load.history.clone(),
                ledgers: ledgers.clone(),
                acknowledged: Arc::clone(&load.acknowledged),
                random: Random::new(cluster.seed().wrapping_add(number)),
            };
            load.callers.push(tokio::spawn(caller.run(Arc::clone(&load.stop))));
        }
        load
    }

    /// Writes acknowledged so far.
    pub(crate) fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many writes more are acknowledged.
    pub(crate) async fn acknowledged(&self, cluster: &Cluster, more: u64) {
        let goal = self.count() + more;
        cluster.wait(&format!("{more} writes"), || self.count() >= goal).await;
    }

    /// Ends the callers, lets the members agree, and checks that they show what was promised.
    pub(crate) async fn check(self, cluster: &Cluster) -> Summary {
        self.stop.store(true, Ordering::Release);
        for caller in self.callers {
            caller.await.unwrap();
        }
        let log = cluster.agree_on(|id| self.ledgers.commands(id)).await;
        match self.history.check(&log, &mut Specified::default()) {
            Ok(summary) => summary,
            Err(anomaly) => panic!("{anomaly} (seed {})", cluster.seed()),
        }
    }
}

struct Caller {
    number: u64,
    manner: Manner,
    session: [u8; 16],
    /// The number of the session's next command, once it is open.
    next: Option<u64>,
    cluster: Cluster,
    history: History,
    ledgers: Ledgers,
    acknowledged: Arc<AtomicU64>,
    random: Random,
}

impl Caller {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        for count in 0.. {
            if stop.load(Ordering::Acquire) {
                return;
            }
            if let Some(node) = self.any() {
                match (self.random.below(4), self.manner) {
                    (0, _) => self.read(node.status().node_id).await,
                    (_, Manner::Plain) => self.write(&node, count).await,
                    (_, Manner::Once) => self.write_once(count).await,
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn any(&mut self) -> Option<Node> {
        let up = self.cluster.up();
        let id = up.get(self.random.below(up.len() as u64) as usize)?;
        self.cluster.find(*id)
    }

    /// Writes until it is certain that it was written, every other caller under a key of its own.
    async fn write_once(&mut self, count: u64) {
        let command = Bytes::from(format!("{}.{count}", self.number));
        let call = self.history.write(command.clone());
        let deadline = Instant::now() + self.cluster.patience();
        let applied = loop {
            assert!(Instant::now() < deadline, "{command:?} has no outcome");
            let Some(node) = self.any() else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let outcome = match self.number % 2 {
                0 => self.in_session(&node, command.clone()).await,
                _ => node.propose_once(self.key(count), command.clone(), LIMIT).await,
            };
            match outcome {
                Ok(applied) => break applied,
                Err(
                    error @ (ProposeError::SessionExpired { .. } | ProposeError::ReplyForgotten),
                ) => panic!("{command:?}: {error}"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        self.next = self.next.map(|next| next + 1);
        call.done(applied.position, applied.reply);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    async fn in_session(&mut self, node: &Node, command: Bytes) -> Result<Applied, ProposeError> {
        let next = match self.next {
            Some(next) => next,
            None => {
                node.open_session_as(self.session, LIMIT).await?;
                *self.next.insert(1)
            }
        };
        node.resume_session(self.session, next).propose(command, LIMIT).await
    }

    fn key(&self, count: u64) -> [u8; 16] {
        (u128::from(self.number) << 64 | u128::from(count)).to_be_bytes()
    }

    async fn write(&self, node: &Node, count: u64) {
        let command = Bytes::from(format!("{}.{count}", self.number));
        let call = self.history.write(command.clone());
        match node.propose(command, LIMIT).await {
            Ok(applied) => {
                call.done(applied.position, applied.reply);
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.may_have_happened() => call.unknown(),
            Err(_) => call.refused(),
        }
    }

    async fn read(&self, id: NodeId) {
        let Some(node) = self.cluster.find(id) else { return };
        let call = self.history.read(Bytes::from_static(b"how many?"));
        let Ok(barrier) = node.read_barrier(LIMIT).await else { return };
        let (last, reply) = self.ledgers.look(id);
        // Another node may have rebuilt the ledger meanwhile, but only after this one has stopped.
        if node.status().role != Role::Stopped {
            call.done(if last.index > barrier.index { last } else { barrier }, reply);
        }
    }
}
