//! A node's calls that change who belongs to the cluster.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::member::{Member, NodeId};
use crate::members::{Change, ChangeError, MemberRecord, Members};
use crate::node::{Node, deadline};
use crate::position::Position;
use crate::status::Role;

/// Pause between two looks at how far a learner is: some heartbeats, which bring its answers.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

impl Node {
    /// Who belongs to the cluster, as this node knows it now.
    #[must_use]
    pub fn members(&self) -> Members {
        self.running.engine.members()
    }

    /// Takes a node in without a vote, so that it is sent the log. Returns the entry that did.
    ///
    /// The node is to be started with this cluster's id and with some of its members beside itself
    /// ([`Config::cluster_id`](crate::Config::cluster_id)), before or after this call. Its id must
    /// be new: one that was removed is refused for ever. Works on the leader; fails as
    /// [`ChangeError`] says.
    pub async fn add_learner(
        &self,
        member: Member,
        limit: Duration,
    ) -> Result<Position, ChangeError> {
        let record = MemberRecord { member, ..MemberRecord::default() };
        self.change(Change::AddLearner(record), deadline(limit)).await
    }

    /// Gives a learner a vote, once it has kept up with the log for
    /// [`Config::promote_after`](crate::Config::promote_after), which `limit` must exceed. A voter
    /// that lacks much of the log would hold up every commit that needs it.
    ///
    /// Works on the leader; fails as [`ChangeError`] says, with [`ChangeError::Behind`] when the
    /// learner did not keep up in time.
    pub async fn promote(&self, id: NodeId, limit: Duration) -> Result<Position, ChangeError> {
        let deadline = deadline(limit);
        self.kept_up(id, deadline).await?;
        self.change(Change::Promote(id), deadline).await
    }

    /// Gives a learner the place of another member, which leaves, in one joint change: there is
    /// never a voter less, nor one more. The learner must have kept up as for [`Node::promote`], if
    /// the other one has a vote; whether that one is alive does not matter.
    ///
    /// Works on the leader, which does not replace itself but hands leadership over first and
    /// then fails with [`ChangeError::NotLeader`] and the one to ask. Fails as [`ChangeError`]
    /// says.
    pub async fn replace(
        &self,
        old: NodeId,
        new: NodeId,
        limit: Duration,
    ) -> Result<Position, ChangeError> {
        let deadline = deadline(limit);
        self.step_aside(old).await?;
        if self.members().is_voter(old) {
            self.kept_up(new, deadline).await?;
        }
        self.change(Change::Replace { old, new }, deadline).await
    }

    /// Removes a member for ever, voter or learner. It learns of it when it calls another one, and
    /// stops.
    ///
    /// Works on the leader, which does not remove itself but hands leadership over first and then
    /// fails with [`ChangeError::NotLeader`] and the one to ask. Fails as [`ChangeError`] says.
    pub async fn remove(&self, id: NodeId, limit: Duration) -> Result<Position, ChangeError> {
        self.step_aside(id).await?;
        self.change(Change::Remove(id), deadline(limit)).await
    }

    async fn change(&self, change: Change, deadline: Instant) -> Result<Position, ChangeError> {
        loop {
            if self.running.ended.borrow().is_some() {
                return Err(self.reason().into());
            }
            match self.running.engine.change(change.clone(), deadline).await {
                // Nothing was begun; a leader that was just elected can soon.
                Err(ChangeError::NotNow) if Instant::now() + LOOK_INTERVAL < deadline => {
                    sleep(LOOK_INTERVAL).await;
                }
                Err(ChangeError::Stopped(_)) => return Err(self.reason().into()),
                done => return done,
            }
        }
    }

    /// Waits until a learner has lacked little for long enough.
    async fn kept_up(&self, id: NodeId, deadline: Instant) -> Result<(), ChangeError> {
        let config = &self.running.config;
        let (limit, stable) = (config.promote_max_lag, config.promote_after);
        let mut since = Instant::now();
        loop {
            let (status, members) = (self.status(), self.members());
            if status.role != Role::Leader {
                let leader = status.leader.and_then(|id| self.member(id));
                return Err(ChangeError::NotLeader { leader });
            }
            if members.is_voter(id) || members.get(id).is_none() {
                // What is wrong with it is said when the change is planned.
                return Ok(());
            }
            let needed = self.running.engine.version_in_use();
            let outdated = |record: &MemberRecord| (1..needed).contains(&record.readable_version);
            if members.get(id).is_some_and(outdated) {
                // It stops where it cannot read the log, and will not catch up.
                return Ok(());
            }
            let lag = self.running.engine.lag(id);
            let now = Instant::now();
            if lag.is_none_or(|lag| lag > limit) {
                since = now;
            } else if now - since >= stable {
                return Ok(());
            }
            if now >= deadline {
                return Err(ChangeError::Behind { id, lag, limit, stable });
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Hands leadership over when it is this leader that is to go, and names who to ask instead.
    async fn step_aside(&self, leaving: NodeId) -> Result<(), ChangeError> {
        let status = self.status();
        if status.role != Role::Leader || leaving != status.node_id {
            return Ok(());
        }
        if self.members().voters.len() == 1 {
            return Err(ChangeError::LastVoter);
        }
        let successor = self.transfer_leadership(None).await.map_err(|error| {
            tracing::warn!(%error, "a leader that is to leave cannot hand over");
            ChangeError::NotNow
        })?;
        Err(ChangeError::NotLeader { leader: self.member(successor) })
    }
}
