//! Commands that only the leader can serve, from wherever they arise.
//!
//! A command is passed on (`courier.rs`) at most once unless it certainly was not proposed: a
//! refusal, or a connection that never came about. Whatever else happens on the way leaves its
//! outcome unknown, and the caller is told so.

use std::sync::Arc;

use futures_util::future::join_all;
use telegraph_proto::raft as proto;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::answer::Answer;
use crate::applied::Applied;
use crate::channels::Channels;
use crate::courier::Couriers;
use crate::engine::Engine;
use crate::error::{ProposeError, StopReason};
use crate::member::NodeId;
use crate::meters::{Meters, Rpc};
use crate::metrics::Counters;
use crate::proposer::{Proposer, RETRY_PAUSE};
use crate::roster::Roster;
use crate::status::{Role, Status};

/// Finds the leader and has it do what only it can do.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Who we are.
    pub(crate) roster: Arc<Roster>,
    /// How the others are reached.
    pub(crate) channels: Channels,
    /// How commands get to them.
    pub(crate) couriers: Couriers,
    /// What we can do ourselves.
    pub(crate) proposer: Arc<Proposer>,
    /// Consensus here.
    pub(crate) engine: Engine,
    /// Who leads, as it changes.
    pub(crate) status: watch::Receiver<Status>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// What is measured.
    pub(crate) meters: Arc<Meters>,
}

impl Forward {
    /// Proposes a command at the leader, whoever that is, as soon as there is one.
    pub(crate) async fn propose(
        &self,
        command: proto::Command,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        self.proposer.check(&command)?;
        let mut status = self.status.clone();
        loop {
            if status.borrow_and_update().role == Role::Stopped {
                return Err(stopped());
            }
            match self.engine.leader() {
                Some(leader) if leader != self.us() => {
                    let carried = self.carry(leader, command.clone(), deadline);
                    if let Answer::Settled(outcome) = carried.await {
                        return outcome;
                    }
                }
                Some(_) => match self.proposer.propose(&command, None, deadline).await {
                    Err(ProposeError::NotLeader { .. }) => {}
                    done => return done,
                },
                None => {}
            }
            if !pause(&mut status, deadline).await {
                return Err(ProposeError::NoLeader);
            }
        }
    }

    /// Proposes commands at the leader, whoever that is, as soon as there is one: together, so that
    /// they share one append. Gives the outcome of each, in order; those for which there is no room
    /// wait for it.
    pub(crate) async fn propose_all(
        &self,
        commands: Vec<proto::Command>,
        deadline: Instant,
    ) -> Vec<Result<Applied, ProposeError>> {
        let mut outcomes: Vec<_> =
            commands.iter().map(|command| self.proposer.check(command).err().map(Err)).collect();
        let mut overloaded = vec![false; outcomes.len()];
        let mut status = self.status.clone();
        loop {
            if status.borrow_and_update().role == Role::Stopped {
                fill(&mut outcomes, stopped);
            }
            self.attempt_all(&commands, &mut outcomes, deadline).await;
            for (outcome, overloaded) in outcomes.iter_mut().zip(&mut overloaded) {
                // There is room again when others are done.
                *overloaded = matches!(outcome, Some(Err(ProposeError::Overloaded)));
                outcome.take_if(|_| *overloaded);
            }
            if outcomes.iter().all(Option::is_some) || !pause(&mut status, deadline).await {
                break;
            }
        }
        let late = |overloaded| match overloaded {
            true => ProposeError::Overloaded,
            false => ProposeError::NoLeader,
        };
        let outcomes = outcomes.into_iter().zip(overloaded);
        outcomes
            .map(|(outcome, overloaded)| outcome.unwrap_or_else(|| Err(late(overloaded))))
            .collect()
    }

    /// Proposes a command here and nowhere else, if we lead that term.
    pub(crate) async fn propose_in_term(
        &self,
        term: u64,
        command: &proto::Command,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        self.proposer.propose(command, Some(term), deadline).await
    }

    /// Proposes, once, what has no outcome yet.
    async fn attempt_all(
        &self,
        commands: &[proto::Command],
        outcomes: &mut [Option<Result<Applied, ProposeError>>],
        deadline: Instant,
    ) {
        let Some(leader) = self.engine.leader() else { return };
        let waiting = || {
            let all = outcomes.iter().zip(commands);
            all.filter(|(outcome, _)| outcome.is_none()).map(|(_, command)| command.clone())
        };
        let answers: Vec<Answer> = if leader == self.us() {
            let dated: Vec<_> = waiting().map(|command| (command, deadline)).collect();
            let proposed = self.proposer.propose_all(&dated).await;
            proposed.into_iter().map(Answer::Settled).collect()
        } else {
            join_all(waiting().map(|command| self.carry(leader, command, deadline))).await
        };
        let unsettled = outcomes.iter_mut().filter(|outcome| outcome.is_none());
        for (outcome, answer) in unsettled.zip(answers) {
            *outcome = match answer {
                Answer::NotProposed | Answer::Settled(Err(ProposeError::NotLeader { .. })) => None,
                Answer::Settled(settled) => Some(settled),
            };
        }
    }

    async fn carry(&self, leader: NodeId, command: proto::Command, deadline: Instant) -> Answer {
        self.counters.forward();
        let answer = self.couriers.carry(leader, command, deadline).await;
        let unknown = matches!(answer, Answer::Settled(Err(ProposeError::Timeout)));
        if unknown && Instant::now() >= deadline {
            self.meters.deadline(Rpc::Propose);
        }
        answer
    }

    fn us(&self) -> NodeId {
        self.roster.identity().node_id
    }
}

/// Waits for a change, or a little; false when the deadline has come.
pub(crate) async fn pause(status: &mut watch::Receiver<Status>, deadline: Instant) -> bool {
    let changed = async {
        if status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = changed => Instant::now() < deadline,
        () = sleep(RETRY_PAUSE) => Instant::now() < deadline,
        () = tokio::time::sleep_until(deadline) => false,
    }
}

fn stopped() -> ProposeError {
    ProposeError::Stopped { reason: StopReason::Halted, proposed: false }
}

/// Gives everything that has no outcome this one.
fn fill(outcomes: &mut [Option<Result<Applied, ProposeError>>], why: impl Fn() -> ProposeError) {
    outcomes.iter_mut().filter(|outcome| outcome.is_none()).for_each(|outcome| {
        *outcome = Some(Err(why()));
    });
}
