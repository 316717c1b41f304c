use super::*;

fn at(index: u64, term: u64) -> LogPosition {
    LogPosition { index, term }
}

/// Entries 1 to 9 of terms 1 (to 3), 2 (to 6) and 4, three in each of the segments 1, 2 and 3.
fn nine_entries() -> LogIndex {
    let mut index = LogIndex::default();
    for number in 1..=3 {
        let mut run = Run::default();
        for (step, entry) in (number * 3 - 2..=number * 3).enumerate() {
            index.append(at(entry, [1, 2, 4][number as usize - 1]));
            run.push(entry, 100 * (step as u32 + 1));
        }
        index.segments.push_back(SegmentRun { number, bytes: 500, run });
    }
    index
}

#[test]
fn terms_are_known_for_every_entry_and_for_no_other() {
    let index = nine_entries();
    assert_eq!(index.entries(), 9);
    assert_eq!(index.position(0), None);
    assert_eq!(index.position(3), Some(at(3, 1)));
    assert_eq!(index.position(4), Some(at(4, 2)));
    assert_eq!(index.last(), Some(at(9, 4)));
    assert_eq!(index.position(10), None);
}

#[test]
fn truncation_and_appending_replace_the_end() {
    let mut index = nine_entries();
    index.truncate_from(5);
    assert_eq!(index.last(), Some(at(4, 2)));
    assert_eq!(index.oldest_needed(), 1);
    assert_eq!(index.extent(5, 9, 9), None);
    index.append(at(5, 7));
    index.segments[2].run.push(5, 400);
    assert_eq!(index.position(5), Some(at(5, 7)));
    let extent = index.extent(5, 99, 9).unwrap();
    assert_eq!((extent.segment, extent.offsets, extent.end), (3, vec![400], 500));
    let extent = index.extent(4, 99, 9).unwrap();
    assert_eq!((extent.segment, extent.offsets, extent.terms), (2, vec![100], vec![2]));
    index.truncate_from(0);
    assert_eq!(index.last(), None);
    assert_eq!(index.entries(), 0);
}

#[test]
fn a_purge_moves_the_first_entry_and_frees_segments() {
    let mut index = nine_entries();
    index.purge_to(at(4, 2));
    assert_eq!(index.first_index(), Some(5));
    assert_eq!(index.position(4), None);
    assert_eq!(index.position(5), Some(at(5, 2)));
    assert_eq!(index.oldest_needed(), 2);
    index.purge_to(at(9, 4));
    assert_eq!(index.entries(), 0);
    assert_eq!(index.last(), Some(at(9, 4)));
    assert_eq!(index.oldest_needed(), 3);
    index.purge_to(at(40, 5));
    index.append(at(41, 5));
    assert_eq!(index.first_index(), Some(41));
}

#[test]
fn an_extent_stays_within_its_segment_and_its_limits() {
    let index = nine_entries();
    let extent = index.extent(5, 99, 99).unwrap();
    assert_eq!((extent.segment, extent.offsets, extent.end), (2, vec![200, 300], 500));
    let extent = index.extent(4, 6, 99).unwrap();
    assert_eq!((extent.offsets, extent.end), (vec![100, 200], 300));
    let extent = index.extent(4, 99, 1).unwrap();
    assert_eq!((extent.offsets, extent.terms, extent.end), (vec![100], vec![2], 200));
}

#[test]
#[should_panic(expected = "after 9")]
fn a_gap_is_a_bug_that_does_not_go_unnoticed() {
    nine_entries().append(at(11, 4));
}
