//! The open sessions: what makes a command that is proposed twice apply once (Raft dissertation
//! §6.3).
//!
//! A pure, deterministic part of the replicated state: what it decides follows from the entries
//! before alone, wherever one batch of them ends and the next begins.
//!
//! - `limits.rs`: what bounds it.
//! - `record.rs`: the table as the engine's records, beside the application's state.
//! - `image.rs`: the table at the beginning of a snapshot.

pub(crate) mod image;
pub(crate) mod limits;
pub(crate) mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::engine::outcome::Denial;
use crate::engine::sessions::limits::{LIMITS, Limits};
use crate::engine::sessions::record::{ClientId, Head, KeptReply, Parsed};
use crate::engine::wire::Misshapen;
use crate::position::Position;

/// Expired sessions removed along with one command, so that no transaction removes all at once.
const SWEPT_PER_COMMAND: usize = 16;

/// Which command of which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Whose session.
    pub(crate) client: ClientId,
    /// 0 opens the session.
    pub(crate) sequence: u64,
    /// Replies below this number were received.
    pub(crate) lowest_unacknowledged: u64,
}

/// What becomes of a command of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The session is open; true when it was before.
    Open(bool),
    /// The command is new: the state machine applies it, and its reply is kept.
    Apply,
    /// It was applied there. Its reply is here unless it was too long, or is still to be given by
    /// the batch at hand.
    Replay(Position, Option<Bytes>),
    /// It is not applied.
    Refuse(Denial),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    head: Head,
    /// Sorted by sequence.
    replies: VecDeque<Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    sequence: u64,
    position: Position,
    /// `None` while the state machine is still to reply, and when it was too long.
    reply: Option<Bytes>,
}

/// The open sessions.
///
/// Invariants:
/// - `by_use` names every session once, with its time of last use;
/// - `kept` is the number of replies of all sessions, none of them below its session's lowest
///   unacknowledged sequence;
/// - whatever differs from the records is named in `changed_heads` or `changed_replies`.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    limits: Limits,
    open: BTreeMap<ClientId, Session>,
    by_use: BTreeSet<(u64, ClientId)>,
    kept: usize,
    changed_heads: BTreeSet<ClientId>,
    changed_replies: BTreeSet<(ClientId, u64)>,
}

/// A reply that the state machine is still to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Whose command.
    pub(crate) client: ClientId,
    /// Which one.
    pub(crate) sequence: u64,
    /// Where it was applied.
    pub(crate) position: Position,
    /// Its place among the entries that the state machine is given.
    pub(crate) nth: usize,
}

/// What a batch changed in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    limit: usize,
    heads: Vec<(ClientId, Option<Head>)>,
    removed: Vec<(ClientId, u64)>,
    pending: Vec<Pending>,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions::new(LIMITS)
    }
}

impl PartialEq for Sessions {
    fn eq(&self, other: &Sessions) -> bool {
        self.open == other.open
    }
}

impl Sessions {
    /// An empty table.
    pub(crate) fn new(limits: Limits) -> Sessions {
        Sessions {
            limits,
            open: BTreeMap::new(),
            by_use: BTreeSet::new(),
            kept: 0,
            changed_heads: BTreeSet::new(),
            changed_replies: BTreeSet::new(),
        }
    }

    /// Decides about a command at a place of the log.
    pub(crate) fn admit(&mut self, at: Position, time_unix_ms: u64, stamp: Stamp) -> Verdict {
        self.sweep(time_unix_ms);
        if self.open.get(&stamp.client).is_some_and(|held| self.expired(&held.head, time_unix_ms)) {
            self.remove(stamp.client);
        }
        if !self.open.contains_key(&stamp.client) {
            return self.admit_stranger(time_unix_ms, stamp);
        }
        self.touch(time_unix_ms, stamp);
        if stamp.sequence == 0 {
            return Verdict::Open(true);
        }
        let Some(session) = self.open.get_mut(&stamp.client) else {
            return Verdict::Refuse(Denial::Expired);
        };
        let Some(ahead) = stamp.sequence.checked_sub(session.head.lowest_unacknowledged) else {
            return Verdict::Refuse(Denial::Forgotten);
        };
        let place = session.replies.binary_search_by_key(&stamp.sequence, |kept| kept.sequence);
        let place = match place {
            Ok(held) => {
                let first = session.replies.get(held).map(|kept| (kept.position, &kept.reply));
                let (position, reply) = first.unwrap_or((at, &None));
                return Verdict::Replay(position, reply.clone());
            }
            Err(place) => place,
        };
        if ahead >= self.limits.window || self.kept >= self.limits.replies {
            return Verdict::Refuse(Denial::Crowded);
        }
        let kept = Kept { sequence: stamp.sequence, position: at, reply: None };
        session.replies.insert(place, kept);
        self.kept += 1;
        self.changed_replies.insert((stamp.client, stamp.sequence));
        Verdict::Apply
    }

