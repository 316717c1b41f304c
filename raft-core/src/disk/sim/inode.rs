//! One simulated file: what is seen, what would survive, and the writes between.

#[cfg(test)]
use std::collections::BTreeSet;

use crate::disk::sim::random::Random;
#[cfg(test)]
use crate::disk::sim::survivors::subsets;

/// What a disk writes as a whole, in bytes.
const SECTOR_BYTES: usize = 512;

/// What a power loss leaves of unsynced writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survival {
    /// Nothing.
    Synced,
    /// Random sectors and a random length.
    Torn,
}

/// Invariants:
/// - `seen` is `durable` with `pending` applied in order, unless a sync failed in between.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    /// A file whose bytes are on the disk.
    pub(super) fn durable(bytes: Vec<u8>) -> Inode {
        Inode { seen: bytes.clone(), durable: bytes, pending: Vec::new() }
    }

    /// What a reader sees now.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Writes, not durably.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        overlay(&mut self.seen, at, bytes);
        self.pending.push((at, bytes.to_vec()));
    }

    /// Makes what is pending durable.
    pub(super) fn sync(&mut self) {
        for (at, bytes) in self.pending.drain(..) {
            overlay(&mut self.durable, at, &bytes);
        }
    }

    /// What a failed sync does: the pages count as clean and are never written.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Shortens the file, durably.
    pub(super) fn cut(&mut self, bytes: usize) {
        self.sync();
        self.seen.truncate(bytes);
        self.durable.truncate(bytes);
    }

    /// Leaves what survives a power loss.
    pub(super) fn crash(&mut self, survival: Survival, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        if survival == Survival::Torn {
            for (at, bytes) in pending {
                self.tear(at, &bytes, random);
            }
        }
        self.seen = self.durable.clone();
    }

    /// Every content a power loss may leave: each subset of the unsynced sectors (or some of them,
    /// if they are many) under each length that makes a difference. Without duplicates.
    #[cfg(test)]
    pub(super) fn survivors(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut sectors = Vec::new();
        for (at, bytes) in &self.pending {
            let (mut from, end) = (*at, at + bytes.len());
            while from < end {
                let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
                sectors.push((from, &bytes[from - at..to - at]));
                from = to;
            }
        }
        let (old, new) = (self.durable.len(), self.seen.len());
        let mut lengths = BTreeSet::from([old]);
        if new > old {
            lengths.extend([old + 1, old + (new - old) / 2, new - 1, new]);
            lengths.extend((old..new).filter(|at| at % SECTOR_BYTES == 0));
        }
        let mut found = BTreeSet::new();
        for mask in subsets(sectors.len(), random) {
            for length in &lengths {
                let mut bytes = self.durable.clone();
                bytes.resize(*length.max(&old), 0);
                let kept = sectors.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1);
                for (from, part) in kept.map(|(_, sector)| *sector) {
                    let to = bytes.len().min(from + part.len());
                    if from < to {
                        bytes[from..to].copy_from_slice(&part[..to - from]);
                    }
                }
                found.insert(bytes);
            }
        }
        found.into_iter().collect()
    }

    /// Lets a random subset of the sectors of one write survive. The length is metadata of its
    /// own: it may cover sectors that were not written, which then read as zeros, or may have
    /// stayed behind, at any byte.
    fn tear(&mut self, at: usize, bytes: &[u8], random: &mut Random) {
        let end = at + bytes.len();
        let old_length = self.durable.len();
        let new_length = match random.below(4) {
            0 => old_length,
            1 => old_length.max(end),
            _ => old_length + random.below(end.saturating_sub(old_length) as u64 + 1) as usize,
        };
        if new_length > old_length {
            self.durable.resize(new_length, 0);
        }
        let everything = random.below(4) == 0;
        let mut from = at;
        while from < end {
            let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
            let fits = to.min(self.durable.len());
            if from < fits && (everything || random.coin()) {
                self.durable[from..fits].copy_from_slice(&bytes[from - at..fits - at]);
            }
            from = to;
        }
    }
}

fn overlay(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}
