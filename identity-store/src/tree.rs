//! Where the bytes are: sled, and nothing else in this crate knows that it is sled.
//!
//! sled 0.34 is a view, never the truth: its `flush` does not call fsync on Linux, and it may be
//! found corrupt after a hard stop (sled#1533). What makes it usable all the same is that one batch
//! of one tree is atomic, so that the engine's records tell truly how far it is; whatever it loses,
//! the log and the snapshots still have.
//!
//! The state is one tree. Replacing the state fills another one and then turns a pointer: a crash
//! meanwhile leaves the old state. Reads never meet half of either.
//!
//! sled reads no state but the present one. Where a past one is wanted, what changes have
//! overwritten since is put aside, in memory and in a tree beside it (`moment.rs` says for whom).

use crate::aside::Aside;
use crate::checksum::seal;
use crate::error::StoreError;
use crate::key_values::{Changes, KeyValues, Pair, Target};
use crate::keys::Range;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Memory for pages read: some ten thousand accounts. sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 64 << 20;

/// Memory for what is overwritten ahead of an image's reader: some fifty thousand accounts.
const ASIDE_BYTES: usize = 64 << 20;

/// sled's file, which it locks.
const FILE: &str = "db";

/// How often it is looked whether sled has let go of its file, and how long between two looks: 5 s
/// in all. It takes less than a millisecond, unless its threads get no turn.
const LOOKS: u32 = 2_500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Names the tree that is the state: its generation, 8 bytes, big-endian.
const CURRENT: &[u8] = b"current";

/// The tree of what was overwritten since the moment that is held, and found no room in memory;
/// thrown away at start.
const PUT_ASIDE: &[u8] = b"put-aside";

/// What the moment held under a key: nothing, or the value that follows.
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// The state on disk.
pub(crate) struct Tree {
    db: sled::Db,
    state: sled::Tree,
    generation: u64,
    held: Option<Held>,
    moments: u64,
    /// Bytes of memory for what a moment puts aside; the rest goes to disk.
    aside_bytes: usize,
}

/// A moment of the state, be it the present state or one that was replaced since.
///
/// - Every key of the state that changed since the moment, and that the reader has not passed, is
///   in `aside` or in `put_aside`, as it was then, before it changes in the state.
pub(crate) struct Held {
    number: u64,
    state: sled::Tree,
    generation: u64,
    aside: Mutex<Aside>,
    /// What `aside` had no room for.
    put_aside: sled::Tree,
}

impl Tree {
    /// Opens or makes the tree in a directory that nobody else has open. Fails with
    /// [`StoreError::InUse`] when somebody has it all the same, with [`StoreError::View`] or
    /// [`StoreError::Damaged`] when it is not sound; may panic instead, for that is how sled
    /// answers some kinds of damage.
    ///
    /// sled takes a file in which it finds nothing of its own for an empty one, and says nothing:
    /// a directory that is not empty without a state in it is damaged.
    pub(crate) fn open(path: &Path) -> Result<Tree, StoreError> {
        let is_new = path.read_dir().map_err(unreadable)?.next().is_none();
        await_release(path)?;
        // No flushing by time: what is lost with the process is replayed from the log, and
        // `flush` is called ahead of every snapshot, up to which the log may be purged.
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .use_compression(false);
        let db = config.open()?;
        let generation = match db.get(CURRENT)? {
            Some(bytes) => {
                let bytes = <[u8; 8]>::try_from(bytes.as_ref());
                u64::from_be_bytes(bytes.map_err(|_| StoreError::Damaged("its pointer"))?)
            }
            None if is_new => {
                db.insert(CURRENT, &0_u64.to_be_bytes())?;
                db.flush()?;
                0
            }
            None => return Err(StoreError::Damaged("it lost everything")),
        };
        let state = db.open_tree(name(generation))?;
        let tree = Tree { db, state, generation, held: None, moments: 0, aside_bytes: ASIDE_BYTES };
        tree.drop_unused()?;
        Ok(tree)
    }

