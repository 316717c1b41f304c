//! What a batch of committed entries comes to: decided before the state machine sees it, told to
//! the proposers after.

use bytes::Bytes;
use telegraph_proto::raft as proto;
use thiserror::Error;

use crate::engine::facts::Held;
use crate::engine::outcome::{Denial, Outcome};
use crate::engine::sessions::record::client_id;
use crate::engine::sessions::{Pending, Stamp, Verdict};
use crate::engine::types::{LogEntry, Payload, position};
use crate::engine::wire::Misshapen;
use crate::position::Position;
use crate::state_machine::Entry;

/// A committed command that this node cannot read. It was proposed when every voter could: this
/// node runs an older program than any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the command at {position} has version {version}, and this node reads versions up to \
     {readable}: start it with a newer program"
)]
pub(crate) struct Unreadable {
    position: Position,
    version: u32,
    readable: u32,
}

/// Why nothing is decided about an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Undecided {
    /// It takes a newer program.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Its bytes are no command, although they were read when they came.
    #[error("the command at {0} is damaged: {1}")]
    Damaged(Position, Misshapen),
}

/// A batch, as far as it is decided.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// What the state machine applies: commands that were not applied before.
    pub(crate) entries: Vec<Entry>,
    /// The replies among those that are to be kept.
    pub(crate) pending: Vec<Pending>,
    /// Indexes of the commands that are passed over, in order; not those that open a session.
    pub(crate) skipped: Vec<u64>,
    answers: Vec<Answer>,
}

/// What an entry of the batch is answered.
#[derive(Debug)]
enum Answer {
    /// What was decided at once.
    Now(Outcome),
    /// What the state machine replies to one of its entries.
    Reply(usize),
    /// What it replied, or replies in this very batch, to a command applied there.
    First(Position),
}

impl Decided {
    /// Decides about the next entry, and brings `held` up to date. Fails on a command of a version
    /// above `readable`; nothing of the batch may be applied then.
    pub(crate) fn add(
        &mut self,
        entry: LogEntry,
        held: &mut Held,
        readable: u32,
    ) -> Result<(), Undecided> {
        assert!(
            held.facts.applied.is_none_or(|applied| entry.id.index > applied.index),
            "entries are applied in order and once"
        );
        held.facts.applied = Some(entry.id);
        let at = position(entry.id);
        let answer = match entry.payload {
            Payload::Blank => Answer::Now(Outcome::default()),
            Payload::Membership(membership) => {
                held.facts.set_membership(entry.id, membership);
                Answer::Now(Outcome::default())
            }
            Payload::Normal(proposal) => {
                let command = proposal.command().map_err(|why| Undecided::Damaged(at, why))?;
                let version = command.version;
                if version > readable {
                    return Err(Unreadable { position: at, version, readable }.into());
                }
                let opens = command.session.as_ref().is_some_and(|it| it.sequence == 0);
                let answer = self.command(at, command, held);
                if !opens && !matches!(answer, Answer::Reply(_)) {
                    self.skipped.push(at.index);
                }
                answer
            }
        };
        self.answers.push(answer);
        Ok(())
    }

    /// The outcome of every entry, in order, given the state machine's replies.
    pub(crate) fn outcomes(self, replies: Vec<Bytes>) -> impl Iterator<Item = Outcome> {
        let Decided { entries, answers, .. } = self;
        answers.into_iter().map(move |answer| match answer {
            Answer::Now(outcome) => outcome,
            Answer::Reply(nth) => Outcome::Applied(replies.get(nth).cloned().unwrap_or_default()),
            Answer::First(first) => {
                let nth = entries.binary_search_by_key(&first, |entry| entry.position).ok();
                match nth.and_then(|nth| replies.get(nth)) {
                    Some(reply) => Outcome::Replayed(first, reply.clone()),
                    None => Outcome::Refused(Denial::Forgotten),
                }
            }
        })
    }

    fn command(&mut self, at: Position, command: proto::Command, held: &mut Held) -> Answer {
        held.facts.version = held.facts.version.max(command.version);
        let time_unix_ms = held.facts.advance_time(command.time_unix_ms);
        if let Some(session) = &command.session {
            // The leader proposes no other; all replicas refuse it alike.
            let Some(stamp) = stamp(session) else {
                return Answer::Now(Outcome::Refused(Denial::Expired));
            };
            match held.sessions.admit(at, time_unix_ms, stamp) {
                Verdict::Apply => {
                    let (client, sequence, nth) =
                        (stamp.client, stamp.sequence, self.entries.len());
                    self.pending.push(Pending { client, sequence, position: at, nth });
                }
                Verdict::Open(false) => return Answer::Now(Outcome::default()),
                Verdict::Open(true) => {
                    return Answer::Now(Outcome::Replayed(at, Bytes::new()));
                }
                Verdict::Replay(first, Some(reply)) => {
                    return Answer::Now(Outcome::Replayed(first, reply));
                }
                Verdict::Replay(first, None) => return Answer::First(first),
                Verdict::Refuse(denial) => return Answer::Now(Outcome::Refused(denial)),
            }
        }
        self.entries.push(Entry {
            position: at,
            time_unix_ms,
            version: command.version,
            payload: command.payload,
        });
        Answer::Reply(self.entries.len() - 1)
    }
}

/// Reads a stamp; `None` if no session can bear it.
pub(crate) fn stamp(session: &proto::Session) -> Option<Stamp> {
    Some(Stamp {
        client: client_id(&session.client_id).ok()?,
        sequence: session.sequence,
        lowest_unacknowledged: session.lowest_unacknowledged,
    })
}

#[cfg(test)]
mod tests;
