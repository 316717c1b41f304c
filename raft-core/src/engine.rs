//! Consensus: the one module in which openraft is named.
//!
//! - `types.rs`, `wire.rs`: openraft's types as we chose them, and their messages.
//! - `settings.rs`, `runtime.rs`: its configuration, made of ours, and what it runs on.
//! - `log.rs`: its log storage, on the seam of `log_store.rs`.
//! - `propose.rs`: commands on their way to its log; `clocks.rs`: what they are stamped with.
//! - `applier.rs`, `facts.rs`: its state machine, on the trait of `state_machine.rs`; `builder.rs`:
//!   its snapshots.
//! - `changes.rs`: what was applied, read from the log.
//! - `compaction.rs`: the log behind snapshots, and when it may go.
//! - `batch.rs`, `sessions.rs`, `outcome.rs`: what committed entries come to.
//! - `recovery.rs`: the state machine made to fit the log, before openraft looks at either.
//! - `membership.rs`, `members.rs`, `leading.rs`: who belongs to the cluster, and how that changes;
//!   `versions.rs`: against which commands.
//! - `network.rs`, `peer.rs`, `append_out.rs`, `patient.rs`, `snapshot_out.rs`: its calls to other
//!   members.
//! - `inbound.rs`, `snapshot_in.rs`: theirs to it.
//! - `snapshots.rs`: when a snapshot is written, and the ways of those that come in.
//! - `responder.rs`: the way back of a reply.
//! - `observe.rs`: what it tells of itself.
//!
//! openraft keeps the safety of Raft; we keep what it asks of storage and network, and its limits.

mod append_out;
mod applier;
mod batch;
mod builder;
pub(crate) mod changes;
mod clocks;
mod compaction;
mod facts;
mod handing_over;
mod inbound;
mod leading;
mod log;
mod members;
pub(crate) mod membership;
mod network;
mod observe;
pub(crate) mod outcome;
mod patient;
mod peer;
mod propose;
mod recovery;
pub(crate) mod refusal;
mod responder;
mod runtime;
mod sessions;
mod settings;
mod skipped;
mod snapshot_in;
mod snapshot_out;
mod snapshots;
mod types;
mod versions;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::LinearizerOption;
use openraft::errors::{LinearizableReadError, RaftError};
use telegraph_proto::raft as proto;
use tokio::sync::watch;
use tonic::Status as Refusal;

use crate::channels::Channels;
use crate::clock::WallClock;
use crate::config::Config;
use crate::engine::applier::{Applier, Progress, Raft};
use crate::engine::changes::Changes;
use crate::engine::clocks::Clocks;
use crate::engine::compaction::Compaction;
use crate::engine::log::Log;
use crate::engine::members::Turn;
use crate::engine::network::Network;
use crate::engine::observe::{Heard, Watched};
use crate::engine::peer::Outbound;
use crate::engine::recovery::not_started;
use crate::engine::refusal::{Unled, Unproposed};
use crate::engine::snapshot_in::Receiver;
use crate::engine::types::position;
use crate::error::StartError;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::member::NodeId;
use crate::observer::Observer;
use crate::position::Position;
use crate::refusals::Refusals;
use crate::roster::Roster;
use crate::snapshot::directory::SnapshotDir;
use crate::snapshot::served::Served;
use crate::status::Status;

/// What an engine is made of.
pub(crate) struct Parts {
    /// The log, open.
    pub(crate) log: Arc<dyn LogStore>,
    /// The state machine, on its thread.
    pub(crate) machine: Machine,
    /// The directory of snapshots.
    pub(crate) snapshots: SnapshotDir,
    /// Who we and the others are.
    pub(crate) roster: Arc<Roster>,
    /// The connections to the others.
    pub(crate) channels: Channels,
    /// Where it is told that others refuse us.
    pub(crate) refusals: Arc<Refusals>,
    /// What commands are stamped with.
    pub(crate) clock: Arc<dyn WallClock>,
    /// Where it leaves what it sees.
    pub(crate) observer: Observer,
}

