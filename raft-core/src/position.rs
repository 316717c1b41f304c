//! A place in the replicated log.

use std::fmt;

/// A place in the replicated log (Raft paper §5.3).
///
/// Ordered as the paper's §5.4.1 compares logs: by term, then by index; among committed positions
/// that is the order of the indexes. The default, `T0-I0`, is where every log begins: the entry
/// that formed the cluster, or nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Term of the leader that made the entry; 0 only for the entry that formed the cluster.
    pub term: u64,
    /// Index of the entry, from 0, without gaps.
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}-I{}", self.term, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_term_is_further_than_a_higher_index() {
        assert!(Position { term: 2, index: 3 } > Position { term: 1, index: 9 });
        assert!(Position { term: 2, index: 3 } < Position { term: 2, index: 4 });
        assert_eq!(Position { term: 3, index: 17 }.to_string(), "T3-I17");
    }
}
