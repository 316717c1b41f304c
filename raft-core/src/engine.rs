//! Consensus: the one module in which openraft is named.
//!
//! - `types.rs`, `wire.rs`: openraft's types as we chose them, and their messages.
//! - `log.rs`: its log storage, on the seam of `log_store.rs`.
//! - `applier.rs`, `facts.rs`: its state machine, on the trait of `state_machine.rs`.
//! - `recovery.rs`: the state machine made to fit the log, before openraft looks at either.
//! - `network.rs`, `peer.rs`, `append_out.rs`, `snapshot_out.rs`: its calls to other members.
//! - `inbound.rs`, `snapshot_in.rs`: theirs to it.
//! - `observe.rs`: what it tells of itself.
//!
//! openraft keeps the safety of Raft; we keep what it asks of storage and network, and its limits.

mod append_out;
mod applier;
mod facts;
mod inbound;
mod log;
mod network;
mod observe;
mod peer;
mod recovery;
mod snapshot_in;
mod snapshot_out;
mod types;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use openraft::errors::{
    ClientWriteError, Fatal, ForwardToLeader, InitializeError, LinearizableReadError, RaftError,
};
use openraft::impls::ProgressResponder;
use openraft::{LinearizerOption, SnapshotPolicy};
use telegraph_proto::raft as proto;
use tokio::sync::watch;
use tonic::Status as Refusal;

use crate::channels::Channels;
use crate::config::Config;
use crate::engine::applier::{Applier, Progress, Raft};
use crate::engine::log::Log;
use crate::engine::network::Network;
use crate::engine::observe::{Heard, Watched};
use crate::engine::peer::Outbound;
use crate::engine::snapshot_in::Receiver;
use crate::engine::types::{CommittedLeader, Place, Proposal, position};
use crate::error::StartError;
use crate::fault::Fault;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::member::{Member, NodeId};
use crate::position::Position;
use crate::roster::Roster;
use crate::snapshot::directory::SnapshotDir;
use crate::status::Status;

/// Entries in one append request, besides the limit in bytes: so that their framing stays small.
const APPEND_ENTRIES: u64 = 4096;

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
    /// Where a reason to stop is left.
    pub(crate) fault: Fault,
}

/// A running engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    raft: Raft,
    watched: Watched,
    progress: Arc<Progress>,
    receiver: Arc<Receiver>,
    heard: Arc<Heard>,
    rebuilds: u64,
}

/// Why this node did not do what only a leader does. Nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unled {
    /// Another one leads, or nobody.
    NotLeader(Option<NodeId>),
    /// We lead, as far as we know, but cannot act on it now: a quorum has not been heard of
    /// lately, or leadership is being handed over.
    NotNow,
}

/// Why a proposal has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unproposed {
    /// Not proposed.
    Unled(Unled),
    /// Proposed, and overtaken by another leader: whether it will be applied is unknown.
    Unknown,
    /// The engine has stopped; true if it was proposed before.
    Stopped(bool),
}

