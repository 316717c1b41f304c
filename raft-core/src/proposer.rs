//! Proposing on this node: for its own application, and for members that pass commands on.

use std::sync::Arc;
use std::time::Duration;

use telegraph_proto::raft::Command;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use crate::applied::Applied;
use crate::engine::{Engine, Unled, Unproposed};
use crate::error::{ProposeError, StopReason};
use crate::member::{Member, NodeId};
use crate::roster::Roster;

/// Pause before a leader that cannot act at the moment is asked again: about a heartbeat, which is
/// what it usually waits for.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Proposes here, within limits.
#[derive(Debug)]
pub(crate) struct Proposer {
    engine: Engine,
    roster: Arc<Roster>,
    permits: Semaphore,
    entry_bytes: usize,
}

impl Proposer {
    /// Takes at most `pending` commands at a time, of at most `entry_bytes` each.
    pub(crate) fn new(
        engine: Engine,
        roster: Arc<Roster>,
        pending: usize,
        entry_bytes: usize,
    ) -> Proposer {
        let permits = Semaphore::new(pending.min(Semaphore::MAX_PERMITS));
        Proposer { engine, roster, permits, entry_bytes }
    }

    /// Refuses what is too large for an entry.
    pub(crate) fn check(&self, command: &Command) -> Result<(), ProposeError> {
        let (bytes, limit) = (command.payload.len(), self.entry_bytes);
        if bytes > limit { Err(ProposeError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// Proposes here, and waits until the command is applied. Fails with `NotLeader` when another
    /// node leads, or nobody, or we do not lead `term`.
    pub(crate) async fn propose(
        &self,
        command: &Command,
        term: Option<u64>,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        self.check(command)?;
        let _permit = self.permits.try_acquire().map_err(|_| ProposeError::Overloaded)?;
        loop {
            let proposed = timeout_at(deadline, self.engine.propose(command.clone(), term)).await;
            match proposed.map_err(|_| ProposeError::Timeout)? {
                Ok((position, reply)) => return Ok(Applied { position, reply }),
                Err(Unproposed::Unled(Unled::NotLeader(leader))) => {
                    return Err(ProposeError::NotLeader { leader: self.member(leader) });
                }
                Err(Unproposed::Unled(Unled::NotNow)) => {}
                Err(Unproposed::Unknown) => return Err(ProposeError::Timeout),
                Err(Unproposed::Stopped(proposed)) => {
                    return Err(ProposeError::Stopped { reason: StopReason::Halted, proposed });
                }
            }
            if timeout_at(deadline, sleep(RETRY_PAUSE)).await.is_err() {
                return Err(ProposeError::NoLeader);
            }
        }
    }

    /// The member of that number.
    pub(crate) fn member(&self, id: Option<NodeId>) -> Option<Member> {
        self.roster.members().get(&id?).cloned()
    }
}
