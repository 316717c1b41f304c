//! One courier: visits one person as often as it takes.

use crate::delivery::{
    backoff::Backoff,
    bell::{Bell, Call, Calls},
    roster::Roster,
    trouble::{Done, Trouble},
    visitor::Visitor,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Between two attempts that were called for, at least: who calls often does not make us dial
/// often.
const SPACING: Duration = Duration::from_millis(20);

/// Sees to it that one peer gets what waits for them: visits when called, and when a visit fails,
/// again by a timer.
pub(crate) struct Courier {
    roster: Arc<Roster>,
    bell: Arc<Bell>,
    visitor: Visitor,
    backoff: Backoff,
}

impl Courier {
    pub(crate) fn new(roster: Arc<Roster>, peer: u64, bell: Arc<Bell>) -> Self {
        let config = &roster.office.config;
        let backoff = Backoff::new(config.first_retry, config.max_retry);
        Self { roster, bell, visitor: Visitor::new(peer), backoff }
    }

    /// Runs until nothing is left to do for a while, or until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        loop {
            let calls = self.bell.take();
            self.visitor.look_up |= calls.has(Call::Moved);
            self.visitor.knock |= calls.has(Call::Knock);
            if calls.are_urgent() {
                self.backoff.reset();
            }
            let began = Instant::now();
            match Box::pin(self.visit(calls)).await {
                Ok(done) => {
                    self.backoff.reset();
                    self.visitor.look_up = false;
                    if !self.idle(&done).await {
                        return;
                    }
                }
                Err(trouble) => {
                    if let Trouble::Lookup(_) = &trouble
                        && self.visitor.is_nameless
                    {
                        self.bell.ring(Call::Name);
                    }
                    tracing::debug!(peer = self.visitor.peer, %trouble, "will try again");
                    if !matches!(trouble, Trouble::Busy | Trouble::Store(_)) {
                        // Wherever we looked, they are not there any more.
                        self.visitor.link = None;
                        self.visitor.look_up = true;
                    }
                    if std::mem::take(&mut self.visitor.only_knock) {
                        self.visitor.knock = false;
                        if !self.idle(&Done::Held).await {
                            return;
                        }
                    } else {
                        self.pause(began).await;
                    }
                }
            }
        }
    }

    /// Keeps the connection for a while. Returns false when this courier is dismissed.
    async fn idle(&mut self, done: &Done) -> bool {
        let keep = self.roster.office.config.keep_connection;
        let until = Instant::now() + keep;
        while self.bell.is_silent() {
            if self.visitor.link.is_none() || *done == Done::Held || Instant::now() >= until {
                if self.roster.dismiss(self.visitor.peer, &self.bell) {
                    return false;
                }
                continue;
            }
            tokio::select! {
                () = self.bell.rung() => {}
                () = sleep_until(until) => {}
            }
        }
        true
    }

    /// Waits for the timer, or for a reason to try before. New work alone brings the next attempt
    /// no nearer than the first pause.
    async fn pause(&mut self, began: Instant) {
        let now = Instant::now();
        let mut until = now + self.backoff.pause();
        let first = now + self.roster.office.config.first_retry;
        loop {
            let calls = self.bell.peek();
            if calls.are_urgent() {
                until = until.min(began + SPACING);
            } else if calls.has(Call::Work) {
                until = until.min(first);
            }
            if Instant::now() >= until {
                return;
            }
            tokio::select! {
                () = self.bell.rung() => {}
                () = sleep_until(until) => return,
            }
        }
    }

    async fn visit(&mut self, calls: Calls) -> Result<Done, Trouble> {
        // It fails only when it is closed, which it never is.
        let _turn = self.roster.turns.acquire().await.ok();
        self.visitor.visit(&self.roster.office, calls).await
    }
}
