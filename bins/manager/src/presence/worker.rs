//! The one task that deals with renewals: decides at the leader, passes on elsewhere.

use super::ear::Presence;
use super::forward;
use super::leases::{Leases, Silent};
use crate::clock;
use crate::metrics::Count;
use identity_store::{Command, IdentityReader, Reply, StoreError, Transition};
use raft_core::{Node, Role, Status};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use telegraph_proto::account::AccountId;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Changes in one command: 1,024 of them make 64 KiB, a sixteenth of the largest entry.
const MAX_CHANGES: usize = 1024;

/// Looks through everybody online in one lease: so late, at most, is somebody's end noticed.
const LOOKS_PER_LEASE: u32 = 10;

/// What the worker needs of its manager.
#[derive(Debug)]
pub(crate) struct Worker {
    presence: Presence,
    node: Node,
    reader: IdentityReader,
    interval: Duration,
    /// How long a change may take to be replicated.
    deadline: Duration,
    /// What it knows as leader of one term; nothing of it outlives that.
    leading: Option<Leading>,
    rested: Instant,
}

#[derive(Debug)]
struct Leading {
    term: u64,
    leases: Leases,
    /// Who was online when last looked at; saves reading a record for most renewals.
    online: HashSet<AccountId>,
    next_look: Instant,
}

