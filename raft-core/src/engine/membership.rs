//! Who belongs to the cluster, as a node asks consensus for it, follows it and changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::errors::{InitializeError, RaftError};
use telegraph_proto::raft as proto;
use tokio::time::Instant;

use crate::engine::refusal::Unformed;
use crate::engine::types::{LogId, Place};
use crate::engine::{Engine, members, wire};
use crate::error::StopReason;
use crate::member::{Member, NodeId};
use crate::members::{Change, ChangeError, MemberRecord, Members};
use crate::position::Position;

/// A state of the membership, to be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp([Option<LogId>; 3]);

impl Engine {
    /// Forms a cluster of these voters, if this node belongs to none.
    pub(crate) async fn initialize(&self, members: &[Member]) -> Result<(), Unformed> {
        let places = members.iter().map(|member| (member.id, Place::of(member)));
        self.initialize_with(places.collect()).await
    }

    pub(super) async fn initialize_with(
        &self,
        members: BTreeMap<NodeId, Place>,
    ) -> Result<(), Unformed> {
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(Unformed::Exists),
            // The configuration was checked: this node is in its list.
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(Unformed::Exists),
            Err(RaftError::Fatal(_)) => Err(Unformed::Stopped),
        }
    }

    /// Who belongs to the cluster, as this node knows it.
    pub(crate) fn members(&self) -> Members {
        members::members(&self.watched.seen())
    }

    /// True for whoever the last committed membership lists: it stays in force if the newest never
    /// is.
    pub(crate) fn is_committed_member(&self, id: NodeId) -> bool {
        let committed = self.watched.seen().committed_membership;
        committed.membership().get_node(&id).is_some()
    }

    /// Who belongs to the newest membership here or to the last committed one, and which ids were
    /// removed.
    pub(crate) fn roll(&self) -> (Vec<MemberRecord>, Arc<BTreeSet<NodeId>>) {
        members::roll(self.watched.seen())
    }

    /// The newest membership here, as it travels.
    pub(crate) fn stored_membership(&self) -> proto::StoredMembership {
        let seen = self.watched.seen();
        wire::wire_stored(&seen.membership, &seen.removed)
    }

    /// Which entries have set the members, as far as this node is.
    pub(crate) fn members_stamp(&self) -> Stamp {
        Stamp(self.watched.membership_ids())
    }

    /// Waits until others have. Fails when the engine has stopped.
    pub(crate) async fn members_changed(&self, last: Stamp) -> Result<(), StopReason> {
        self.watched.clone().membership_changed(last.0).await
    }

    /// Changes the members, here as leader, and gives the entry that did.
    pub(crate) async fn change(
        &self,
        change: Change,
        deadline: Instant,
    ) -> Result<Position, ChangeError> {
        members::change(&self.raft, &self.watched, &self.turn, change, deadline).await
    }

    /// The highest version of a command that was applied here.
    pub(crate) fn version_in_use(&self) -> u32 {
        self.progress.version()
    }

    /// Takes the second step of a change that was left after its first; false if there is nothing
    /// to do or this node cannot do it.
    pub(crate) async fn finish_change(&self) -> bool {
        members::finish(&self.raft, &self.watched, &self.turn).await
    }

    /// Entries of this leader's log that a member lacks; `None` if unknown.
    pub(crate) fn lag(&self, id: NodeId) -> Option<u64> {
        self.watched.lag(id)
    }

    /// The voters, as this node knows them.
    pub(crate) fn voters(&self) -> Vec<Member> {
        self.watched.seen().voters()
    }

    /// How far each other member is known to have the log; empty unless this node leads.
    pub(crate) fn replicated(&self) -> Vec<(NodeId, Option<Position>)> {
        self.watched.replicated()
    }
}