    /// Makes changes, all of them or, after a crash, none.
    pub(crate) fn commit(&self, mut changes: Changes) -> Result<(), StoreError> {
        let held = self.held.as_ref().filter(|held| held.generation == self.generation);
        let mut to_disk = Changes::new();
        seal(self, &mut changes, |key, before| match held {
            Some(held) => held.put_aside(key, before, &mut to_disk),
            None => Ok(()),
        })?;
        if let Some(held) = held.filter(|_| !to_disk.is_empty()) {
            write(&held.put_aside, to_disk)?;
        }
        write(&self.state, changes)
    }

    /// Holds on to the state as it is now, under the number that is returned, and lets go of an
    /// earlier moment.
    pub(crate) fn hold(&mut self) -> Result<u64, StoreError> {
        self.held = None;
        self.drop_unused()?;
        let put_aside = self.db.open_tree(PUT_ASIDE)?;
        assert!(put_aside.is_empty(), "nothing has changed since a moment that is now");
        let number = self.moments;
        self.moments = number.wrapping_add(1);
        let (state, generation) = (self.state.clone(), self.generation);
        let aside = Mutex::new(Aside::new(self.aside_bytes));
        self.held = Some(Held { number, state, generation, aside, put_aside });
        Ok(number)
    }

    /// The moment of that number. Fails with [`StoreError::Overtaken`] when another is held.
    pub(crate) fn held(&self, number: u64) -> Result<&Held, StoreError> {
        self.held.as_ref().filter(|held| held.number == number).ok_or(StoreError::Overtaken)
    }

    /// Throws away what was put aside for that moment, if it is held.
    pub(crate) fn let_go(&mut self, number: u64) -> Result<(), StoreError> {
        if self.held(number).is_err() {
            return Ok(());
        }
        self.held = None;
        self.drop_unused()
    }

    /// [`flush`](Tree::flush), to be called when the tree is free for others.
    pub(crate) fn flusher(&self) -> impl FnOnce() -> Result<(), StoreError> + use<> {
        let db = self.db.clone();
        move || Ok(db.flush().map(drop)?)
    }

    /// Hands what was committed to the operating system: it survives the process, but not a loss
    /// of power.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush()?;
        Ok(())
    }

    /// An empty state that may become this one's successor; it is forgotten at the next start if
    /// it does not.
    pub(crate) fn successor(&self) -> Result<Successor, StoreError> {
        let generation = self.generation.wrapping_add(1);
        // Of an attempt that failed.
        self.db.drop_tree(name(generation))?;
        Ok(Successor { state: self.db.open_tree(name(generation))?, generation })
    }

    /// Replaces the state.
    pub(crate) fn succeed(&mut self, successor: Successor) -> Result<(), StoreError> {
        self.db.flush()?;
        self.db.insert(CURRENT, &successor.generation.to_be_bytes())?;
        self.db.flush()?;
        self.state = successor.state;
        self.generation = successor.generation;
        self.drop_unused()
    }

    /// How many trees there are: sled's own one, the state, and what a moment needs.
    #[cfg(test)]
    pub(crate) fn trees(&self) -> usize {
        self.db.tree_names().len()
    }

    fn drop_unused(&self) -> Result<(), StoreError> {
        let mut used = vec![self.db.name(), self.state.name()];
        if let Some(held) = &self.held {
            used.extend([held.state.name(), held.put_aside.name()]);
        }
        for name in self.db.tree_names() {
            if !used.contains(&name) {
                self.db.drop_tree(&name)?;
            }
        }
        Ok(())
    }
}

impl KeyValues for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.state, key)
    }

    fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
        pairs(&self.state, range, limit)
    }
}

impl Held {
    /// Puts aside what a key holds that is about to change, unless an earlier change has; what has
    /// no room in memory is left in `to_disk`.
    fn put_aside(
        &self,
        key: &[u8],
        before: Option<&[u8]>,
        to_disk: &mut Changes,
    ) -> Result<(), StoreError> {
        let mut aside = self.aside();
        if !Range::state().contains(key)
            || !aside.lacks(key)
            || self.put_aside.contains_key(key)?
            || aside.keep(key, before)
        {
            return Ok(());
        }
        let before = match before {
            Some(value) => [&[PRESENT], value].concat(),
            None => vec![ABSENT],
        };
        to_disk.insert(key.to_vec(), Some(before));
        Ok(())
    }

