//! Where the bytes are: sled, and nothing else in this crate knows that it is sled.
//!
//! sled 0.34 is a view, never the truth: its `flush` does not call fsync on Linux, and it may be
//! found corrupt after a hard stop (sled#1533). What makes it usable all the same is that one batch
//! of one tree is atomic, so that the engine's records tell truly how far it is; whatever it loses,
//! the log and the snapshots still have.
//!
//! The state is one tree. Replacing the state fills another one and then turns a pointer: a crash
//! meanwhile leaves the old state. Reads never meet half of either.

use crate::checksum::seal;
use crate::error::StoreError;
use crate::key_values::{Changes, KeyValues, Pair, Target};
use crate::keys::Range;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Memory for pages read: some ten thousand accounts. sled's own default is 1 GiB.
const CACHE_BYTES: u64 = 64 << 20;

/// sled's file, which it locks.
const FILE: &str = "db";

/// How often it is looked whether sled has let go of its file, and how long between two looks: 5 s
/// in all. It takes less than a millisecond, unless its threads get no turn.
const LOOKS: u32 = 2_500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Names the tree that is the state: its generation, 8 bytes, big-endian.
const CURRENT: &[u8] = b"current";

/// The state on disk.
pub(crate) struct Tree {
    db: sled::Db,
    state: sled::Tree,
    generation: u64,
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
        let tree = Tree { db, state, generation };
        tree.drop_all_but(&tree.state.name())?;
        Ok(tree)
    }

    /// Makes changes, all of them or, after a crash, none.
    pub(crate) fn commit(&self, mut changes: Changes) -> Result<(), StoreError> {
        seal(self, &mut changes)?;
        write(&self.state, changes)
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
        self.drop_all_but(&self.state.name())
    }

    fn drop_all_but(&self, kept: &[u8]) -> Result<(), StoreError> {
        let default = self.db.name();
        for name in self.db.tree_names() {
            if name != default && name != kept {
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
        seal(self, &mut changes)?;
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
