//! Handles to the simulated disk: open files and locks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::DiskFile;
use crate::disk::sim::state::{DiskOp, Fate, State, lock_state, not_found, power_off};

/// Frees its path when dropped.
#[derive(Debug)]
pub(super) struct SimLock {
    shared: Arc<Mutex<State>>,
    path: PathBuf,
    life: u64,
}

impl SimLock {
    /// A lock on `path`, held since `life`.
    pub(super) fn new(shared: Arc<Mutex<State>>, path: &Path, life: u64) -> SimLock {
        SimLock { shared, path: path.to_owned(), life }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = lock_state(&self.shared);
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

/// An open file of one life of the machine.
#[derive(Debug)]
pub(super) struct SimFile {
    shared: Arc<Mutex<State>>,
    path: PathBuf,
    id: u64,
    life: u64,
}

impl SimFile {
    /// A handle to inode `id`, opened as `path` in `life`.
    pub(super) fn new(shared: Arc<Mutex<State>>, path: &Path, id: u64, life: u64) -> SimFile {
        SimFile { shared, path: path.to_owned(), id, life }
    }

    /// The state, if this handle belongs to the present life of the machine.
    fn enter(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = lock_state(&self.shared);
        if state.life == self.life { Ok(state) } else { Err(power_off()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.enter()?;
        state.alive()?;
        let inode = state.inodes.get(&self.id).ok_or_else(|| not_found(&self.path))?;
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let Some(bytes) = inode.seen().get(from..) else { return Ok(0) };
        let take = bytes.len().min(buffer.len());
        buffer[..take].copy_from_slice(&bytes[..take]);
        Ok(take)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut guard = self.enter()?;
        let state = &mut *guard;
        let fate = state.begin()?;
        let free = state.capacity_bytes.saturating_sub(state.used_bytes());
        let inode = state.inodes.get_mut(&self.id).ok_or_else(|| not_found(&self.path))?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let grows = (at + bytes.len()).saturating_sub(inode.seen().len()) as u64;
        let full = grows > free;
        let keep = match (&fate, full) {
            (Fate::FailHalfway(_), _) => state.random.below(bytes.len() as u64 + 1) as usize,
            (_, true) => bytes.len() - (grows - free) as usize,
            _ => bytes.len(),
        };
        inode.write(at, &bytes[..keep]);
        match fate {
            Fate::FailHalfway(error) | Fate::PowerOff(error) => return Err(error),
            Fate::Succeed if full => return Err(io::ErrorKind::StorageFull.into()),
            Fate::Succeed => {}
        }
        let path = self.path.clone();
        state.ops.push(DiskOp::Write { path, offset, bytes: bytes.len() });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.enter()?;
        let state = &mut *guard;
        let fate = state.begin()?;
        let inode = state.inodes.get_mut(&self.id).ok_or_else(|| not_found(&self.path))?;
        match fate {
            Fate::Succeed => inode.sync(),
            Fate::FailHalfway(error) => {
                inode.forget_pending();
                return Err(error);
            }
            Fate::PowerOff(error) => return Err(error),
        }
        state.ops.push(DiskOp::Sync(self.path.clone()));
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut guard = self.enter()?;
        let state = &mut *guard;
        let fate = state.begin()?;
        let inode = state.inodes.get_mut(&self.id).ok_or_else(|| not_found(&self.path))?;
        match fate {
            Fate::Succeed => inode.cut(usize::try_from(bytes).map_err(io::Error::other)?),
            Fate::FailHalfway(error) | Fate::PowerOff(error) => return Err(error),
        }
        state.ops.push(DiskOp::Cut(self.path.clone()));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.enter()?;
        state.alive()?;
        let inode = state.inodes.get(&self.id).ok_or_else(|| not_found(&self.path))?;
        Ok(inode.seen().len() as u64)
    }
}