    /// Up to `limit` pairs of a range of the moment, in the order of the keys; fewer only where the
    /// range ends. What is before the range is let go of, and cannot be read any more.
    ///
    /// Commits may go on meanwhile: what the state no longer holds as it was then was put aside
    /// before it changed, and is found by whoever looks there afterwards.
    pub(crate) fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.aside().pass(&range.from);
        let mut found = Vec::new();
        let mut rest = range.clone();
        while found.len() < limit {
            // The state comes first.
            let now = pairs(&self.state, &rest, limit)?;
            let on_disk = pairs(&self.put_aside, &rest, limit)?;
            let in_memory = self.aside().range(&rest, limit);
            let ends = [end(&now, limit), end(&on_disk, limit), end(&in_memory, limit)];
            let all_read_upto = ends.into_iter().flatten().min().cloned();
            let mut page: Changes =
                now.into_iter().map(|(key, value)| (key, Some(value))).collect();
            for (key, before) in on_disk {
                page.insert(key, value_before(&before)?);
            }
            page.extend(in_memory);
            let known = |key: &Vec<u8>| all_read_upto.as_ref().is_none_or(|last| key <= last);
            let page = page.into_iter().take_while(|(key, _)| known(key));
            found.extend(page.filter_map(|(key, value)| Some((key, value?))));
            match all_read_upto {
                Some(last) => rest = rest.after(&last),
                None => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn aside(&self) -> MutexGuard<'_, Aside> {
        // A panic under the lock leaves it whole.
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last key of a page beyond which there may be more.
fn end<T>(page: &[(Vec<u8>, T)], limit: usize) -> Option<&Vec<u8>> {
    page.last().filter(|_| page.len() == limit).map(|(key, _)| key)
}

fn value_before(put_aside: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    match put_aside.split_first() {
        Some((&PRESENT, value)) => Ok(Some(value.to_vec())),
        Some((&ABSENT, [])) => Ok(None),
        _ => Err(StoreError::Damaged("what was put aside for an image")),
    }
}

/// A state being built up.
pub(crate) struct Successor {
    state: sled::Tree,
    generation: u64,
}

impl KeyValues for Successor {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.state, key)
    }

    fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
        pairs(&self.state, range, limit)
    }
}

impl Target for Successor {
    fn write(&mut self, mut changes: Changes) -> Result<(), StoreError> {
        seal(self, &mut changes, |_, _| Ok(()))?;
        write(&self.state, changes)
    }
}

/// Waits until sled has let go of its file. It keeps it locked for a moment after it was dropped,
/// while a thread of its own ends; whoever opens it in that moment is refused.
fn await_release(path: &Path) -> Result<(), StoreError> {
    let file = match File::open(path.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_LOOKS),
            Err(TryLockError::Error(error)) => return Err(unreadable(error)),
        }
    }
    Err(StoreError::InUse(path.to_owned()))
}

fn unreadable(error: io::Error) -> StoreError {
    StoreError::View(Box::new(error))
}

fn name(generation: u64) -> String {
    format!("state-{generation}")
}

fn get(tree: &sled::Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tree.get(key)?.map(|value| value.to_vec()))
}

fn pairs(tree: &sled::Tree, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
    let pairs = tree.range(range.from.as_slice()..range.to.as_slice()).take(limit);
    pairs
        .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(view))
        .collect()
}

fn write(tree: &sled::Tree, changes: Changes) -> Result<(), StoreError> {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    tree.apply_batch(batch)?;
    Ok(())
}

fn view(error: sled::Error) -> StoreError {
    StoreError::View(Box::new(error))
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        view(error)
    }
}

#[cfg(test)]
mod tests;
