//! The format in which nodes send entries and snapshots to each other, and who reads it.
//!
//! This is the format of the envelope, which changes with this crate. What is inside has a version
//! of its own, which changes with the application (`proposer.rs` holds back what is too new).

use crate::error::Stranger;

/// The format in which this node sends entries and snapshots, and the only one it reads.
pub(crate) const FORMAT: u32 = 1;

/// Refuses a node that does not read what this one sends: it would be sent what it can only
/// refuse, or guess at, for as long as it is a member. Nodes that say nothing are taken for readers
/// of everything: they do not ask for entries.
pub(crate) fn check_reader(oldest: u32, newest: u32) -> Result<(), Stranger> {
    match newest == 0 || (oldest..=newest).contains(&FORMAT) {
        true => Ok(()),
        false => Err(Stranger::Formats { oldest, newest, sent: FORMAT }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_only_other_formats_is_refused() {
        for (oldest, newest) in [(0, 0), (0, 1), (1, 1), (1, 7), (0, u32::MAX)] {
            assert_eq!(check_reader(oldest, newest), Ok(()), "{oldest} to {newest}");
        }
        for (oldest, newest) in [(2, 2), (2, u32::MAX), (2, 1), (u32::MAX, u32::MAX)] {
            let refused = check_reader(oldest, newest).unwrap_err();
            assert_eq!(refused, Stranger::Formats { oldest, newest, sent: 1 });
        }
    }
}
