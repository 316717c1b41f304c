//! Reading a range: from the tail cache under the lock, what is older from disk without it.
//!
//! A reader that went to the disk comes back to a log that may have moved on. Entries that were
//! purged meanwhile it still returns, they were there when it looked; but once something was
//! truncated it returns what it has and does not add entries of another history to it.

use std::io;

use crate::log_store::Record;
use crate::wal::front::Front;
use crate::wal::reader::{Found, damaged};
use crate::wal::shared::Shared;

/// Entries looked up at once, so that the lock is held for a short time.
const EXTENT_MAX_ENTRIES: usize = 1024;

/// See [`crate::log_store::LogStore::read`].
pub(super) fn read(
    shared: &Shared,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> io::Result<Vec<Record>> {
    let mut found = Found::new(from, max_bytes);
    let mut truncations = None;
    loop {
        let mut front = shared.lock();
        front.check_failed()?;
        let first = front.index.first_index();
        let (Some(first), Some(last)) = (first, front.index.last_index()) else { break };
        let moved = *truncations.get_or_insert(front.truncations) != front.truncations;
        if found.records.is_empty() {
            found.next = found.next.max(first);
        }
        let to = to.min(last + 1);
        if moved || found.next < first || found.next >= to || found.push_cached(&front, to) {
            break;
        }
        let extent = front.index.extent(found.next, to, EXTENT_MAX_ENTRIES);
        let extent = extent.ok_or_else(|| damaged("an entry is in no segment"))?;
        front.stats.disk_reads += extent.offsets.len() as u64;
        drop(front);
        let wanted = extent.first + extent.offsets.len() as u64;
        match shared.reader.read(&extent, &mut found) {
            Ok(()) if found.next < wanted => break,
            Ok(()) => {}
            // The segment may have been removed since, which is no error if it was purged.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let purged = shared.lock().index.purged;
                if purged.is_none_or(|purged| purged.index < extent.first) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found.records)
}

/// See [`crate::log_store::LogStore::read_cached`].
pub(super) fn read_cached(
    front: &Front,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> io::Result<Option<Vec<Record>>> {
    front.check_failed()?;
    let (Some(first), Some(last)) = (front.index.first_index(), front.index.last_index()) else {
        return Ok(Some(Vec::new()));
    };
    let (from, to) = (from.max(first), to.min(last + 1));
    if from >= to {
        return Ok(Some(Vec::new()));
    }
    let mut found = Found::new(from, max_bytes);
    Ok(found.push_cached(front, to).then_some(found.records))
}
