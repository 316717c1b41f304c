//! Logs that tell what each of them holds durably, and that can be made late or untruthful.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use raft_core::testing::{
    Durable, LogOpener, LogPosition, LogState, LogStats, LogStore, OpenedLog, Random, Record,
};
use raft_core::{NodeId, Position, StartError};

/// When a log says that something is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Once it is, and up to so much later, by chance.
    Late(Duration),
    /// At once, though it becomes durable as late as with the other.
    Early(Duration),
}

/// Knows what is durable in the members' logs: by the logs themselves, not by what nodes say.
/// An entry counts as durable before anybody else is told that it is.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pace: Pace,
    logs: Arc<BTreeMap<NodeId, Arc<Seen>>>,
}

/// What is seen of one member's log.
#[derive(Debug, Default)]
struct Seen {
    held_back: AtomicBool,
    book: Mutex<Book>,
}

/// Terms of entries by their indexes.
#[derive(Debug, Default)]
struct Book {
    submitted: BTreeMap<u64, u64>,
    durable: BTreeMap<u64, u64>,
    purged: Option<LogPosition>,
}

impl Witness {
    /// Of the logs of members 1 to `size`.
    pub(crate) fn new(size: u64, pace: Pace) -> Witness {
        Witness { pace, logs: Arc::new((1..=size).map(|id| (id, Arc::default())).collect()) }
    }

    /// Opens a member's log under this one's eyes.
    pub(crate) fn watch(&self, id: NodeId, logs: Arc<dyn LogOpener>) -> Arc<dyn LogOpener> {
        Arc::new(WatchedLogs { id, logs, pace: self.pace, seen: Arc::clone(&self.logs[&id]) })
    }

    /// Who holds an entry durably, or a snapshot in place of it, now.
    pub(crate) fn holders(&self, at: Position) -> Vec<NodeId> {
        let holds = |seen: &Seen| {
            let book = seen.book.lock().unwrap();
            book.durable.get(&at.index) == Some(&at.term)
                || book.purged.is_some_and(|purged| purged.index >= at.index)
        };
        self.logs.iter().filter(|(_, seen)| holds(seen)).map(|(id, _)| *id).collect()
    }

    /// Lets a member's log not finish anything until it is released.
    pub(crate) fn hold_back(&self, id: NodeId) {
        self.logs[&id].held_back.store(true, Ordering::Release);
    }

    pub(crate) fn release(&self, id: NodeId) {
        self.logs[&id].held_back.store(false, Ordering::Release);
    }
}

impl Book {
    fn of(log: &dyn LogStore) -> Book {
        let found = log.read(0, u64::MAX, usize::MAX).unwrap();
        let submitted: BTreeMap<u64, u64> = found.iter().map(|r| (r.index, r.term)).collect();
        Book { durable: submitted.clone(), submitted, purged: log.state().purged }
    }

    /// What has been truncated since it was submitted is none of it.
    fn synced(&mut self, entries: Vec<(u64, u64)>) {
        for (index, term) in entries {
            if self.submitted.get(&index) == Some(&term) {
                self.durable.insert(index, term);
            }
        }
    }

    fn truncate_after(&mut self, keep: Option<u64>) {
        for entries in [&mut self.submitted, &mut self.durable] {
            entries.retain(|index, _| keep.is_some_and(|keep| *index <= keep));
        }
    }

    fn purge(&mut self, upto: LogPosition) {
        self.purged = self.purged.filter(|purged| purged.index > upto.index).or(Some(upto));
        for entries in [&mut self.submitted, &mut self.durable] {
            entries.retain(|index, _| *index > upto.index);
        }
    }
}

#[derive(Debug)]
struct WatchedLogs {
    id: NodeId,
    logs: Arc<dyn LogOpener>,
    pace: Pace,
    seen: Arc<Seen>,
}

impl LogOpener for WatchedLogs {
    fn exists(&self, path: &Path) -> bool {
        self.logs.exists(path)
    }

