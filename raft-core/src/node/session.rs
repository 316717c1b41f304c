//! Sessions: proposals that are applied exactly once, however often they have to be sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use telegraph_proto::raft as proto;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answer::wire_command;
use crate::applied::Applied;
use crate::command::Command;
use crate::error::ProposeError;
use crate::node::{Node, deadline};
use crate::proposer::RETRY_PAUSE;

/// Commands of one session under way: the window of the replicated table
/// (`engine/sessions.rs`), which would refuse further ones.
const WINDOW: u64 = 1024;

/// Time for the first attempt, after which another one is made: longer than an election, so that a
/// leader that is merely busy is not asked twice. Each further attempt has twice as long.
const FIRST_ATTEMPT: Duration = Duration::from_secs(2);

/// A client's session (Raft dissertation §6.3): each command proposed in it is applied once,
/// however often it had to be sent, and its first reply is returned. Cheap to clone; clones share
/// the session.
///
/// The replicated state remembers a session for 24 hours of log time after its last command, and
/// for five minutes at least when more than 131,072 sessions are open; then its commands are
/// refused as [`ProposeError::SessionExpired`]. It needs no closing.
#[derive(Clone, Debug)]
pub struct Session {
    node: Node,
    id: [u8; 16],
    /// Another handle may have proposed in it before.
    is_resumed: bool,
    numbers: Arc<Numbers>,
}

/// Which numbers of a session are taken.
#[derive(Debug)]
struct Numbers {
    taken: Mutex<Taken>,
    /// Told when a number is given back.
    returned: Notify,
}

#[derive(Debug)]
struct Taken {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// A number of a session while its command is under way; given back when dropped.
struct Number<'a> {
    numbers: &'a Numbers,
    sequence: u64,
    /// The lowest number of which the reply was not received.
    lowest: u64,
}

impl Node {
    /// Opens a new session. Fails as [`Node::propose`] does; then none was opened, or one that
    /// nobody will use.
    pub async fn open_session(&self, limit: Duration) -> Result<Session, ProposeError> {
        let mut id = [0; 16];
        // Without randomness of the system there is no TLS either, and no node.
        if self.running.random.fill(&mut id).is_err() {
            return Err(ProposeError::Overloaded);
        }
        self.open_session_as(id, limit).await
    }

    /// Opens a session under a name of one's own, which is harmless when it is open. The name must
    /// be unique to the client: 16 random bytes, or a hash of what names it.
    pub async fn open_session_as(
        &self,
        id: [u8; 16],
        limit: Duration,
    ) -> Result<Session, ProposeError> {
        let opening = stamped(Command::new(Bytes::new()), id, 0, 1);
        self.insist(&[opening], deadline(limit)).await?;
        Ok(self.session(id, 1, false))
    }

    /// Goes on with a session that was opened before: for a client that was restarted, or that
    /// turns to another member. `next_sequence` is the number of the first command whose reply it
    /// has not kept, from 1; what it proposes is numbered from there on, so that the same commands
    /// in the same order are recognised. Only one handle (with its clones) may be in use at a time.
    ///
    /// Asks nobody: if the session is not open any more, its first command is refused as
    /// [`ProposeError::SessionExpired`], and may have been applied before.
    #[must_use]
    pub fn resume_session(&self, id: [u8; 16], next_sequence: u64) -> Session {
        self.session(id, next_sequence.max(1), true)
    }

    fn session(&self, id: [u8; 16], next: u64, is_resumed: bool) -> Session {
        let taken = Mutex::new(Taken { next, under_way: BTreeSet::new() });
        let numbers = Arc::new(Numbers { taken, returned: Notify::new() });
        Session { node: self.clone(), id, is_resumed, numbers }
    }

    /// Proposes the only command of a session named `key`, which is opened if need be: proposed
    /// again under the same key, by whomever and through whichever member, it is applied once and
    /// gets its first reply, as long as sessions are remembered (see [`Session`]). For edges at
    /// which clients bring an idempotency key; `key` is a hash of it and of who the client is.
    ///
    /// Of another command under the same key only the first one's reply is returned: whoever must
    /// tell them apart puts the command into the hash.
    pub async fn propose_once(
        &self,
        key: [u8; 16],
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Applied, ProposeError> {
        let began = Instant::now();
        let opening = stamped(Command::new(Bytes::new()), key, 0, 1);
        let command = stamped(command.into(), key, 1, 1);
        let outcome = self.insist(&[opening, command], deadline(limit)).await;
        self.counted(began, outcome)
    }

    /// Proposes commands of sessions, in their order and together, until all of them have an
    /// outcome that is certain or the deadline has come; gives that of the last one.
    async fn insist(
        &self,
        commands: &[proto::Command],
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        let mut attempt = FIRST_ATTEMPT;
        let mut unsure = false;
        loop {
            let until = deadline.min(Instant::now() + attempt);
            attempt = attempt.saturating_mul(2);
            let outcome = match commands {
                [command] => self.running.forward.propose(command.clone(), until).await,
                _ => last(self.running.forward.propose_all(commands.to_vec(), until).await),
            };
            let error = match outcome {
                Ok(applied) => return Ok(applied),
                Err(error) => error,
            };
            let retry = match &error {
                ProposeError::Timeout => {
                    unsure = true;
                    true
                }
                ProposeError::NoLeader
                | ProposeError::NotLeader { .. }
                | ProposeError::Overloaded => true,
                // The opening that came along was applied after all, or is not yet.
                ProposeError::SessionExpired { .. } => commands.len() > 1 && !unsure,
                _ => false,
            };
            if !retry || Instant::now() + RETRY_PAUSE >= deadline {
                return Err(honest(error, unsure));
            }
            sleep_until(Instant::now() + RETRY_PAUSE).await;
        }
    }
}

impl Session {
    /// Its name, with which it can be resumed.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The number that the next command will have, with which the session can be resumed once all
    /// proposals have returned.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.numbers.taken().next
    }

