//! Which command versions are in use, against who is about to vote: neither a command that a voter
//! cannot read, nor a voter that cannot read a command, gets into the log behind the other.
//!
//! A leader knows of every version in its log: what its predecessors left is applied before it
//! changes any members, and what it proposes itself is claimed here first. Who proposes and who
//! changes the members look at this under one lock, and each leaves here what the other must see.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::member::NodeId;
use crate::members::ChangeError;

/// What this node as leader has claimed; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Arc<Mutex<Claims>>);

#[derive(Debug, Default)]
struct Claims {
    /// The highest version of a command given to consensus here. It may not have come into the log:
    /// then it was at least readable by every voter.
    proposed: u32,
    /// What the voters that a change under way makes, or says something else of, read.
    entering: Vec<Reader>,
}

/// A member, and the highest version of a command it has said it reads; 0 if it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Who.
    pub(crate) id: NodeId,
    /// What it reads.
    pub(crate) readable: u32,
}

impl Reader {
    /// Whoever has said nothing reads version 1.
    fn reads(self, version: u32) -> bool {
        self.readable.max(1) >= version
    }
}

/// Held while a change of the members is under way; no command goes past it that those who enter
/// do not read.
#[derive(Debug)]
pub(crate) struct Entering(Versions);

impl Drop for Entering {
    fn drop(&mut self) {
        self.0.claims().entering.clear();
    }
}

impl Versions {
    /// Claims a version for a command that is about to be proposed, unless some do not read it:
    /// voters, as `unready` gives them, or those who are becoming voters.
    pub(crate) fn claim(
        &self,
        version: u32,
        unready: impl FnOnce() -> Vec<NodeId>,
    ) -> Result<(), Vec<NodeId>> {
        let mut claims = self.claims();
        let mut by = unready();
        let entering = claims.entering.iter().filter(|reader| !reader.reads(version));
        by.extend(entering.map(|reader| reader.id));
        by.sort_unstable();
        by.dedup();
        if !by.is_empty() {
            return Err(by);
        }
        claims.proposed = claims.proposed.max(version);
        Ok(())
    }

    /// Lets `newcomers` become voters, or learners, if they read what is in use: up to `applied`
    /// by what was applied. `restated` are members of whom something else is said, which nobody
    /// can refuse them.
    pub(crate) fn enter(
        &self,
        applied: u32,
        newcomers: &[Reader],
        restated: &[Reader],
    ) -> Result<Entering, ChangeError> {
        let mut claims = self.claims();
        let needed = applied.max(claims.proposed);
        if let Some(reader) = newcomers.iter().find(|reader| !reader.reads(needed)) {
            return Err(ChangeError::Outdated { id: reader.id, reads: reader.readable, needed });
        }
        claims.entering = newcomers.iter().chain(restated).copied().collect();
        Ok(Entering(self.clone()))
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(id: NodeId, readable: u32) -> Reader {
        Reader { id, readable }
    }

    #[test]
    fn whoever_cannot_read_what_is_in_use_becomes_no_voter() {
        let versions = Versions::default();
        let refused = |id, readable, applied| {
            let entered = versions.enter(applied, &[reader(id, readable)], &[]);
            matches!(entered, Err(ChangeError::Outdated { id: who, .. }) if who == id)
        };
        assert!(!refused(4, 0, 0) && !refused(4, 0, 1) && !refused(4, 2, 2));
        assert!(refused(4, 0, 2) && refused(4, 1, 2));
        // Proposed, and not applied yet.
        versions.claim(3, Vec::new).unwrap();
        assert!(refused(4, 2, 2) && !refused(4, 3, 2));
        // Others are restated whatever they read.
        assert!(versions.enter(3, &[], &[reader(1, 1)]).is_ok());
    }

    #[test]
    fn a_command_that_a_voter_to_be_does_not_read_is_held_back_until_the_change_is_over() {
        let versions = Versions::default();
        assert_eq!(versions.claim(2, || vec![3]), Err(vec![3]));
        let entering = versions.enter(1, &[reader(4, 1)], &[reader(3, 1)]).unwrap();
        assert_eq!(versions.claim(2, || vec![3]), Err(vec![3, 4]));
        assert_eq!(versions.claim(1, Vec::new), Ok(()));
        drop(entering);
        assert_eq!(versions.claim(2, Vec::new), Ok(()));
    }
}
