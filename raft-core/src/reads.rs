//! Reads: what a node must know, and have applied, before its state may be read.
//!
//! A node asks the leader, itself or another one, for a read index: a position that a quorum has
//! confirmed to be the leader's after the question was put. Readers share the asking (`rounds.rs`):
//! one round is under way at the leader, for its own readers and those of all the others, and one
//! from each other node to the leader. A round that comes to nothing, because a heartbeat was
//! missed or a leader lost, is followed by another one until the reader's own deadline
//! (openraft#1851).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use telegraph_proto::raft::read_index_reply::Result as Reply;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::channels::Channels;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::refusal::Unproposed;
use crate::error::{ReadError, StopReason};
use crate::forward::pause;
use crate::life::Life;
use crate::member::NodeId;
use crate::meters::Rpc;
use crate::metrics::Counters;
use crate::position::Position;
use crate::reached::Reached;
use crate::read_level::ReadLevel;
use crate::roster::Roster;
use crate::rounds::{Found, Rounds};
use crate::status::{Role, Status};
use crate::unsent::millis;

/// What a round of confirmation found: the read index, or why there is none.
pub(crate) type Confirmed = Result<Position, Unproposed>;

/// The least time a round is given: a loaded machine's round trip, many times over.
const ROUND_MIN: Duration = Duration::from_secs(1);

/// What reading takes; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    us: NodeId,
    engine: Engine,
    status: watch::Receiver<Status>,
    reached: Reached,
    /// Rounds of this node's quorum, if it leads; also for the members that ask it.
    here: Rounds<Confirmed>,
    /// Rounds of questions to another leader; `None`: it has not answered, or does not lead.
    there: Rounds<Option<Position>>,
    /// Everything that was acknowledged anywhere before this moment has been applied here.
    complete_until: Arc<Mutex<Option<Instant>>>,
    /// True while that is being renewed ahead of time.
    renewing: Arc<AtomicBool>,
    life: Life,
}

impl Reads {
    /// Begins to serve readers.
    pub(crate) fn start(
        config: &Config,
        engine: &Engine,
        roster: &Arc<Roster>,
        channels: &Channels,
        status: watch::Receiver<Status>,
        counters: &Arc<Counters>,
        life: &Life,
    ) -> Reads {
        // Long enough for a leader's quorum; when it has passed, the leader is hardly one.
        let limit = (config.election_timeout_max * 2).max(ROUND_MIN);
        let here = {
            let (engine, counters) = (engine.clone(), Arc::clone(counters));
            Rounds::start(life, move || {
                let (engine, counters) = (engine.clone(), Arc::clone(&counters));
                async move {
                    counters.read_round();
                    engine.read_index(limit).await
                }
            })
        };
        let asker = Asker {
            us: config.node_id,
            engine: engine.clone(),
            roster: Arc::clone(roster),
            channels: channels.clone(),
        };
        let there = {
            let (mut status, counters) = (status.clone(), Arc::clone(counters));
            Rounds::start(life, move || {
                let (asker, counters) = (asker.clone(), Arc::clone(&counters));
                status.mark_unchanged();
                let status = status.clone();
                async move {
                    counters.read_round();
                    let asked = timeout(limit, asker.ask(limit, status)).await;
                    asked.unwrap_or_else(|_| {
                        asker.engine.observer().meters.deadline(Rpc::ReadIndex);
                        None
                    })
                }
            })
        };
        let stopped = {
            let mut status = status.clone();
            // An error says that nobody can tell any more, because the node has ended.
            async move { drop(status.wait_for(|status| status.role == Role::Stopped).await) }
        };
        Reads {
            us: config.node_id,
            engine: engine.clone(),
            reached: Reached::start(life, engine.applied(), stopped),
            status,
            here,
            there,
            complete_until: Arc::default(),
            renewing: Arc::default(),
            life: life.clone(),
        }
    }

    /// Waits until this node's state is as new as `level` asks, and tells how far it is.
    pub(crate) async fn read(
        &self,
        level: ReadLevel,
        deadline: Instant,
    ) -> Result<Position, ReadError> {
        match level {
            ReadLevel::Linearizable => self.linearizable(deadline).await,
            ReadLevel::AtLeast(position) => self.wait_applied(position, deadline).await,
            ReadLevel::Stale { max_age } => self.stale(max_age, deadline).await,
        }
    }

    /// A read index that is confirmed after this call, if this node leads. Gives up, with
    /// `Unled::NotNow`, when a round takes too long; no deadline of the caller's is needed.
    pub(crate) async fn confirm_here(&self) -> Confirmed {
        match self.here.join().await {
            Some(found) => found.answer,
            None => Err(Unproposed::Stopped(false)),
        }
    }

