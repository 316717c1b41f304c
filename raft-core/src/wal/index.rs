//! Where each entry lies: four bytes an entry, and one pair a term.

use std::collections::VecDeque;

use crate::log_store::LogPosition;

/// The places of a contiguous range of entries, relative to some start.
///
/// Invariants:
/// - `offsets[i]` belongs to entry `first + i`.
#[derive(Debug, Default)]
pub(super) struct Run {
    first: u64,
    offsets: Vec<u32>,
}

impl Run {
    /// Index of the last entry, `None` when the run is empty.
    pub(super) fn last(&self) -> Option<u64> {
        let ahead = (self.offsets.len() as u64).checked_sub(1)?;
        Some(self.first + ahead)
    }

    /// Adds the entry after the last one, or any entry to an empty run.
    pub(super) fn push(&mut self, index: u64, offset: u32) {
        match self.last() {
            Some(last) => assert!(index == last + 1, "entry {index} after {last} in a run"),
            None => self.first = index,
        }
        self.offsets.push(offset);
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) {
        let keep = index.saturating_sub(self.first);
        self.offsets.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    /// Forgets everything when all of it is at or below `index`. A part is kept whole: the log's
    /// purge point hides it.
    pub(super) fn purge_to(&mut self, index: u64) {
        if self.last().is_some_and(|last| last <= index) {
            self.offsets = Vec::new();
        }
    }

    /// The offsets from `index` on; empty when it is not in the run.
    pub(super) fn offsets_from(&self, index: u64) -> &[u32] {
        let Some(skip) = index.checked_sub(self.first) else { return &[] };
        usize::try_from(skip).ok().and_then(|skip| self.offsets.get(skip..)).unwrap_or(&[])
    }

    /// All entries and their offsets.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        (self.first..).zip(self.offsets.iter().copied())
    }

    /// Bytes of memory it holds.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.offsets.capacity() * size_of::<u32>()
    }

    /// Gives back room kept for growth.
    pub(super) fn shrink(&mut self) {
        self.offsets.shrink_to_fit();
    }
}

/// A segment file and the live entries in it.
#[derive(Debug)]
pub(super) struct SegmentRun {
    pub(super) number: u64,
    /// Length of the file.
    pub(super) bytes: u64,
    pub(super) run: Run,
}

/// Entries to be read from one segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) segment: u64,
    pub(super) first: u64,
    /// Offset of each entry in the segment.
    pub(super) offsets: Vec<u32>,
    /// Term of each entry.
    pub(super) terms: Vec<u64>,
    /// Where the last of them ends at the latest.
    pub(super) end: u64,
}

/// The shape of the log: its ends, its terms, its segments.
///
/// Invariants:
/// - entries are the range from `terms.front().0` to `last`; both are absent together;
/// - no entry is at or below `purged`;
/// - `segments` is ordered by number without gap, and their runs by index.
#[derive(Debug, Default)]
pub(super) struct LogIndex {
    pub(super) purged: Option<LogPosition>,
    last: Option<u64>,
    /// (first index, term) of each range of entries of one term.
    terms: VecDeque<(u64, u64)>,
    pub(super) segments: VecDeque<SegmentRun>,
}

impl LogIndex {
    /// Index of the last entry, `None` when the log is empty.
    pub(super) fn last_index(&self) -> Option<u64> {
        self.last
    }

    /// Index of the first entry, `None` when the log is empty.
    pub(super) fn first_index(&self) -> Option<u64> {
        self.terms.front().map(|(first, _)| *first)
    }

    /// Number of entries.
    pub(super) fn entries(&self) -> u64 {
        match (self.first_index(), self.last) {
            (Some(first), Some(last)) => (last - first).saturating_add(1),
            _ => 0,
        }
    }

    /// The last entry, or the purge point.
    pub(super) fn last(&self) -> Option<LogPosition> {
        self.last.and_then(|index| self.position(index)).or(self.purged)
    }

    /// The entry with this index, if the log has it.
    pub(super) fn position(&self, index: u64) -> Option<LogPosition> {
        if self.last? < index {
            return None;
        }
        let after = self.terms.partition_point(|(first, _)| *first <= index);
        let (_, term) = self.terms.get(after.checked_sub(1)?)?;
        Some(LogPosition { index, term: *term })
    }

    /// Notes an entry at the end; it need not be in a segment yet.
    pub(super) fn append(&mut self, entry: LogPosition) {
        match self.last {
            Some(last) => assert!(entry.index == last + 1, "{entry:?} after {last}"),
            None => assert!(
                self.purged.is_none_or(|purged| entry.index > purged.index),
                "{entry:?} is below the purge point"
            ),
        }
        self.last = Some(entry.index);
        if self.terms.back().is_none_or(|(_, term)| *term != entry.term) {
            self.terms.push_back((entry.index, entry.term));
        }
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: u64) {
        if self.last.is_none_or(|last| last < index) {
            return;
        }
        while self.terms.back().is_some_and(|(first, _)| *first >= index) {
            self.terms.pop_back();
        }
        self.last = if self.terms.is_empty() { None } else { index.checked_sub(1) };
        for segment in self.segments.iter_mut().rev() {
            if segment.run.last().is_some_and(|last| last < index) {
                break;
            }
            segment.run.truncate_from(index);
            if let Some(purged) = self.purged {
                segment.run.purge_to(purged.index);
            }
        }
    }

    /// Drops the entries up to `upto`, which must not be below the present purge point.
    pub(super) fn purge_to(&mut self, upto: LogPosition) {
        assert!(
            self.purged.is_none_or(|purged| purged.index <= upto.index),
            "the purge point moves forward only"
        );
        self.purged = Some(upto);
        if self.last.is_none_or(|last| last <= upto.index) {
            self.last = None;
            self.terms.clear();
        } else {
            let next = upto.index + 1;
            while self.terms.get(1).is_some_and(|(first, _)| *first <= next) {
                self.terms.pop_front();
            }
            if let Some((first, _)) = self.terms.front_mut() {
                *first = next.max(*first);
            }
        }
        for segment in &mut self.segments {
            if segment.run.last().is_some_and(|last| last > upto.index) {
                break;
            }
            segment.run.purge_to(upto.index);
        }
    }

    /// The oldest segment that holds a live entry, or else the newest segment.
    pub(super) fn oldest_needed(&self) -> u64 {
        let needed = self.segments.iter().find(|segment| segment.run.last().is_some());
        needed.or(self.segments.back()).map_or(0, |segment| segment.number)
    }

    /// Where to read entries from `from` (live, and in a segment) on: at most `most` of them, all
    /// from one segment, none at or above `to_exclusive`.
    pub(super) fn extent(&self, from: u64, to_exclusive: u64, most: usize) -> Option<Extent> {
        let segment = self
            .segments
            .iter()
            .rev()
            .find(|segment| !segment.run.offsets_from(from).is_empty())?;
        let offsets = segment.run.offsets_from(from);
        let wanted = usize::try_from(to_exclusive.saturating_sub(from)).unwrap_or(usize::MAX);
        let count = offsets.len().min(most).min(wanted);
        let terms: Vec<u64> = (from..)
            .take(count)
            .map_while(|index| self.position(index).map(|position| position.term))
            .collect();
        Some(Extent {
            segment: segment.number,
            first: from,
            offsets: offsets.get(..terms.len())?.to_vec(),
            end: offsets.get(terms.len()).map_or(segment.bytes, |next| u64::from(*next)),
            terms,
        })
    }
}

#[cfg(test)]
mod tests;
