//! A session: commands that are applied once, however often they have to be sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telegraph_proto::raft;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::applied::Applied;
use crate::caller::Caller;
use crate::command::Command;
use crate::error::ClientError;
use crate::search;

/// Numbers between the oldest command under way and the newest: below the window of replies that
/// members keep, so that a reply that is still wanted was never forgotten.
const WINDOW: u64 = 256;

/// Pause before a command whose outcome is unknown is sent again: short beside an election, which
/// is what it usually waits for.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Exactly-once proposals (Raft dissertation, section 6.3); cheap to clone.
///
/// The cluster remembers what the commands of a session were answered. A command whose reply was
/// lost is sent again under its number, and gets the first reply instead of being applied twice:
/// also after a leader change, and after a restart of every member. The cluster forgets a session
/// that was not used for a day of log time.
///
/// - Numbers are given in the order in which proposals are made, from 1, without gaps.
/// - Every command is told the lowest number that is still under way.
#[derive(Clone, Debug)]
pub struct Session {
    caller: Caller,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    client_id: [u8; 16],
    numbers: Mutex<Numbers>,
    moved: Notify,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    under_way: BTreeSet<u64>,
}

impl Numbers {
    fn lowest(&self) -> u64 {
        self.under_way.first().copied().unwrap_or(self.next)
    }
}

/// A number under way; given back however its proposal ends.
struct Ticket<'a> {
    state: &'a State,
    sequence: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.state.numbers().under_way.remove(&self.sequence);
        self.state.moved.notify_waiters();
    }
}

impl State {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        // Nothing panics between two changes that belong together.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_take(&self) -> Option<Ticket<'_>> {
        let mut numbers = self.numbers();
        let sequence = numbers.next;
        if sequence - numbers.lowest() >= WINDOW {
            return None;
        }
        numbers.next += 1;
        numbers.under_way.insert(sequence);
        Some(Ticket { state: self, sequence })
    }

    async fn take(&self, deadline: Instant) -> Option<Ticket<'_>> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Listening first, so that no ticket given back from here on is missed.
            moved.as_mut().enable();
            if let Some(ticket) = self.try_take() {
                return Some(ticket);
            }
            timeout_at(deadline, moved).await.ok()?;
        }
    }
}

impl Session {
    /// Opens a session under an id of 16 random bytes, or one the caller derived from what names
    /// the work. Harmless when it is open.
    pub(crate) async fn open(
        caller: &Caller,
        client_id: [u8; 16],
        limit: Duration,
    ) -> Result<Session, ClientError> {
        let session = Session::resume(caller, client_id, 1);
        session.send(Command::from(bytes::Bytes::new()), 0, limit).await?;
        Ok(session)
    }

    /// Goes on with an open session from the number `next`, at least 1.
    pub(crate) fn resume(caller: &Caller, client_id: [u8; 16], next: u64) -> Session {
        let numbers = Mutex::new(Numbers { next: next.max(1), under_way: BTreeSet::new() });
        let state = State { client_id, numbers, moved: Notify::new() };
        Session { caller: caller.clone(), state: Arc::new(state) }
    }

    /// The session's id.
    #[must_use]
    pub fn client_id(&self) -> [u8; 16] {
        self.state.client_id
    }

    /// The number the next command will have. Who stores it, with the id, can go on after a
    /// restart by [`Client::resume_session`](crate::Client::resume_session).
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.state.numbers().next
    }

    /// Proposes a command, and sends it again under the same number, to whoever leads, until its
    /// reply is here or `limit` is over. At most 256 numbers are between the oldest command under
    /// way and the newest; further ones wait.
    ///
    /// # Errors
    ///
    /// As [`Client::propose`](crate::Client::propose); [`ClientError::SessionExpired`] when the
    /// cluster does not know the session any more; [`ClientError::OutcomeUnknown`] when the time is
    /// over, or the command is refused, and an earlier attempt may have succeeded.
    pub async fn propose(
        &self,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Applied, ClientError> {
        let deadline = search::deadline(limit);
        let ticket = self.state.take(deadline).await.ok_or_else(|| ClientError::Overloaded {
            detail: "earlier commands of the session are still under way".to_owned(),
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.send(command.into(), ticket.sequence, left).await
    }

    async fn send(
        &self,
        command: Command,
        sequence: u64,
        limit: Duration,
    ) -> Result<Applied, ClientError> {
        let deadline = search::deadline(limit);
        // How an attempt fared that may have happened; only a later reply settles it.
        let mut unknown = None;
        loop {
            let stamp = raft::Session {
                client_id: self.state.client_id.to_vec().into(),
                sequence,
                lowest_unacknowledged: self.state.numbers().lowest(),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let outcome = self.caller.send(command.clone(), Some(stamp), left).await;
            match outcome {
                Err(error @ ClientError::OutcomeUnknown { .. }) => unknown = Some(error),
                // Not proposed this time, but perhaps an earlier time.
                Err(
                    ClientError::NoLeader
                    | ClientError::Unreachable { .. }
                    | ClientError::Overloaded { .. },
                ) if unknown.is_some() => {}
                // It says that nothing was proposed, and knows nothing of the earlier time.
                Err(error) if !error.may_have_happened() => return Err(unknown.unwrap_or(error)),
                outcome => return outcome,
            }
            if timeout_at(deadline, sleep(RETRY_PAUSE)).await.is_err() {
                return Err(unknown.unwrap_or(ClientError::NoLeader));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let numbers = Mutex::new(Numbers { next: 1, under_way: BTreeSet::new() });
        State { client_id: [0; 16], numbers, moved: Notify::new() }
    }

    #[tokio::test]
    async fn one_slow_command_holds_up_the_others_only_at_the_end_of_the_window() {
        let state = state();
        let soon = Instant::now() + Duration::from_millis(50);
        let slow = state.take(soon).await.unwrap();
        for sequence in 2..=WINDOW {
            assert_eq!(state.take(soon).await.unwrap().sequence, sequence);
        }
        assert_eq!(state.numbers().lowest(), 1);
        assert!(state.take(soon).await.is_none());
        drop(slow);
        assert_eq!(state.take(soon).await.unwrap().sequence, WINDOW + 1);
        assert_eq!(state.numbers().lowest(), WINDOW + 2);
    }

    #[tokio::test]
    async fn whoever_waits_for_the_window_is_woken_by_the_slow_one() {
        let state = state();
        let long = Instant::now() + Duration::from_secs(60);
        let slow = state.take(long).await.unwrap();
        while state.try_take().is_some() {}
        let (waited, ()) = tokio::join!(state.take(long), async { drop(slow) });
        assert_eq!(waited.unwrap().sequence, WINDOW + 1);
    }
}