    async fn linearizable(&self, deadline: Instant) -> Result<Position, ReadError> {
        let mut status = self.status.clone();
        let mut had_leader = false;
        loop {
            if status.borrow_and_update().role == Role::Stopped {
                return Err(StopReason::Halted.into());
            }
            let leader = self.engine.leader();
            had_leader |= leader.is_some();
            let confirmed = async {
                match leader {
                    None => Ok(None),
                    Some(leader) if leader == self.us => self.ask_here().await,
                    Some(_) => Ok(self.ask_there().await),
                }
            };
            let confirmed = timeout_at(deadline, confirmed).await;
            if let Some(found) = confirmed.map_err(|_| ReadError::Timeout)?? {
                let applied = self.wait_applied(found.answer, deadline).await?;
                self.note_complete(found.begun);
                return Ok(applied);
            }
            if !pause(&mut status, deadline).await {
                return Err(if had_leader { ReadError::Timeout } else { ReadError::NoLeader });
            }
        }
    }

    async fn ask_here(&self) -> Result<Option<Found<Position>>, ReadError> {
        let Some(Found { answer, begun }) = self.here.join().await else { return Ok(None) };
        match answer {
            Ok(answer) => Ok(Some(Found { answer, begun })),
            Err(Unproposed::Stopped(_)) => Err(StopReason::Halted.into()),
            Err(_) => Ok(None),
        }
    }

    async fn ask_there(&self) -> Option<Found<Position>> {
        let Found { answer, begun } = self.there.join().await?;
        Some(Found { answer: answer?, begun })
    }

    async fn stale(&self, max_age: Duration, deadline: Instant) -> Result<Position, ReadError> {
        if self.status.borrow().role == Role::Stopped {
            return Err(StopReason::Halted.into());
        }
        match self.age() {
            Some(age) if age < max_age => {
                if age > max_age / 2 {
                    self.renew();
                }
                Ok(self.applied())
            }
            _ => match self.linearizable(deadline).await {
                Err(ReadError::Timeout | ReadError::NoLeader) => match self.age() {
                    // Another reader was luckier, or slower to notice.
                    Some(age) if age < max_age => Ok(self.applied()),
                    age => Err(ReadError::TooOld { age }),
                },
                done => done,
            },
        }
    }

    /// Has the age renewed while nobody waits for it.
    fn renew(&self) {
        if self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let reads = self.clone();
        self.life.spawn(async move {
            // Whoever needs it and does not find it asks again, and learns why.
            let _ = reads.linearizable(Instant::now() + ROUND_MIN).await;
            reads.renewing.store(false, Ordering::Release);
        });
    }

    async fn wait_applied(&self, upto: Position, deadline: Instant) -> Result<Position, ReadError> {
        match timeout_at(deadline, self.reached.wait(upto)).await {
            Ok(Some(at)) => Ok(at),
            Ok(None) => Err(StopReason::Halted.into()),
            Err(_) => Err(ReadError::Timeout),
        }
    }

    fn applied(&self) -> Position {
        self.engine.applied().borrow().unwrap_or_default()
    }

    fn note_complete(&self, begun: Instant) {
        let mut until = self.complete_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Some(begun));
    }

    /// How old what is applied here can be at most; `None` when that was never confirmed.
    fn age(&self) -> Option<Duration> {
        let until = *self.complete_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.elapsed())
    }
}

/// Puts the question to another leader.
#[derive(Clone, Debug)]
struct Asker {
    us: NodeId,
    engine: Engine,
    roster: Arc<Roster>,
    channels: Channels,
}

impl Asker {
    /// Asks whoever leads, until an answer comes or another one leads.
    async fn ask(&self, limit: Duration, mut status: watch::Receiver<Status>) -> Option<Position> {
        let leader = self.engine.leader().filter(|leader| *leader != self.us)?;
        let channel = self.channels.get(leader)?.application.clone();
        let request = proto::ReadIndexRequest {
            caller: Some(self.roster.caller_to(leader)),
            deadline_ms: millis(limit),
        };
        let mut client = RaftServiceClient::new(channel);
        let replaced = status.wait_for(|status| status.leader.is_some_and(|id| id != leader));
        let reply = tokio::select! {
            reply = client.read_index(request) => reply.ok()?.into_inner().result,
            _ = replaced => None,
        };
        match reply {
            Some(Reply::Position(at)) => Some(Position { term: at.term, index: at.index }),
            _ => None,
        }
    }
}
