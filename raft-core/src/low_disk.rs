//! What happens when the disk runs full: nothing new is accepted well before.
//!
//! Below its water mark a leader refuses commands; elections, heartbeats and reads go on, and so do
//! appends on a follower, which must take what a quorum may have committed. Members tell the leader
//! with every answer to an append that they are low. The leader then
//! - hands leadership over, if it is low itself and another voter is not;
//! - refuses commands while fewer than a majority of the voters are not low: whoever runs full
//!   stops, and a majority that stopped could not be helped by the others.
//!
//! A follower that runs full stops, like every node whose log cannot be written (nothing
//! acknowledged is lost with it), and starts again when there is room: what a start must write
//! finds it in a reserve, a file of noise that is given up when nothing else is left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::Space;

/// Bytes of the reserve, at most: thousands of votes and pointers.
const RESERVE_MAX_BYTES: u64 = 4 << 20;

/// How much room there must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaterMarks {
    bytes: u64,
    percent: u8,
}

impl WaterMarks {
    /// So many bytes, or this share of the whole in percent, whichever is less.
    pub(crate) fn new(bytes: u64, percent: u8) -> WaterMarks {
        WaterMarks { bytes, percent }
    }

    /// Free bytes below which a disk is low.
    pub(crate) fn low_bytes(self, total_bytes: u64) -> u64 {
        let share = u128::from(total_bytes) * u128::from(self.percent) / 100;
        self.bytes.min(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Free bytes from which it is low no more: a quarter above the mark, so that a disk at the
    /// mark does not come and go with every file.
    pub(crate) fn recovered_bytes(self, total_bytes: u64) -> u64 {
        let low = self.low_bytes(total_bytes);
        low.saturating_add(low / 4)
    }

    /// Bytes to keep in reserve for a start on a full disk.
    pub(crate) fn reserve_bytes(self, total_bytes: u64) -> u64 {
        (self.low_bytes(total_bytes) / 4).min(RESERVE_MAX_BYTES)
    }
}

/// What is known of this node's disk, and whether commands are refused; shared.
#[derive(Debug, Default)]
pub(crate) struct LowDisk {
    low: AtomicBool,
    refuses: AtomicBool,
    free_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl LowDisk {
    /// True while this node's disk is below its mark.
    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// True while commands are to be refused here.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// Refuses commands from now on, or no more.
    pub(crate) fn set_refuses(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// The room found last.
    pub(crate) fn space(&self) -> Space {
        Space {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
        }
    }

    /// Notes the room there is. True when that changes whether the disk is low.
    pub(crate) fn note(&self, space: Space, marks: WaterMarks) -> bool {
        self.free_bytes.store(space.free_bytes, Ordering::Relaxed);
        self.total_bytes.store(space.total_bytes, Ordering::Relaxed);
        let enough = match self.is_low() {
            true => marks.recovered_bytes(space.total_bytes),
            false => marks.low_bytes(space.total_bytes),
        };
        let low = space.free_bytes < enough;
        self.low.swap(low, Ordering::Relaxed) != low
    }
}

/// True when a leader must refuse commands: it is low itself, or so many of `voters`, given as
/// whether each is low, that the others are no majority.
pub(crate) fn must_refuse(here: bool, voters: impl Iterator<Item = bool>) -> bool {
    let (mut all, mut well) = (0_usize, 0_usize);
    for low in voters {
        all += 1;
        well += usize::from(!low);
    }
    here || (all > 0 && well <= all / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_lesser_of_bytes_and_share_counts() {
        let marks = WaterMarks::new(1024 * MIB, 5);
        assert_eq!(marks.low_bytes(1_000 * MIB), 50 * MIB);
        assert_eq!(marks.low_bytes(u64::MAX), 1024 * MIB);
        assert_eq!(marks.recovered_bytes(1_600 * MIB), 100 * MIB);
        assert_eq!(marks.reserve_bytes(u64::MAX), 4 * MIB);
        assert_eq!(marks.reserve_bytes(160 * MIB), 2 * MIB);
        for off in [WaterMarks::new(0, 5), WaterMarks::new(1024, 0)] {
            assert_eq!(off.low_bytes(u64::MAX) + off.reserve_bytes(u64::MAX), 0);
        }
    }

    #[test]
    fn a_disk_is_low_below_the_mark_and_until_well_above_it() {
        let (disk, marks) = (LowDisk::default(), WaterMarks::new(100, 100));
        let space = |free_bytes| Space { free_bytes, total_bytes: 1_000 };
        for (free, changes, low) in [
            (1_000, false, false),
            (100, false, false),
            (99, true, true),
            (0, false, true),
            (124, false, true),
            (125, true, false),
            (100, false, false),
        ] {
            assert_eq!(disk.note(space(free), marks), changes, "{free}");
            assert_eq!(disk.is_low(), low, "{free}");
            assert_eq!(disk.space(), space(free));
        }
    }

    #[test]
    fn without_marks_no_disk_is_low() {
        let disk = LowDisk::default();
        let space = Space { free_bytes: 0, total_bytes: 1_000 };
        assert!(!disk.note(space, WaterMarks::new(0, 0)) && !disk.is_low());
    }

    #[test]
    fn commands_are_refused_when_those_with_room_are_no_majority() {
        let refuses = |here, voters: &[bool]| must_refuse(here, voters.iter().copied());
        assert!(refuses(true, &[true, false, false]));
        assert!(!refuses(false, &[false, false, false]));
        assert!(!refuses(false, &[false, true, false]));
        assert!(refuses(false, &[false, true, true]));
        assert!(refuses(false, &[false, true]));
        assert!(!refuses(false, &[false, true, true, false, false]));
        assert!(!refuses(false, &[]));
    }
}