/// A running engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    raft: Raft,
    watched: Watched,
    progress: Arc<Progress>,
    changes: Changes,
    receiver: Arc<Receiver>,
    compaction: Compaction,
    served: Served,
    heard: Arc<Heard>,
    clock: Arc<dyn WallClock>,
    clocks: Arc<Clocks>,
    observer: Observer,
    turn: Turn,
    /// In which term leadership was last to be handed over, and to whom.
    handed_over: Arc<watch::Sender<Option<(u64, NodeId)>>>,
    rebuilds: u64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes the state machine fit the log and starts consensus.
    pub(crate) async fn start(config: &Config, parts: Parts) -> Result<Engine, StartError> {
        let snapshots = parts.snapshots.clone();
        let path = snapshots.path().to_owned();
        let newest = tokio::task::spawn_blocking(move || snapshots.newest())
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| StartError::Io { path, source })?;
        let recovered =
            recovery::recover(&parts.machine, parts.log.as_ref(), newest.as_ref()).await?;
        let progress = Arc::new(Progress::new(config.snapshot_after_bytes));
        let applied = recovered.held.facts.applied.map(position);
        let changes = Changes::new(Arc::clone(&parts.log), Arc::clone(&progress), applied)
            .map_err(|error| StartError::Damaged(error.into()))?;
        let log =
            Log::new(parts.log, config.max_append_bytes, config.node_id, &parts.observer.meters);
        let served = Served::new(newest);
        let applier = Applier::new(
            parts.machine,
            Some(log.clone()),
            parts.snapshots.clone(),
            served.clone(),
            recovered.held,
            Arc::clone(&progress),
            parts.observer.clone(),
        )
        .reading(config.readable_version)
        .writing_snapshots_in(config.snapshot_share_percent);
        let (observer, refusals) = (parts.observer, parts.refusals);
        let (to_all, sent) = (parts.channels, served.clone());
        let outbound =
            Outbound::new(parts.roster, to_all, refusals, sent, config, observer.clone());
        let settings = Arc::new(settings::settings(config)?);
        let clocks = Arc::clone(&outbound.clocks);
        let network = Network(Arc::new(outbound));
        let raft = Raft::new(config.node_id, settings, network, log, applier)
            .await
            .map_err(|error| not_started(&error, observer.fault.cause()))?;
        let (kept, keep) = (parts.snapshots.clone(), config.keep_entries);
        let compaction = Compaction::new(served.clone(), kept, keep);
        let receiver =
            Receiver::new(parts.snapshots, config.snapshot_stall_timeout, observer.clone());
        let heard = Arc::<Heard>::default();
        Ok(Engine {
            watched: Watched::new(&raft, config, Arc::clone(&heard), Arc::clone(&progress)),
            turn: Turn::default(),
            handed_over: Arc::default(),
            heard,
            raft,
            progress,
            changes,
            receiver: Arc::new(receiver),
            compaction,
            served,
            clock: parts.clock,
            clocks,
            observer,
            rebuilds: u64::from(recovered.rebuilt),
        })
    }

    /// This node's clock, in milliseconds since 1970.
    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.clock.now_unix_ms()
    }

    /// Where it leaves what it sees.
    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// How often the state machine had to be rebuilt at start.
    pub(crate) fn rebuilds(&self) -> u64 {
        self.rebuilds
    }

    /// The last entry applied, as it changes; `None` before the first.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<Position>> {
        self.progress.applied.subscribe()
    }

    /// What was applied, read from the log.
    pub(crate) fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// A position that a read which begins now must wait for (Raft dissertation §6.4): a quorum
    /// has confirmed after the call that we lead. Calls that overlap share one round.
    pub(crate) async fn read_index(&self, limit: Duration) -> Result<Position, Unproposed> {
        let option = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(limit);
        match self.raft.get_read_linearizer(option).await {
            Ok(linearizer) => Ok(position(*linearizer.read_log_id().log_id())),
            Err(RaftError::Fatal(_)) => Err(Unproposed::Stopped(false)),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Err(Unproposed::Unled(self.unled(&to, None)))
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(Unproposed::Unled(Unled::NotNow))
            }
        }
    }

    /// Who leads, as far as known.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.watched.known_leader()
    }

    /// The term this node is in.
    pub(crate) fn term(&self) -> u64 {
        self.watched.seen().vote.leader_id.term
    }

    /// True before the first entry.
    pub(crate) fn is_fresh(&self) -> bool {
        self.watched.seen().is_fresh
    }

    /// Keeps `status` up to date until the engine stops, and tells why it did.
    pub(crate) async fn observe(&self, status: &watch::Sender<Status>) -> String {
        let mut watched = self.watched.clone();
        loop {
            let applied = self.progress.applied.borrow().unwrap_or_default();
            status.send_if_modified(|status| {
                let mut next = watched.status(status);
                next.applied = applied;
                let changed = *status != next;
                *status = next;
                changed
            });
            if let Err(fatal) = watched.changed().await {
                return fatal.to_string();
            }
        }
    }

    /// Stops consensus; everything it has spawned ends with it, but a snapshot that is being
    /// written: that fails at its next block, and touches nothing from now on.
    pub(crate) async fn stop(&self) {
        if self.raft.shutdown().await.is_err() {
            tracing::error!("consensus ended with a panic");
        }
        self.receiver.close().await;
    }

    /// Answers a request for a vote, or whether it would be given.
    pub(crate) async fn vote(
        &self,
        from: NodeId,
        request: proto::VoteRequest,
        pre: bool,
    ) -> Result<proto::VoteReply, Refusal> {
        inbound::vote(&self.raft, from, request, pre).await
    }

    /// Answers appends.
    pub(crate) fn append(
        &self,
        from: NodeId,
        requests: impl Stream<Item = Result<proto::AppendRequest, Refusal>> + Send + 'static,
    ) -> impl Stream<Item = Result<proto::AppendReply, Refusal>> + Send + 'static {
        inbound::append(
            &self.raft,
            from,
            Arc::clone(&self.heard),
            Arc::clone(&self.observer.low_disk),
            Arc::clone(&self.clock),
            requests,
        )
    }

    /// Answers a request to take over.
    pub(crate) async fn transfer_leader(
        &self,
        from: NodeId,
        request: proto::TransferLeaderRequest,
    ) -> Result<proto::TransferLeaderReply, Refusal> {
        inbound::transfer_leader(&self.raft, from, request).await
    }
}
