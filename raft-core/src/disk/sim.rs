//! A disk in memory that behaves as badly as a real one may, and no worse.
//!
//! Every file keeps what a reader sees now, what would survive a power loss, and the writes
//! between the two; names of files likewise. [`SimDisk::crash`] decides what is left of the
//! unsynced part; everything is derived from the seed, so that a failing test replays.

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::sim::file::{SimFile, SimLock};
use crate::disk::sim::inode::{Inode, Survival};
use crate::disk::sim::state::{DiskOp, Fate, Fault, State, lock_state, not_found};
use crate::disk::{Disk, DiskEntry, DiskFile, DiskLock, Space};

mod file;
mod inode;
pub(crate) mod random;
pub(crate) mod state;
#[cfg(test)]
mod survivors;

/// What survives of the unsynced part when the machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies, the machine stays: everything written is there.
    Process,
    /// Power loss, and nothing unsynced had reached the disk.
    PowerNothing,
    /// Power loss, and of each unsynced write a random subset of sectors, a random length and a
    /// random subset of the names had reached the disk.
    PowerTorn,
}

/// A handle to the simulated disk; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk; all its choices follow from `seed`.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { shared: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// Takes the machine down and brings it up again; old handles and locks are dead.
    pub fn crash(&self, crash: Crash) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.life += 1;
        state.locks.clear();
        state.fault = None;
        state.off = false;
        if crash == Crash::Process {
            return;
        }
        let torn = crash == Crash::PowerTorn;
        let seen = std::mem::take(&mut state.names);
        let mut left = state.durable_names.clone();
        for path in seen.keys().chain(state.durable_names.keys()) {
            let (now, durable) = (seen.get(path), state.durable_names.get(path));
            if torn && now != durable && state.random.coin() {
                match now {
                    Some(id) => left.insert(path.clone(), *id),
                    None => left.remove(path),
                };
            }
        }
        state.inodes.retain(|id, _| left.values().any(|kept| kept == id));
        let survival = if torn { Survival::Torn } else { Survival::Synced };
        for inode in state.inodes.values_mut() {
            inode.crash(survival, &mut state.random);
        }
        state.names = left.clone();
        state.durable_names = left;
    }

    /// Lets the operation after the next `skip` changing ones fail.
    pub fn fail_after(&self, skip: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.op_count + skip, fault));
    }

    /// Limits the sum of all file lengths; a write beyond it is cut short and reports a full disk.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity_bytes = bytes;
    }

    /// Takes the list of what changed the disk since the last call.
    pub fn take_ops(&self) -> Vec<DiskOp> {
        std::mem::take(&mut self.state().ops)
    }

    /// Number of changing operations so far, failed ones included.
    pub fn op_count(&self) -> u64 {
        self.state().op_count
    }

    /// Sum of all file lengths, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Names of all files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The bytes a reader of `path` sees.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.names.get(path)?;
        state.inodes.get(id).map(|inode| inode.seen().to_vec())
    }

    /// Puts `bytes` under `path`, durably: damage, or a file brought back.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        state.inodes.insert(id, Inode::durable(bytes));
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }

    /// Loses `path`, durably.
    pub fn lose(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// A disk of its own with the same content and no faults: for trying several fates.
    pub fn fork(&self, seed: u64) -> SimDisk {
        let fork = SimDisk::new(seed);
        let state = self.state();
        let mut copy = fork.state();
        copy.inodes = state.inodes.clone();
        copy.names = state.names.clone();
        copy.durable_names = state.durable_names.clone();
        copy.next_id = state.next_id;
        drop(copy);
        fork
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock_state(&self.shared)
    }

    fn handle(&self, path: &Path, id: u64, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile::new(Arc::clone(&self.shared), path, id, life))
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.state().alive()
    }

    /// Directories are not kept: one is there as long as anything is in it.
    fn is_dir(&self, dir: &Path) -> bool {
        self.state().names.keys().any(|path| path.starts_with(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let state = self.state();
        state.alive()?;
        let mut found = Vec::new();
        for (path, id) in &state.names {
            let name = path.file_name().and_then(|name| name.to_str());
            if let (true, Some(name)) = (path.parent() == Some(dir), name) {
                let bytes = state.inodes.get(id).map_or(0, |inode| inode.seen().len() as u64);
                found.push(DiskEntry { name: name.to_owned(), bytes });
            }
        }
        Ok(found)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists"));
        }
        let fate = state.begin()?;
        if let Fate::FailHalfway(error) = fate {
            return Err(error);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.inodes.insert(id, Inode::durable(Vec::new()));
        state.names.insert(path.to_owned(), id);
        if let Fate::PowerOff(error) = fate {
            return Err(error);
        }
        state.ops.push(DiskOp::Create(path.to_owned()));
        Ok(self.handle(path, id, state.life))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        state.alive()?;
        let id = *state.names.get(path).ok_or_else(|| not_found(path))?;
        Ok(self.handle(path, id, state.life))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin()?;
        if let Fate::FailHalfway(error) = fate {
            return Err(error);
        }
        if state.names.remove(path).is_none() {
            return Err(not_found(path));
        }
        if let Fate::PowerOff(error) = fate {
            return Err(error);
        }
        state.ops.push(DiskOp::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        match state.begin()? {
            Fate::Succeed => {
                state.durable_names = state.names.clone();
                state.ops.push(DiskOp::SyncDir);
                Ok(())
            }
            Fate::FailHalfway(error) | Fate::PowerOff(error) => Err(error),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let mut state = self.state();
        state.alive()?;
        if state.locks.contains_key(path) {
            return Ok(None);
        }
        let life = state.life;
        state.locks.insert(path.to_owned(), life);
        Ok(Some(Box::new(SimLock::new(Arc::clone(&self.shared), path, life))))
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let state = self.state();
        state.alive()?;
        let total_bytes = state.capacity_bytes;
        Ok(Space { free_bytes: total_bytes.saturating_sub(state.used_bytes()), total_bytes })
    }

    fn nonce(&self) -> u64 {
        self.state().random.number()
    }
}

#[cfg(test)]
mod tests;