    /// Proposes a command and tries again, whatever happens to an attempt, until it has its reply
    /// or `limit` has passed. Up to 1,024 commands may be under way at the same time, and are
    /// applied in any order; further ones wait.
    ///
    /// When it fails, or is dropped, the command is given up: if it was not applied before a later
    /// command of this session was, it never will be. [`ProposeError::may_have_happened`] tells
    /// whether it was, or may yet be.
    pub async fn propose(
        &self,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Applied, ProposeError> {
        let (began, deadline) = (Instant::now(), deadline(limit));
        let Some(number) = self.numbers.take(deadline).await else {
            return self.node.counted(began, Err(ProposeError::Overloaded));
        };
        let command = stamped(command.into(), self.id, number.sequence, number.lowest);
        let outcome = self.node.insist(&[command], deadline).await;
        self.node.counted(
            began,
            outcome.map_err(|error| match error {
                ProposeError::SessionExpired { proposed } => {
                    ProposeError::SessionExpired { proposed: proposed || self.is_resumed }
                }
                other => other,
            }),
        )
    }
}

impl Numbers {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics between two changes that belong together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number, as soon as the window allows it; `None` at the deadline.
    async fn take(&self, deadline: Instant) -> Option<Number<'_>> {
        loop {
            let returned = self.returned.notified();
            if let Some(number) = self.try_take() {
                return Some(number);
            }
            timeout_at(deadline, returned).await.ok()?;
        }
    }

    fn try_take(&self) -> Option<Number<'_>> {
        let mut taken = self.taken();
        let sequence = taken.next;
        let lowest = taken.under_way.first().copied().unwrap_or(sequence);
        if sequence.saturating_sub(lowest) >= WINDOW {
            return None;
        }
        taken.next = sequence.saturating_add(1);
        taken.under_way.insert(sequence);
        Some(Number { numbers: self, sequence, lowest })
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.numbers.taken().under_way.remove(&self.sequence);
        self.numbers.returned.notify_waiters();
    }
}

fn stamped(
    command: Command,
    id: [u8; 16],
    sequence: u64,
    lowest_unacknowledged: u64,
) -> proto::Command {
    let client_id = Bytes::copy_from_slice(&id);
    let session = proto::Session { client_id, sequence, lowest_unacknowledged };
    wire_command(command.version, command.payload, Some(session))
}

/// The outcome of the last of commands that only matter together; where the session was not open
/// for it, that of the opening says why.
fn last(mut outcomes: Vec<Result<Applied, ProposeError>>) -> Result<Applied, ProposeError> {
    let last = outcomes.pop().unwrap_or(Err(ProposeError::NoLeader));
    match (&last, outcomes.pop()) {
        (Err(ProposeError::SessionExpired { .. }), Some(Err(why))) => Err(why),
        _ => last,
    }
}

/// What the last attempt's error means when an earlier attempt may have succeeded.
fn honest(error: ProposeError, unsure: bool) -> ProposeError {
    match error {
        ProposeError::SessionExpired { .. } => ProposeError::SessionExpired { proposed: unsure },
        ProposeError::Stopped { reason, proposed } => {
            ProposeError::Stopped { reason, proposed: proposed || unsure }
        }
        error if unsure && !error.may_have_happened() => ProposeError::Timeout,
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StopReason;

    fn numbers() -> Numbers {
        let taken = Mutex::new(Taken { next: 1, under_way: BTreeSet::new() });
        Numbers { taken, returned: Notify::new() }
    }

    #[test]
    fn numbers_rise_and_the_lowest_one_under_way_is_named() {
        let numbers = numbers();
        let first = numbers.try_take().unwrap();
        let second = numbers.try_take().unwrap();
        assert_eq!((first.sequence, first.lowest), (1, 1));
        assert_eq!((second.sequence, second.lowest), (2, 1));
        drop(first);
        let third = numbers.try_take().unwrap();
        assert_eq!((third.sequence, third.lowest), (3, 2));
        drop((second, third));
        assert_eq!(numbers.try_take().unwrap().lowest, 4);
    }

    #[tokio::test]
    async fn a_window_that_is_full_opens_when_its_lowest_number_is_given_back() {
        let numbers = numbers();
        let mut held: Vec<_> = (0..WINDOW).map(|_| numbers.try_take().unwrap()).collect();
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(numbers.take(soon).await.is_none());
        drop(held.pop());
        assert!(numbers.try_take().is_none(), "the lowest one is still under way");
        let far = Instant::now() + Duration::from_secs(60);
        let (taken, ()) = tokio::join!(numbers.take(far), async { drop(held.remove(0)) });
        assert_eq!(taken.unwrap().sequence, WINDOW + 1);
    }

    #[test]
    fn what_an_earlier_attempt_may_have_done_is_never_denied() {
        let certain = || {
            let stopped = StopReason::Halted;
            [
                ProposeError::NoLeader,
                ProposeError::Overloaded,
                ProposeError::NotLeader { leader: None },
                ProposeError::TooLarge { bytes: 2, limit: 1 },
                ProposeError::HeldBack { version: 2, by: vec![1] },
                ProposeError::SessionExpired { proposed: false },
                ProposeError::Stopped { reason: stopped, proposed: false },
            ]
        };
        assert!(certain().into_iter().all(|error| !honest(error, false).may_have_happened()));
        assert!(certain().into_iter().all(|error| honest(error, true).may_have_happened()));
        for unsure in [ProposeError::Timeout, ProposeError::ReplyForgotten] {
            assert!(honest(unsure, false).may_have_happened());
        }
    }
}