    /// Takes what changed since the last time; `pending` are the replies that the state machine is
    /// to give for it, in any order.
    pub(crate) fn take_changes(&mut self, mut pending: Vec<Pending>) -> Changes {
        pending.retain(|one| self.slot(one).is_some());
        let heads = std::mem::take(&mut self.changed_heads);
        let head = |client| (client, self.open.get(&client).map(|session| session.head));
        let heads = heads.into_iter().map(head).collect();
        let replies = std::mem::take(&mut self.changed_replies);
        let gone = |(client, sequence): &(ClientId, u64)| !self.holds(*client, *sequence);
        let removed = replies.into_iter().filter(gone).collect();
        Changes { limit: self.limits.reply_bytes, heads, removed, pending }
    }

    /// Keeps the replies that the state machine gave to a batch, as its `changes` recorded them.
    pub(crate) fn keep(&mut self, changes: &Changes, replies: &[Bytes]) {
        for one in &changes.pending {
            let reply = kept_reply(replies, one, self.limits.reply_bytes);
            // A copy: what the state machine gave may share a larger buffer.
            let reply = reply.map(Bytes::copy_from_slice);
            if let Some(slot) = self.slot(one) {
                slot.reply = reply;
            }
        }
    }

    /// Reads the table back from the engine's records; those that are none of ours are passed over.
    pub(crate) fn read(records: &[(Vec<u8>, Vec<u8>)]) -> Result<Sessions, Misshapen> {
        let mut sessions = Sessions::default();
        let mut replies = Vec::new();
        for (key, value) in records {
            match record::parse(key, value)? {
                Some(Parsed::Head(client, head)) => sessions.insert(client, head)?,
                Some(Parsed::Reply(client, reply)) => replies.push((client, reply)),
                None => {}
            }
        }
        replies.sort_unstable_by_key(|(client, kept)| (*client, kept.sequence));
        for (client, reply) in replies {
            sessions.insert_reply(client, reply)?;
        }
        Ok(sessions)
    }

    /// The whole table as records.
    pub(crate) fn records(&self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut records = Vec::with_capacity(self.open.len() + self.kept);
        for (client, session) in &self.open {
            records.push(record::head(*client, Some(&session.head)));
            for kept in &session.replies {
                records.push(record::reply(*client, &kept.as_record()));
            }
        }
        records
    }

    fn admit_stranger(&mut self, time_unix_ms: u64, stamp: Stamp) -> Verdict {
        if stamp.sequence != 0 {
            return Verdict::Refuse(Denial::Expired);
        }
        if self.open.len() >= self.limits.sessions && !self.make_room(time_unix_ms) {
            return Verdict::Refuse(Denial::Crowded);
        }
        let lowest_unacknowledged = stamp.lowest_unacknowledged.max(1);
        let head = Head { last_used_unix_ms: time_unix_ms, lowest_unacknowledged };
        self.open.insert(stamp.client, Session { head, replies: VecDeque::new() });
        self.by_use.insert((time_unix_ms, stamp.client));
        self.changed_heads.insert(stamp.client);
        Verdict::Open(false)
    }

    /// Notes that a session is in use, and forgets what its client has acknowledged.
    fn touch(&mut self, time_unix_ms: u64, stamp: Stamp) {
        let Some(session) = self.open.get_mut(&stamp.client) else { return };
        let before = session.head;
        let lowest = before.lowest_unacknowledged.max(stamp.lowest_unacknowledged);
        let after = Head { last_used_unix_ms: time_unix_ms, lowest_unacknowledged: lowest };
        while let Some(kept) = session.replies.front().filter(|kept| kept.sequence < lowest) {
            self.changed_replies.insert((stamp.client, kept.sequence));
            session.replies.pop_front();
            self.kept -= 1;
        }
        if before == after {
            return;
        }
        session.head = after;
        self.changed_heads.insert(stamp.client);
        if before.last_used_unix_ms != time_unix_ms {
            self.by_use.remove(&(before.last_used_unix_ms, stamp.client));
            self.by_use.insert((time_unix_ms, stamp.client));
        }
        assert_eq!(self.by_use.len(), self.open.len(), "every session has one time of last use");
    }

