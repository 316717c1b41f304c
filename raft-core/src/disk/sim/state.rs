//! What the simulated machine's disk holds, and which operation is to fail.

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::sim::inode::Inode;
use crate::disk::sim::random::Random;

/// Something that changed the disk, in the order it happened. Failed operations are not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// A file was made.
    Create(PathBuf),
    /// Bytes were written, not durably.
    Write {
        /// To which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// All that was written to a file became durable.
    Sync(PathBuf),
    /// A file was shortened, durably.
    Cut(PathBuf),
    /// A file was removed.
    Remove(PathBuf),
    /// All names became durable.
    SyncDir,
}

/// How an operation is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation reports an I/O error. A failed write leaves a part of its bytes; a failed
    /// sync marks the pages clean, so that they never reach the disk.
    Io,
    /// The machine goes down during the operation: it and all later ones fail until `crash`.
    PowerOff,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) random: Random,
    pub(super) inodes: BTreeMap<u64, Inode>,
    /// Names as seen now, and names as they would be after a power loss.
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    pub(super) locks: BTreeMap<PathBuf, u64>,
    pub(super) next_id: u64,
    /// Handles and locks of an earlier life are dead.
    pub(super) life: u64,
    pub(super) capacity_bytes: u64,
    pub(super) ops: Vec<DiskOp>,
    pub(super) op_count: u64,
    pub(super) fault: Option<(u64, Fault)>,
    pub(super) off: bool,
}

/// What the fault injection decided about an operation.
pub(super) enum Fate {
    Succeed,
    FailHalfway(io::Error),
    PowerOff(io::Error),
}

impl State {
    /// An empty disk, switched on.
    pub(super) fn new(seed: u64) -> State {
        State {
            random: Random::new(seed),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            locks: BTreeMap::new(),
            next_id: 1,
            life: 1,
            capacity_bytes: u64::MAX,
            ops: Vec::new(),
            op_count: 0,
            fault: None,
            off: false,
        }
    }

    /// Sum of all file lengths, in bytes.
    pub(super) fn used_bytes(&self) -> u64 {
        let live = self.names.values().filter_map(|id| self.inodes.get(id));
        live.map(|inode| inode.seen().len() as u64).sum()
    }

    /// Counts a changing operation and decides its fate.
    pub(super) fn begin(&mut self) -> io::Result<Fate> {
        self.alive()?;
        let number = self.op_count;
        self.op_count += 1;
        Ok(match self.fault {
            Some((at, Fault::Io)) if at == number => Fate::FailHalfway(io_error()),
            Some((at, Fault::PowerOff)) if at == number => {
                self.off = true;
                Fate::PowerOff(power_off())
            }
            _ => Fate::Succeed,
        })
    }

    /// Fails while the machine is down.
    pub(super) fn alive(&self) -> io::Result<()> {
        if self.off { Err(power_off()) } else { Ok(()) }
    }
}

fn io_error() -> io::Error {
    io::Error::other("simulated I/O error")
}

/// What every operation reports while the machine is down.
pub(super) fn power_off() -> io::Error {
    io::Error::other("simulated power loss")
}

/// No such file.
pub(super) fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

/// Locks the state; a panic of a test thread leaves it as it was.
pub(super) fn lock_state(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