    fn open(&self, path: &Path, segment_bytes: u64) -> Result<OpenedLog, StartError> {
        let opened = self.logs.open(path, segment_bytes)?;
        *self.seen.book.lock().unwrap() = Book::of(&*opened.log);
        let (line, steps) = channel();
        let (Pace::Late(longest) | Pace::Early(longest)) = self.pace;
        let (seen, random) = (Arc::clone(&self.seen), Random::new(self.id));
        thread::spawn(move || finish(&steps, &seen, longest, random));
        let (log, seen) = (opened.log, Arc::clone(&self.seen));
        let early = matches!(self.pace, Pace::Early(_));
        Ok(OpenedLog { log: Arc::new(WatchedLog { log, early, seen, line }), ..opened })
    }
}

/// What is done once something is durable.
type Step = Box<dyn FnOnce() + Send>;

/// Does one after the other, until nothing can come any more.
fn finish(steps: &Receiver<Step>, seen: &Seen, longest: Duration, mut random: Random) {
    while let Ok(step) = steps.recv() {
        while seen.held_back.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(random.below(longest.as_micros() as u64 + 1)));
        step();
    }
}

#[derive(Debug)]
struct WatchedLog {
    log: Arc<dyn LogStore>,
    early: bool,
    seen: Arc<Seen>,
    line: Sender<Step>,
}

impl WatchedLog {
    /// A callback that notes what is durable, and says so then, when its turn has come.
    fn noting(&self, note: impl FnOnce(&mut Book) + Send + 'static, done: Durable) -> Durable {
        let (seen, line) = (Arc::clone(&self.seen), self.line.clone());
        Box::new(move |result| {
            let step: Step = Box::new(move || {
                if result.is_ok() {
                    note(&mut seen.book.lock().unwrap());
                }
                done(result);
            });
            if let Err(SendError(step)) = line.send(step) {
                step();
            }
        })
    }
}

impl LogStore for WatchedLog {
    fn state(&self) -> LogState {
        self.log.state()
    }

    fn append(&self, records: Vec<Record>, done: Durable) {
        let entries: Vec<(u64, u64)> = records.iter().map(|r| (r.index, r.term)).collect();
        self.seen.book.lock().unwrap().submitted.extend(entries.iter().copied());
        let (at_once, done): (Option<Durable>, Durable) = match self.early {
            true => (Some(done), Box::new(|_| {})),
            false => (None, done),
        };
        let done = self.noting(move |book| book.synced(entries), done);
        self.log.append(records, done);
        if let Some(done) = at_once {
            done(Ok(()));
        }
    }

    fn save_vote(&self, vote: Bytes, done: Durable) {
        self.log.save_vote(vote, self.noting(|_| {}, done));
    }

    fn save_committed(&self, committed: Bytes) {
        self.log.save_committed(committed);
    }

    fn truncate_after(&self, keep: Option<u64>, done: Durable) {
        self.seen.book.lock().unwrap().truncate_after(keep);
        self.log.truncate_after(keep, self.noting(|_| {}, done));
    }

    fn purge(&self, upto: LogPosition, done: Durable) {
        self.log.purge(upto, self.noting(move |book| book.purge(upto), done));
    }

    fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> io::Result<Vec<Record>> {
        self.log.read(from, to_exclusive, max_bytes)
    }

    fn read_cached(
        &self,
        from: u64,
        to_exclusive: u64,
        max_bytes: usize,
    ) -> io::Result<Option<Vec<Record>>> {
        self.log.read_cached(from, to_exclusive, max_bytes)
    }

    fn durable_last(&self) -> Option<LogPosition> {
        if self.early {
            return self.log.state().last;
        }
        let book = self.seen.book.lock().unwrap();
        let last = book.durable.last_key_value();
        last.map(|(index, term)| LogPosition { index: *index, term: *term }).or(book.purged)
    }

    fn when_room(&self, wake: Box<dyn FnOnce() + Send>) {
        self.log.when_room(wake);
    }

    fn failed(&self) -> Option<Arc<io::Error>> {
        self.log.failed()
    }

    fn stats(&self) -> LogStats {
        self.log.stats()
    }

    fn abandon(&self) {
        self.log.abandon();
    }

    fn close(&self) -> io::Result<()> {
        self.log.close()
    }
}
