//! What a log may hold after a crash, from what it was told and what it acknowledged.

use super::*;
use crate::disk::sim::random::Random;
use crate::memory_log::MemoryLog;

/// A change of the log.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Append(Vec<Record>),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(Option<u64>),
    Purge(LogPosition),
}

/// What the log may hold after a crash: the content after each change, from the last
/// acknowledged one on.
pub(super) struct History {
    pub(super) twin: MemoryLog,
    pub(super) possible: Vec<Content>,
    waiting: Vec<Receiver<io::Result<()>>>,
}

impl History {
    /// Starts with a log that holds `start`, all of it durable.
    pub(super) fn new(start: Content) -> History {
        let twin = MemoryLog::new();
        if let Some(vote) = start.vote.clone() {
            twin.save_vote(vote, ticket().0);
        }
        if let Some(purged) = start.purged {
            twin.purge(purged, ticket().0);
        }
        twin.append(start.records.clone(), ticket().0);
        assert_eq!(content(&twin), start);
        History { twin, possible: vec![start], waiting: Vec::new() }
    }

    /// Makes one random change on both logs.
    pub(super) fn change(&mut self, wal: &Wal, random: &mut Random) {
        let LogState { purged, last, .. } = self.twin.state();
        let next = last.map_or(1, |last| last.index + 1);
        let purged = purged.map_or(0, |purged| purged.index);
        let term = last.map_or(1, |last| last.term);
        let change = match random.below(12) {
            0 => Change::Vote(Bytes::from(format!("vote {}", random.below(1000)))),
            1 | 2 => {
                let keep = purged + random.below(next - purged);
                Change::Truncate((random.below(8) > 0).then_some(keep))
            }
            3 => {
                // Now and then beyond the end, as after a snapshot from the leader.
                let reach = if random.below(5) == 0 { 20 } else { 0 };
                Change::Purge(at(purged + random.below(next + reach - purged), term))
            }
            4 => Change::Committed(Bytes::from(format!("committed {next}"))),
            _ => {
                let last = next + random.below(6);
                Change::Append(entries(next..=last, term + random.below(8) / 7))
            }
        };
        self.make(wal, change);
    }

    /// Makes a change on both logs.
    pub(super) fn make(&mut self, wal: &Wal, change: Change) {
        let (done, result) = ticket();
        let (twin_done, twin_result) = ticket();
        match change {
            Change::Vote(vote) => {
                wal.save_vote(vote.clone(), done);
                self.twin.save_vote(vote, twin_done);
            }
            Change::Truncate(keep) => {
                wal.truncate_after(keep, done);
                self.twin.truncate_after(keep, twin_done);
            }
            Change::Purge(upto) => {
                wal.purge(upto, done);
                self.twin.purge(upto, twin_done);
            }
            Change::Committed(pointer) => {
                wal.save_committed(pointer);
                done(Ok(()));
                twin_done(Ok(()));
            }
            Change::Append(records) => {
                wal.append(records.clone(), done);
                self.twin.append(records, twin_done);
            }
        }
        twin_result.try_recv().unwrap().unwrap();
        self.waiting.push(result);
        self.possible.push(content(&self.twin));
    }

    /// Forgets what can no longer be, now that some changes are acknowledged.
    pub(super) fn note_acknowledged(&mut self) {
        let results: Vec<_> = self.waiting.iter().map(|result| result.try_recv()).collect();
        let acknowledged = results.iter().rposition(|result| matches!(result, Ok(Ok(()))));
        // A committed pointer completes at once and proves nothing about what was before it.
        let durable = results.iter().take_while(|result| matches!(result, Ok(Ok(())))).count();
        if acknowledged.is_some() {
            self.possible.drain(..durable);
            self.waiting.drain(..durable);
            assert!(!self.possible.is_empty());
        }
    }

    pub(super) fn check(&self, found: &Content, what: &str) {
        if !self.possible.contains(found) {
            let ends: Vec<_> = self.possible.iter().map(|content| content.last).collect();
            panic!("{what}: found {:?}, possible {ends:?}", found.last);
        }
    }
}
