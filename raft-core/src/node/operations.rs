//! A node's calls for operators: snapshots and leadership.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::OperatorError;
use crate::member::{Member, NodeId};
use crate::node::{Node, deadline};
use crate::position::Position;
use crate::status::{Role, Status};

/// Time for a snapshot to be written on request: one of gigabytes that makes way for commands takes
/// many minutes.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(1800);

/// Pause between two looks whether anybody has answered.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

impl Node {
    /// Writes a snapshot now and returns the last entry it contains. It makes way for commands, as
    /// [`Config::snapshot_share_percent`](crate::Config::snapshot_share_percent) says. Fails when
    /// nothing was applied yet, and after half an hour.
    pub async fn take_snapshot(&self) -> Result<Position, OperatorError> {
        let wanted = *self.running.engine.applied().borrow();
        let Some(wanted) = wanted else {
            return Err(OperatorError::Impossible("nothing was applied yet"));
        };
        let deadline = deadline(SNAPSHOT_TIMEOUT);
        let mut status = self.watch_status();
        loop {
            let contained = status.borrow_and_update().snapshot;
            if let Some(contained) = contained.filter(|contained| *contained >= wanted) {
                return Ok(contained);
            }
            if !self.running.engine.want_snapshot().await {
                return Err(self.reason().into());
            }
            self.changed(&mut status, deadline, |status| status.snapshot != contained).await?;
        }
    }

    /// Hands leadership to a voter, or to whoever has most of the log, and returns who leads
    /// afterwards: another one still, if that voter did not come. Nothing can be proposed
    /// meanwhile: for less than an election timeout, or one more for each voter that does not come.
    ///
    /// # Errors
    /// [`OperatorError::Impossible`] when that voter, or any, has not answered this leader lately.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, OperatorError> {
        let mut status = self.watch_status();
        let (us, leader, role) = {
            let status = status.borrow_and_update();
            (status.node_id, status.leader, status.role)
        };
        if role != Role::Leader {
            let leader = leader.and_then(|id| self.member(id));
            return Err(OperatorError::NotLeader { leader });
        }
        if to.is_some_and(|to| to == us || !self.members().is_voter(to)) {
            return Err(OperatorError::Impossible("that is no other voter"));
        }
        if self.members().voters.len() == 1 {
            return Err(OperatorError::Impossible("there is nobody to hand over to"));
        }
        let to = self.successor(to).await?;
        if !self.running.engine.hand_over(to).await {
            return Err(self.reason().into());
        }
        let deadline = deadline(self.running.config.election_timeout_max * 4);
        let other = |status: &Status| status.leader.is_some_and(|leader| leader != us);
        self.changed(&mut status, deadline, other).await?;
        let leader = status.borrow().leader;
        leader.ok_or(OperatorError::Timeout)
    }

    /// Waits a moment for `wanted`, or anybody, to have answered this leader.
    async fn successor(&self, wanted: Option<NodeId>) -> Result<NodeId, OperatorError> {
        let deadline = deadline(self.running.config.election_timeout_max);
        loop {
            let mut fit = self.running.engine.successors().into_iter();
            if let Some(to) = fit.find(|id| wanted.is_none_or(|wanted| wanted == *id)) {
                return Ok(to);
            }
            let (role, leader) = {
                let status = self.running.status.borrow();
                (status.role, status.leader)
            };
            if role != Role::Leader {
                let leader = leader.and_then(|id| self.member(id));
                return Err(OperatorError::NotLeader { leader });
            }
            if Instant::now() >= deadline {
                return Err(OperatorError::Impossible("no such voter has answered lately"));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    pub(super) fn member(&self, id: NodeId) -> Option<Member> {
        self.running.forward.roster.member(id)
    }

    async fn changed(
        &self,
        status: &mut watch::Receiver<Status>,
        deadline: Instant,
        until: impl Fn(&Status) -> bool,
    ) -> Result<(), OperatorError> {
        let reached = status.wait_for(|status| status.role == Role::Stopped || until(status));
        match timeout_at(deadline, reached).await {
            Ok(Ok(status)) if status.role == Role::Stopped => Err(self.reason().into()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.reason().into()),
            Err(_) => Err(OperatorError::Timeout),
        }
    }
}