    fn expired(&self, head: &Head, time_unix_ms: u64) -> bool {
        head.last_used_unix_ms.saturating_add(self.limits.lifetime_ms) <= time_unix_ms
    }

    fn sweep(&mut self, time_unix_ms: u64) {
        for _ in 0..SWEPT_PER_COMMAND {
            let Some((used, client)) = self.by_use.first().copied() else { return };
            if used.saturating_add(self.limits.lifetime_ms) > time_unix_ms {
                return;
            }
            self.remove(client);
        }
    }

    /// Closes the session that was not used for longest, if that is long enough ago.
    fn make_room(&mut self, time_unix_ms: u64) -> bool {
        let oldest = self.by_use.first().copied();
        let idle = |used: u64| used.saturating_add(self.limits.idle_ms) <= time_unix_ms;
        match oldest.filter(|(used, _)| idle(*used)) {
            Some((_, client)) => {
                self.remove(client);
                true
            }
            None => false,
        }
    }

    fn remove(&mut self, client: ClientId) {
        let Some(session) = self.open.remove(&client) else { return };
        self.by_use.remove(&(session.head.last_used_unix_ms, client));
        self.kept -= session.replies.len();
        self.changed_heads.insert(client);
        let sequences = session.replies.iter().map(|kept| (client, kept.sequence));
        self.changed_replies.extend(sequences);
    }

    fn slot(&mut self, of: &Pending) -> Option<&mut Kept> {
        let replies = &mut self.open.get_mut(&of.client)?.replies;
        let place = replies.binary_search_by_key(&of.sequence, |kept| kept.sequence).ok()?;
        // At another place of the log it is another command, of a session opened anew meanwhile.
        replies.get_mut(place).filter(|kept| kept.position == of.position)
    }

    fn holds(&self, client: ClientId, sequence: u64) -> bool {
        let replies = self.open.get(&client).map(|session| &session.replies);
        replies.is_some_and(|kept| kept.binary_search_by_key(&sequence, |k| k.sequence).is_ok())
    }

    fn insert(&mut self, client: ClientId, head: Head) -> Result<(), Misshapen> {
        let session = Session { head, replies: VecDeque::new() };
        if self.open.insert(client, session).is_some() {
            return Err(Misshapen("a session appears twice".into()));
        }
        self.by_use.insert((head.last_used_unix_ms, client));
        if self.open.len() > self.limits.sessions {
            return Err(Misshapen("more sessions than there may be".into()));
        }
        Ok(())
    }

    /// Takes a reply that follows the session's others.
    fn insert_reply(&mut self, client: ClientId, reply: KeptReply) -> Result<(), Misshapen> {
        let session = self.open.get_mut(&client);
        let Some(session) = session else {
            return Err(Misshapen("a reply of a session that is not open".into()));
        };
        let least = match session.replies.back() {
            Some(last) => last.sequence.saturating_add(1),
            None => session.head.lowest_unacknowledged,
        };
        if reply.sequence < least || self.kept >= self.limits.replies {
            return Err(Misshapen("a session's replies are out of bounds".into()));
        }
        let KeptReply { sequence, position, reply } = reply;
        session.replies.push_back(Kept { sequence, position, reply });
        self.kept += 1;
        Ok(())
    }
}

impl Kept {
    fn as_record(&self) -> KeptReply {
        KeptReply { sequence: self.sequence, position: self.position, reply: self.reply.clone() }
    }
}

impl Changes {
    /// Adds the changes as records, given what the state machine replied to the batch.
    pub(crate) fn append_records(
        &self,
        replies: &[Bytes],
        records: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) {
        records.reserve(self.heads.len() + self.removed.len() + self.pending.len());
        records
            .extend(self.heads.iter().map(|(client, head)| record::head(*client, head.as_ref())));
        let removed = self.removed.iter();
        records.extend(removed.map(|(client, sequence)| record::no_reply(*client, *sequence)));
        for one in &self.pending {
            let reply = kept_reply(replies, one, self.limit).map(Bytes::copy_from_slice);
            let kept = KeptReply { sequence: one.sequence, position: one.position, reply };
            records.push(record::reply(one.client, &kept));
        }
    }
}

fn kept_reply<'a>(replies: &'a [Bytes], of: &Pending, limit: usize) -> Option<&'a [u8]> {
    replies.get(of.nth).map(|reply| &**reply).filter(|reply| reply.len() <= limit)
}

#[cfg(test)]
mod tests;
