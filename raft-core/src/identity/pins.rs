//! As whom each member was met.
//!
//! ```text
//! ID INCARNATION                       a member that does not count its starts
//! ID INCARNATION START_NUMBER NONCE    a member as it was met last
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{StartError, Stranger};
use crate::identity::lines::{garbled, read_id, read_lines, write_lines};
use crate::member::NodeId;

/// Members remembered: more than any cluster has in its life, fewer than would make the file slow
/// to write. Whoever comes beyond is not admitted.
const MEMBERS_MAX: usize = 4096;

/// One start of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// How often a node was started from its data directory by then, this time included.
    pub(crate) number: u64,
    /// Random.
    pub(crate) nonce: [u8; 16],
}

/// What a member says of its data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    /// Made with the directory.
    pub(crate) incarnation: [u8; 16],
    /// The process that uses it; `None` from one that does not count.
    pub(crate) start: Option<Start>,
}

/// As whom each member was met. Another incarnation under the same number has lost or copied its
/// data: what it promised to us it may not keep. So has a start that was not the last one.
#[derive(Debug)]
pub(crate) struct Pins {
    path: PathBuf,
    known: Mutex<BTreeMap<NodeId, Met>>,
}

impl Pins {
    /// Reads who was met; nobody, if the file is not there.
    pub(crate) fn open(path: PathBuf) -> Result<Pins, StartError> {
        let mut known = BTreeMap::new();
        for line in read_lines(&path)?.unwrap_or_default() {
            let (id, met) = parse(&line).ok_or_else(|| garbled(&path))?;
            known.insert(id, met);
        }
        Ok(Pins { path, known: Mutex::new(known) })
    }

    /// The incarnation of a member, if it was ever met.
    pub(crate) fn get(&self, id: NodeId) -> Option<[u8; 16]> {
        self.known().get(&id).map(|met| met.incarnation)
    }

    /// True if the member was met like this, so that [`Pins::check`] has nothing to remember.
    pub(crate) fn remembers(&self, id: NodeId, met: Met) -> bool {
        self.known().get(&id).is_some_and(|known| *known == met || met.start.is_none())
    }

    /// Compares a member with what was met before. What is new is made durable before it is
    /// believed, so this blocks, once for each start of a member.
    pub(crate) fn check(&self, id: NodeId, met: Met) -> Result<(), Stranger> {
        let mut known = self.known();
        if let Some(last) = known.get(&id) {
            if last.incarnation != met.incarnation {
                return Err(Stranger::Incarnation(id));
            }
            match (last.start, met.start) {
                (Some(last), Some(now)) if now == last => return Ok(()),
                (Some(last), Some(now)) if now.number <= last.number => {
                    return Err(Stranger::Clone { id, start: now.number, last: last.number });
                }
                (_, None) => return Ok(()),
                _ => {}
            }
        } else if known.len() >= MEMBERS_MAX {
            return Err(Stranger::Unremembered);
        }
        let mut grown = known.clone();
        grown.insert(id, met);
        let lines: Vec<String> = grown.iter().map(|(id, met)| line(*id, met)).collect();
        write_lines(&self.path, &lines).map_err(|error| {
            tracing::error!(%error, "cannot remember a member");
            Stranger::Unremembered
        })?;
        *known = grown;
        Ok(())
    }

    /// Forgets who left for ever, and is refused whatever it says; on disk with the next member
    /// that is remembered, which may be after a restart.
    pub(crate) fn forget(&self, gone: &[NodeId]) {
        self.known().retain(|id, _| !gone.contains(id));
    }

    /// Everybody who was met.
    pub(crate) fn all(&self) -> BTreeMap<NodeId, Met> {
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<NodeId, Met>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(id: NodeId, met: &Met) -> String {
    let incarnation = hex::encode(met.incarnation);
    match met.start {
        None => format!("{id} {incarnation}"),
        Some(Start { number, nonce }) => {
            format!("{id} {incarnation} {number} {}", hex::encode(nonce))
        }
    }
}

fn parse(line: &str) -> Option<(NodeId, Met)> {
    let mut parts = line.split(' ');
    let (id, incarnation) = (parts.next()?.parse().ok()?, read_id(parts.next()?)?);
    let start = match parts.next() {
        None => None,
        Some(number) => {
            Some(Start { number: number.parse().ok()?, nonce: read_id(parts.next()?)? })
        }
    };
    parts.next().is_none().then_some((id, Met { incarnation, start }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(incarnation: u8, number: u64, nonce: u8) -> Met {
        let start = Some(Start { number, nonce: [nonce; 16] });
        Met { incarnation: [incarnation; 16], start }
    }

    #[test]
    fn a_member_is_known_by_its_first_incarnation_also_after_a_restart() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("peers");
        let pins = Pins::open(path.clone()).unwrap();
        assert_eq!(pins.get(2), None);
        assert!(!pins.remembers(2, met(5, 1, 1)));
        assert_eq!(pins.check(2, met(5, 1, 1)), Ok(()));
        assert_eq!(pins.check(2, met(5, 1, 1)), Ok(()));
        assert!(pins.remembers(2, met(5, 1, 1)));
        assert_eq!(pins.check(2, met(6, 2, 2)), Err(Stranger::Incarnation(2)));
        let pins = Pins::open(path).unwrap();
        assert_eq!(pins.get(2), Some([5; 16]));
        assert_eq!(pins.check(2, met(6, 2, 2)), Err(Stranger::Incarnation(2)));
    }

    #[test]
    fn of_a_copied_directory_only_the_start_met_last_is_believed() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("peers");
        let pins = Pins::open(path.clone()).unwrap();
        assert_eq!(pins.check(2, met(5, 3, 1)), Ok(()));
        let copy = |start, last| Err(Stranger::Clone { id: 2, start, last });
        assert_eq!(pins.check(2, met(5, 3, 2)), copy(3, 3), "two of the same number");
        assert_eq!(pins.check(2, met(5, 2, 9)), copy(2, 3), "one from before");
        assert_eq!(pins.check(2, met(5, 5, 4)), Ok(()), "the next, or a later one");
        let pins = Pins::open(path).unwrap();
        assert_eq!(pins.check(2, met(5, 3, 1)), copy(3, 5), "also after a restart");
        let uncounted = Met { start: None, ..met(5, 0, 0) };
        assert_eq!(pins.check(2, uncounted), Ok(()), "an older build");
        assert_eq!(pins.check(2, met(5, 3, 1)), copy(3, 5));
    }

    #[test]
    fn nobody_fills_the_disk_with_names() {
        let keep = tempfile::tempdir().unwrap();
        let pins = Pins::open(keep.path().join("peers")).unwrap();
        let crowd = (1..=MEMBERS_MAX as u64).map(|id| (id, met(1, 1, 1)));
        *pins.known() = crowd.collect();
        assert_eq!(pins.check(1_000_000, met(1, 1, 1)), Err(Stranger::Unremembered));
        assert_eq!(pins.check(7, met(1, 2, 1)), Ok(()));
        // Who left makes room.
        pins.forget(&[8, 9]);
        assert_eq!(pins.check(1_000_000, met(1, 1, 1)), Ok(()));
        let pins = Pins::open(keep.path().join("peers")).unwrap();
        assert_eq!((pins.get(8), pins.get(7)), (None, Some([1; 16])));
    }
}
