//! Proposing on this node: for its own application, and for members that pass commands on.

use std::sync::Arc;
use std::time::Duration;

use telegraph_proto::raft::Command;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::applied::Applied;
use crate::engine::Engine;
use crate::engine::outcome::Denial;
use crate::engine::refusal::{Unled, Unproposed};
use crate::error::{ProposeError, StopReason};
use crate::low_disk::LowDisk;
use crate::member::{Member, NodeId};
use crate::roster::Roster;

/// Pause before a leader that cannot act at the moment is asked again: about a heartbeat, which is
/// what it usually waits for.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Bytes of the name a session's client chooses.
const CLIENT_ID_BYTES: usize = 16;

/// A command and until when its outcome is of interest.
pub(crate) type Dated = (Command, Instant);

/// What becomes of a command.
type Outcome = Result<Applied, ProposeError>;

/// Proposes here, within limits.
#[derive(Debug)]
pub(crate) struct Proposer {
    engine: Engine,
    roster: Arc<Roster>,
    permits: Semaphore,
    entry_bytes: usize,
    pending: usize,
    low_disk: Arc<LowDisk>,
}

impl Proposer {
    /// Takes at most `pending` commands at a time, of at most `entry_bytes` each.
    pub(crate) fn new(
        engine: Engine,
        roster: Arc<Roster>,
        pending: usize,
        entry_bytes: usize,
        low_disk: Arc<LowDisk>,
    ) -> Proposer {
        let pending = pending.min(Semaphore::MAX_PERMITS);
        Proposer {
            engine,
            roster,
            permits: Semaphore::new(pending),
            entry_bytes,
            pending,
            low_disk,
        }
    }

    /// Commands under way, and how many may be.
    pub(crate) fn under_way(&self) -> (u64, u64) {
        let free = self.permits.available_permits();
        (self.pending.saturating_sub(free) as u64, self.pending as u64)
    }

    /// Refuses what no leader takes: what is too large for an entry, or in no possible session.
    pub(crate) fn check(&self, command: &Command) -> Result<(), ProposeError> {
        let (bytes, limit) = (command.payload.len(), self.entry_bytes);
        if bytes > limit {
            return Err(ProposeError::TooLarge { bytes, limit });
        }
        match &command.session {
            Some(session) if session.client_id.len() != CLIENT_ID_BYTES => {
                Err(ProposeError::SessionExpired { proposed: false })
            }
            _ => Ok(()),
        }
    }

    /// Proposes here, and waits until the command is applied. Fails with `NotLeader` when another
    /// node leads, or nobody, or we do not lead `term`.
    pub(crate) async fn propose(
        &self,
        command: &Command,
        term: Option<u64>,
        deadline: Instant,
    ) -> Outcome {
        self.check(command)?;
        let _permit = self.permits.try_acquire().map_err(|_| ProposeError::Overloaded)?;
        loop {
            self.admit(command)?;
            let proposed = timeout_at(deadline, self.engine.propose(command.clone(), term)).await;
            let proposed = proposed.map_err(|_| ProposeError::Timeout)?;
            if let Some(outcome) = self.settle(proposed) {
                return outcome;
            }
            if timeout_at(deadline, sleep(RETRY_PAUSE)).await.is_err() {
                return Err(ProposeError::NoLeader);
            }
        }
    }