/// Why a cluster was not formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unformed {
    /// There is one already, or one is being formed.
    Exists,
    /// The engine has stopped.
    Stopped,
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
            .map_err(std::io::Error::other)
            .and_then(|newest| newest)
            .map_err(|source| StartError::Io { path, source })?;
        let recovered =
            recovery::recover(&parts.machine, parts.log.as_ref(), newest.as_ref()).await?;
        let progress = Arc::new(Progress::new(config.snapshot_after_bytes));
        let log = Log::new(parts.log, config.max_append_bytes);
        let applier = Applier::new(
            parts.machine,
            Some(log.clone()),
            parts.snapshots.clone(),
            newest,
            recovered.facts,
            Arc::clone(&progress),
            parts.fault,
        );
        let network = Network(Arc::new(Outbound::new(parts.roster, parts.channels, config)));
        let settings = Arc::new(settings(config)?);
        let raft = Raft::new(config.node_id, settings, network, log, applier)
            .await
            .map_err(|error| StartError::Damaged(error.to_string().into()))?;
        let receiver = Receiver::new(parts.snapshots, config.snapshot_stall_timeout);
        let heard = Arc::<Heard>::default();
        Ok(Engine {
            watched: Watched::new(&raft, config, Arc::clone(&heard)),
            heard,
            raft,
            progress,
            receiver: Arc::new(receiver),
            rebuilds: u64::from(recovered.rebuilt),
        })
    }

    /// How often the state machine had to be rebuilt at start.
    pub(crate) fn rebuilds(&self) -> u64 {
        self.rebuilds
    }

    /// The last entry applied, as it changes; `None` before the first.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<Position>> {
        self.progress.applied.subscribe()
    }

    /// Proposes a command here, stamped with the time; only if we lead `term`, when given.
    pub(crate) async fn propose(
        &self,
        mut command: proto::Command,
        term: Option<u64>,
    ) -> Result<(Position, Bytes), Unproposed> {
        command.time_unix_ms = now_unix_ms();
        let (responder, reply) = ProgressResponder::complete_only();
        let mut write = self.raft.write(Proposal(command)).responder(responder);
        if let Some(term) = term {
            write = write.with_leader(CommittedLeader::from(term));
        }
        write.await.map_err(|_| Unproposed::Stopped(false))?;
        // The engine drops the responder only when it stops.
        match reply.await.map_err(|_| Unproposed::Stopped(true))? {
            Ok(applied) => Ok((position(applied.log_id), applied.data)),
            Err(ClientWriteError::ForwardToLeader(to)) => {
                Err(Unproposed::Unled(self.unled(&to, term)))
            }
            Err(_) => Err(Unproposed::Unknown),
        }
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

    fn unled(&self, to: &ForwardToLeader<types::TypeConfig>, term: Option<u64>) -> Unled {
        let seen = self.watched.seen();
        if seen.leads && term.is_none_or(|term| term == seen.vote.leader_id.term) {
            return Unled::NotNow;
        }
        Unled::NotLeader(to.leader_id.or(seen.leader))
    }

    /// Forms a cluster of these voters, if this node belongs to none.
    pub(crate) async fn initialize(&self, members: &[Member]) -> Result<(), Unformed> {
        let members: BTreeMap<NodeId, Place> =
            members.iter().map(|member| (member.id, Place::of(member))).collect();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(Unformed::Exists),
            // The configuration was checked: this node is in its list.
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(Unformed::Exists),
            Err(RaftError::Fatal(_)) => Err(Unformed::Stopped),
        }
    }

    /// The voters, as this node knows them.
    pub(crate) fn voters(&self) -> Vec<Member> {
        self.watched.seen().voters
    }

    /// Who leads, as far as known.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.watched.seen().leader
    }

    /// True before the first entry.
    pub(crate) fn is_fresh(&self) -> bool {
        self.watched.seen().is_fresh
    }

    /// The other members, furthest in the log first; empty unless this node leads.
    pub(crate) fn successors(&self) -> Vec<NodeId> {
        let mut replicated = self.watched.replicated();
        replicated.retain(|(_, last)| last.is_some());
        replicated.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
        replicated.into_iter().map(|(id, _)| id).collect()
    }

    /// Asks for leadership to be handed over.
    pub(crate) async fn hand_over(&self, to: NodeId) -> bool {
        self.raft.trigger().transfer_leader(to).await.is_ok()
    }

    /// Asks for a snapshot.
    pub(crate) async fn want_snapshot(&self) -> bool {
        self.raft.trigger().snapshot().await.is_ok()
    }

    /// Waits until enough bytes were applied to be worth a snapshot.
    pub(crate) async fn snapshot_due(&self) {
        self.progress.snapshot_due.notified().await;
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
                return fatal_text(&fatal);
            }
        }
    }

    /// Stops consensus; everything it has spawned ends with it.
    pub(crate) async fn stop(&self) {
        if self.raft.shutdown().await.is_err() {
            tracing::error!("consensus ended with a panic");
        }
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
        inbound::append(&self.raft, from, Arc::clone(&self.heard), requests)
    }

    /// Tells how much of a snapshot is here.
    pub(crate) async fn snapshot_offset(
        &self,
        from: NodeId,
        request: proto::SnapshotOffsetRequest,
    ) -> Result<proto::SnapshotOffsetReply, Refusal> {
        self.receiver.offset(from, request, &self.watched).await
    }

    /// Takes a snapshot.
    pub(crate) async fn install_snapshot(
        &self,
        from: NodeId,
        first: proto::SnapshotChunk,
        rest: impl Stream<Item = Result<proto::SnapshotChunk, Refusal>> + Send + Unpin,
    ) -> Result<proto::SnapshotReply, Refusal> {
        self.receiver.install(from, first, rest, &self.watched, &self.raft).await
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

/// This machine's clock; 0 before 1970.
pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn fatal_text(fatal: &Fatal<types::TypeConfig>) -> String {
    fatal.to_string()
}

fn settings(config: &Config) -> Result<openraft::Config, StartError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let settings = openraft::Config {
        cluster_name: String::new(),
        heartbeat_interval: millis(config.heartbeat_interval),
        election_timeout_min: millis(config.election_timeout_min),
        election_timeout_max: millis(config.election_timeout_max),
        max_payload_entries: APPEND_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_after_entries),
        max_in_snapshot_log_to_keep: config.keep_entries,
        quorum_loss_probe_interval: Some(millis(config.quorum_loss_probe_interval)),
        enable_pre_vote: Some(true),
        // A leader that restarts knows nothing of the time it was away: it stands for election.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    };
    settings.validate().map_err(|error| StartError::Engine(error.to_string()))
}