/// Why a round did not come to its end; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Read(#[from] raft_core::ReadError),
    #[error(transparent)]
    Propose(#[from] raft_core::ProposeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the look through everybody online failed")]
    Look(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Forward(#[from] forward::ForwardError),
}

impl Worker {
    pub(crate) fn new(
        presence: Presence,
        node: Node,
        reader: IdentityReader,
        interval: Duration,
        deadline: Duration,
    ) -> Self {
        let rested = Instant::now();
        Self { presence, node, reader, interval, deadline, leading: None, rested }
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let round = async {
                ticks.tick().await;
                self.round().await
            };
            match stop.run_until_cancelled(round).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "a round of presence was broken off"),
            }
            let held = self.leading.as_ref().map_or(0, |leading| leading.leases.len());
            self.presence.shared.leases.store(held, Ordering::Relaxed);
            self.rested = Instant::now();
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        let lease = self.presence.lease();
        if self.rested.elapsed() > self.interval + lease / 2 {
            // The whole process stood still: nobody could renew, so nobody was silent.
            self.leading = None;
        }
        let status = self.node.status();
        match status.role {
            Role::Leader => self.lead(&status).await,
            Role::Stopped => Ok(()),
            _ => {
                self.leading = None;
                self.pass_on(status.leader).await
            }
        }
    }

    async fn lead(&mut self, status: &Status) -> Result<(), RoundError> {
        let now = Instant::now();
        if self.leading.as_ref().is_none_or(|leading| leading.term != status.term) {
            // What earlier terms decided must be applied before anything is concluded from it.
            self.node.read_barrier(self.deadline).await?;
            tracing::debug!(term = status.term, "everybody online has a full lease");
            self.leading = Some(Leading {
                term: status.term,
                leases: Leases::new(self.presence.lease()),
                online: HashSet::new(),
                next_look: now,
            });
        }
        let heard = self.presence.shared.inbox.take();
        let mut changes = self.renew(heard, now)?;
        changes.extend(self.look(now).await?);
        self.propose(changes).await
    }

    /// Renews leases; returns who comes online by it.
    fn renew(
        &mut self,
        heard: HashMap<AccountId, Instant>,
        now: Instant,
    ) -> Result<Vec<Transition>, StoreError> {
        let Some(leading) = &mut self.leading else { return Ok(Vec::new()) };
        let mut changes = Vec::new();
        for (account, at) in heard {
            if !leading.leases.renew(account, at, now) || leading.online.contains(&account) {
                continue;
            }
            let Some(record) = self.reader.account(&account)? else { continue };
            if record.is_online() {
                leading.online.insert(account);
                continue;
            }
            // A heartbeat that was overtaken by its own logout brings nobody back.
            let log_time = self.reader.log_time_unix_ms();
            if self.reader.sessions_of(&account)?.iter().any(|session| session.live(log_time)) {
                changes.push(Transition {
                    account_id: account,
                    online: true,
                    presence_version: record.presence_version,
                    last_seen_unix_ms: unix_ms_at(at, now),
                });
            }
        }
        Ok(changes)
    }

    /// Now and then, looks through everybody online; returns who goes offline.
    async fn look(&mut self, now: Instant) -> Result<Vec<Transition>, RoundError> {
        let lease = self.presence.lease();
        let Some(leading) = &mut self.leading else { return Ok(Vec::new()) };
        if now < leading.next_look {
            return Ok(Vec::new());
        }
        leading.next_look = now + lease / LOOKS_PER_LEASE;
        let reader = self.reader.clone();
        // Thousands of records are too much between two polls of other tasks.
        let online = tokio::task::spawn_blocking(move || all_online(&reader)).await??;
        leading.online = online.iter().map(|(account, _)| *account).collect();
        let silent = leading.leases.look(online, now);
        for silent in &silent {
            leading.online.remove(&silent.account);
        }
        Ok(silent.into_iter().map(|silent| offline(silent, now)).collect())
    }

    /// Proposes changes in the term they were decided in.
    async fn propose(&mut self, mut changes: Vec<Transition>) -> Result<(), RoundError> {
        let Some(term) = self.leading.as_ref().map(|leading| leading.term) else { return Ok(()) };
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(MAX_CHANGES));
            let batch = std::mem::replace(&mut changes, rest);
            let came = batch.iter().filter(|change| change.online).count();
            let went = batch.len() - came;
            let command = Command::ChangePresence { term, transitions: batch }.encode();
            let applied = self.node.propose_in_term(term, command, self.deadline).await?;
            let reply = Reply::decode(&applied.reply);
            tracing::debug!(came, went, ?reply, "presence changed");
            self.presence.shared.metrics.add(Count::CameOnline, came);
            self.presence.shared.metrics.add(Count::WentOffline, went);
        }
        Ok(())
    }

    /// Passes on what was heard; without a leader it is kept, as long as it is worth anything.
    async fn pass_on(&self, leader: Option<u64>) -> Result<(), RoundError> {
        let shared = &self.presence.shared;
        let heard = shared.inbox.take();
        let (now, all) = (Instant::now(), heard.len());
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < shared.lease;
        let renewals: Vec<_> = heard.into_iter().filter(|(_, at)| fresh(at)).collect();
        shared.metrics.add(Count::Dropped, all - renewals.len());
        let Some(leader) = leader else {
            shared.inbox.put(renewals);
            return Ok(());
        };
        let fresh = renewals.len();
        let outcome = forward::forward(&self.node, leader, renewals).await;
        let kept = outcome.as_ref().err().map_or(0, |(kept, _)| kept.len());
        shared.metrics.add(Count::Forwarded, fresh - kept);
        outcome.map_err(|(kept, error)| {
            shared.inbox.put(kept);
            RoundError::Forward(error)
        })
    }
}

fn offline(silent: Silent, now: Instant) -> Transition {
    Transition {
        account_id: silent.account,
        online: false,
        presence_version: silent.presence_version,
        // 0 moves nothing: the record keeps what an earlier leader knew.
        last_seen_unix_ms: silent.last_heard.map_or(0, |at| unix_ms_at(at, now)),
    }
}

fn unix_ms_at(at: Instant, now: Instant) -> u64 {
    let ago = now.saturating_duration_since(at).as_millis();
    clock::unix_ms().saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
}

fn all_online(reader: &IdentityReader) -> Result<Vec<(AccountId, u64)>, StoreError> {
    let mut all = Vec::new();
    reader.for_each_online(|account| {
        all.push((account.account_id, account.presence_version));
    })?;
    Ok(all)
}