    /// Proposes commands here, so that they share one append, and waits until all are applied;
    /// gives the outcome of each, in order. Each fails as if it had been proposed alone.
    pub(crate) async fn propose_all(&self, commands: &[Dated]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> =
            commands.iter().map(|(command, _)| self.check(command).err().map(Err)).collect();
        let wanted = outcomes.iter().filter(|outcome| outcome.is_none()).count();
        let (_permits, granted) = self.permits_for(wanted);
        let unpermitted = outcomes.iter_mut().filter(|outcome| outcome.is_none()).skip(granted);
        unpermitted.for_each(|outcome| *outcome = Some(Err(ProposeError::Overloaded)));
        loop {
            self.attempt(commands, &mut outcomes).await;
            let waiting = outcomes.iter().zip(commands).filter(|(outcome, _)| outcome.is_none());
            let Some(soonest) = waiting.map(|(_, (_, deadline))| *deadline).min() else { break };
            tokio::time::sleep_until(soonest.min(Instant::now() + RETRY_PAUSE)).await;
            let now = Instant::now();
            for (outcome, (_, deadline)) in outcomes.iter_mut().zip(commands) {
                if outcome.is_none() && *deadline <= now {
                    *outcome = Some(Err(ProposeError::NoLeader));
                }
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// The member of that number.
    pub(crate) fn member(&self, id: Option<NodeId>) -> Option<Member> {
        self.roster.member(id?)
    }

    /// As many permits as there are, if there are not as many as wanted.
    fn permits_for(&self, wanted: usize) -> (Option<SemaphorePermit<'_>>, usize) {
        let mut wanted = wanted;
        while wanted > 0 {
            let many = u32::try_from(wanted).unwrap_or(u32::MAX);
            match self.permits.try_acquire_many(many) {
                Ok(permits) => return (Some(permits), wanted),
                Err(_) => wanted = wanted.saturating_sub(1).min(self.permits.available_permits()),
            }
        }
        (None, 0)
    }

    /// Refuses what cannot be taken now: for want of room, or because some voter cannot read it.
    fn admit(&self, command: &Command) -> Result<(), ProposeError> {
        if self.low_disk.refuses() {
            return Err(ProposeError::LowDisk);
        }
        let version = command.version;
        self.engine.claim(version).map_err(|by| ProposeError::HeldBack { version, by })
    }

    /// Proposes, once, what has no outcome yet and can still be taken: the members may have changed
    /// since the last attempt.
    async fn attempt(&self, commands: &[Dated], outcomes: &mut [Option<Outcome>]) {
        for ((command, _), outcome) in commands.iter().zip(outcomes.iter_mut()) {
            if outcome.is_none() {
                *outcome = self.admit(command).err().map(Err);
            }
        }
        let waiting: Vec<usize> =
            (0..commands.len()).filter(|at| matches!(outcomes.get(*at), Some(None))).collect();
        let proposed = waiting.iter().filter_map(|at| Some(commands.get(*at)?.0.clone())).collect();
        let given = self.engine.give(proposed).await;
        for (at, given) in waiting.into_iter().zip(given) {
            let (Some((_, deadline)), Some(outcome)) = (commands.get(at), outcomes.get_mut(at))
            else {
                continue;
            };
            *outcome = match timeout_at(*deadline, self.engine.outcome(given)).await {
                Ok(answer) => self.settle(answer),
                Err(_) => Some(Err(ProposeError::Timeout)),
            };
        }
    }

    /// What the engine's answer means; `None` when it is to be asked again in a moment.
    fn settle(&self, proposed: Result<Applied, Unproposed>) -> Option<Outcome> {
        Some(match proposed {
            Ok(applied) => Ok(applied),
            Err(Unproposed::Unled(Unled::NotNow)) => return None,
            Err(Unproposed::Unled(Unled::NotLeader(leader))) => {
                Err(ProposeError::NotLeader { leader: self.member(leader) })
            }
            Err(Unproposed::Unknown) => Err(ProposeError::Timeout),
            Err(Unproposed::Stopped(proposed)) => {
                Err(ProposeError::Stopped { reason: StopReason::Halted, proposed })
            }
            Err(Unproposed::Refused(denial)) => Err(match denial {
                Denial::Expired => ProposeError::SessionExpired { proposed: false },
                Denial::Forgotten => ProposeError::ReplyForgotten,
                Denial::Crowded => ProposeError::Overloaded,
            }),
        })
    }
}
