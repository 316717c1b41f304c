//! What a node has promised to form, and which cluster it has seen before it belonged to any: what
//! it must not forget until then, kept in its data directory.
//!
//! ```text
//! DATA/promise    cluster id, and each member: number, incarnation, version, name, addresses
//! DATA/seen       a line for each cluster seen, of which there is one unless somebody erred
//! ```
//!
//! Text files that end with a checksum line and are replaced whole, as those of `identity.rs`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::assembly::decision::ClusterId;
use crate::assembly::formation::Formation;
use crate::assembly::peer::Peer;
use crate::error::StartError;
use crate::identity::cluster_line::{NO_CLUSTER, cluster_line, read_cluster};
use crate::identity::lines::{garbled, read_lines, write_lines};

/// Why a promise is not given.
#[derive(Debug, Error)]
pub(crate) enum Unpromised {
    /// Another one was.
    #[error("this node has promised to form cluster {0}")]
    Other(String),
    /// It belongs to a cluster, or has seen one, which it joins or waits for.
    #[error("this node belongs to a cluster, or has seen one")]
    Bound,
    /// It cannot be made durable.
    #[error("the promise cannot be kept on disk: {0}")]
    Io(#[from] io::Error),
}

/// The one promise of a node, and the cluster it has seen.
///
/// - At most one promise is ever given; none by a member, and none once a cluster was seen.
/// - Both are durable before anybody hears of them or acts on them. Neither expires: only an
///   operator makes the node forget them.
#[derive(Debug)]
pub(crate) struct Promises {
    path: PathBuf,
    seen_path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    given: Option<Formation>,
    seen: BTreeSet<ClusterId>,
    is_member: bool,
}

impl Promises {
    /// Reads what was promised and seen. Fails when a file cannot be read, or is damaged.
    pub(crate) fn open(data_dir: &Path, is_member: bool) -> Result<Promises, StartError> {
        let path = data_dir.join("promise");
        let given = match read_lines(&path)? {
            Some(lines) => Some(parse(&lines).ok_or_else(|| garbled(&path))?),
            None => None,
        };
        let seen_path = data_dir.join("seen");
        let seen = match read_lines(&seen_path)? {
            Some(lines) => parse_seen(&lines).ok_or_else(|| garbled(&seen_path))?,
            None => BTreeSet::new(),
        };
        Ok(Promises { path, seen_path, state: Mutex::new(State { given, seen, is_member }) })
    }

    /// What was promised.
    pub(crate) fn given(&self) -> Option<Formation> {
        self.state().given.clone()
    }

    /// The clusters that were seen, other than the promised one.
    pub(crate) fn seen(&self) -> BTreeSet<ClusterId> {
        self.state().seen.clone()
    }

    /// Promises, durably; the same again is no other promise, and gives false. Blocks.
    pub(crate) fn give(&self, formation: &Formation) -> Result<bool, Unpromised> {
        let mut state = self.state();
        match &state.given {
            Some(given) if given == formation => return Ok(false),
            Some(given) => return Err(Unpromised::Other(hex::encode(given.cluster_id()))),
            None if state.is_member || !state.seen.is_empty() => return Err(Unpromised::Bound),
            None => {}
        }
        write_lines(&self.path, &lines(formation))?;
        state.given = Some(formation.clone());
        Ok(true)
    }

    /// Notes that these clusters answer, durably, unless one was seen before; the promised one is
    /// none that was seen. No promise is given from now on. Blocks.
    pub(crate) fn see(&self, mut clusters: BTreeSet<ClusterId>) -> io::Result<()> {
        let mut state = self.state();
        if let Some(given) = &state.given {
            clusters.remove(&given.cluster_id());
        }
        if clusters.is_empty() || !state.seen.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = clusters.iter().map(|cluster| cluster_line(*cluster)).collect();
        write_lines(&self.seen_path, &lines)?;
        state.seen = clusters;
        Ok(())
    }

    /// Makes the promise come true by `adopt`, after which it cannot be released any more; `None`
    /// when it is not given. Blocks.
    pub(crate) fn redeem(
        &self,
        formation: &Formation,
        adopt: impl FnOnce() -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let mut state = self.state();
        if state.given.as_ref() != Some(formation) {
            return None;
        }
        let adopted = adopt();
        state.is_member |= adopted.is_ok();
        Some(adopted)
    }

    /// Forgets what was promised and seen, durably. False when that is nothing, and for a member.
    /// Blocks.
    pub(crate) fn release(&self) -> io::Result<bool> {
        let mut state = self.state();
        if state.is_member || (state.given.is_none() && state.seen.is_empty()) {
            return Ok(false);
        }
        if state.given.is_some() {
            remove(&self.path)?;
            state.given = None;
        }
        if !state.seen.is_empty() {
            remove(&self.seen_path)?;
            state.seen.clear();
        }
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        // Removed at an attempt before, of which the directory may not be synced.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn parse_seen(lines: &[String]) -> Option<BTreeSet<ClusterId>> {
    let cluster = |line: &String| read_cluster(line.strip_prefix("cluster ")?);
    let seen: Option<BTreeSet<ClusterId>> = lines.iter().map(cluster).collect();
    seen.filter(|seen| !seen.is_empty() && !seen.contains(&NO_CLUSTER))
}

fn lines(formation: &Formation) -> Vec<String> {
    let mut lines = vec![format!("cluster {}", hex::encode(formation.cluster_id()))];
    lines.extend(formation.members().iter().map(|member| {
        format!(
            "member {} {} {} {} {} {}",
            member.id,
            hex::encode(member.incarnation),
            member.readable_version,
            member.name,
            member.address,
            member.service_address
        )
    }));
    lines
}

fn parse(lines: &[String]) -> Option<Formation> {
    let (cluster, members) = lines.split_first()?;
    let members: Option<Vec<Peer>> = members.iter().map(|line| parse_member(line)).collect();
    let formation = Formation::new(members?).ok()?;
    let cluster = hex::decode(cluster.strip_prefix("cluster ")?).ok()?;
    (*cluster == formation.cluster_id()).then_some(formation)
}

fn parse_member(line: &str) -> Option<Peer> {
    let fields: Vec<&str> = line.split(' ').collect();
    let ["member", id, incarnation, version, name, address, service] = fields[..] else {
        return None;
    };
    Some(Peer {
        name: name.to_owned(),
        id: id.parse().ok()?,
        incarnation: hex::decode(incarnation).ok()?.try_into().ok()?,
        address: address.to_owned(),
        service_address: service.to_owned(),
        readable_version: version.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::NodeId;

    fn peer(id: NodeId, name: &str) -> Peer {
        Peer {
            name: name.into(),
            id,
            incarnation: [id as u8; 16],
            address: format!("{name}:1"),
            service_address: if id == 1 { "https://a:2".into() } else { String::new() },
            readable_version: 1,
        }
    }

    fn formation(ids: [NodeId; 2]) -> Formation {
        Formation::new(ids.map(|id| peer(id, &format!("n{id}"))).to_vec()).unwrap()
    }

    #[test]
    fn a_promise_outlives_the_process_and_excludes_every_other() {
        let keep = tempfile::tempdir().unwrap();
        let promises = Promises::open(keep.path(), false).unwrap();
        assert_eq!(promises.given(), None);
        assert!(promises.give(&formation([1, 2])).unwrap());
        assert!(!promises.give(&formation([1, 2])).unwrap());
        for promises in [promises, Promises::open(keep.path(), false).unwrap()] {
            assert_eq!(promises.given(), Some(formation([1, 2])));
            let refused = promises.give(&formation([1, 3]));
            assert!(matches!(refused, Err(Unpromised::Other(_))), "{refused:?}");
        }
    }

    #[test]
    fn who_has_seen_a_cluster_promises_nothing_also_after_a_restart_until_it_is_released() {
        let keep = tempfile::tempdir().unwrap();
        let promises = Promises::open(keep.path(), false).unwrap();
        promises.see(BTreeSet::new()).unwrap();
        promises.see(BTreeSet::from([[7; 16]])).unwrap();
        promises.see(BTreeSet::from([[8; 16]])).unwrap();
        for promises in [promises, Promises::open(keep.path(), false).unwrap()] {
            assert_eq!(promises.seen(), BTreeSet::from([[7; 16]]), "the one seen first");
            assert!(matches!(promises.give(&formation([1, 2])), Err(Unpromised::Bound)));
        }
        assert!(Promises::open(keep.path(), false).unwrap().release().unwrap());
        let promises = Promises::open(keep.path(), false).unwrap();
        assert!(promises.seen().is_empty());
        promises.give(&formation([1, 2])).unwrap();
        // The promised one is no other cluster.
        promises.see(BTreeSet::from([formation([1, 2]).cluster_id()])).unwrap();
        assert!(promises.seen().is_empty());
        let promises = Promises::open(&keep.path().join("other"), true).unwrap();
        assert!(matches!(promises.give(&formation([1, 2])), Err(Unpromised::Bound)));
    }

    #[test]
    fn a_promise_is_released_for_good_but_not_once_it_came_true() {
        let keep = tempfile::tempdir().unwrap();
        let promises = Promises::open(keep.path(), false).unwrap();
        assert!(!promises.release().unwrap());
        promises.give(&formation([1, 2])).unwrap();
        assert!(promises.release().unwrap());
        let promises = Promises::open(keep.path(), false).unwrap();
        assert_eq!(promises.given(), None);
        assert!(promises.redeem(&formation([1, 3]), || Ok(())).is_none());
        promises.give(&formation([1, 3])).unwrap();
        let failed = promises.redeem(&formation([1, 3]), || Err(io::Error::other("disk")));
        assert!(failed.unwrap().is_err());
        promises.redeem(&formation([1, 3]), || Ok(())).unwrap().unwrap();
        assert!(!promises.release().unwrap());
        assert_eq!(promises.given(), Some(formation([1, 3])));
    }

    /// What a node wrote that promised to form a cluster with one other.
    const PROMISE: &str = "cluster 7aea83ec713f9a624d8459c461f2bf2d\n\
        member 1 01010101010101010101010101010101 1 n1 n1:1 https://a:2\n\
        member 2 02020202020202020202020202020202 1 n2 n2:1 \n\
        crc32c ac19b486\n";

    #[test]
    fn a_change_of_the_file_breaks_every_promise_given_so_far() {
        let keep = tempfile::tempdir().unwrap();
        Promises::open(keep.path(), false).unwrap().give(&formation([1, 2])).unwrap();
        let path = keep.path().join("promise");
        assert_eq!(fs::read_to_string(&path).unwrap(), PROMISE);
        fs::write(&path, PROMISE).unwrap();
        let promises = Promises::open(keep.path(), false).unwrap();
        assert_eq!(promises.given(), Some(formation([1, 2])));
    }

    /// What a node wrote that saw one cluster.
    const SEEN: &str = "cluster 07070707070707070707070707070707\ncrc32c 5634c941\n";

    #[test]
    fn a_change_of_the_file_makes_nodes_forget_the_clusters_seen_so_far() {
        let keep = tempfile::tempdir().unwrap();
        let see = Promises::open(keep.path(), false).unwrap().see(BTreeSet::from([[7; 16]]));
        see.unwrap();
        let path = keep.path().join("seen");
        assert_eq!(fs::read_to_string(&path).unwrap(), SEEN);
        fs::write(&path, SEEN).unwrap();
        let promises = Promises::open(keep.path(), false).unwrap();
        assert_eq!(promises.seen(), BTreeSet::from([[7; 16]]));
    }

    #[test]
    fn damaged_files_are_refused_whatever_byte_differs() {
        let keep = tempfile::tempdir().unwrap();
        let promises = Promises::open(keep.path(), false).unwrap();
        promises.give(&formation([1, 2])).unwrap();
        promises.see(BTreeSet::from([[7; 16]])).unwrap();
        for name in ["promise", "seen"] {
            let path = keep.path().join(name);
            let whole = fs::read(&path).unwrap();
            for place in 0..whole.len() - 1 {
                let mut flipped = whole.clone();
                flipped[place] ^= 0x81;
                fs::write(&path, flipped).unwrap();
                let opened = Promises::open(keep.path(), false);
                assert!(matches!(opened, Err(StartError::Damaged(_))), "{name}, byte {place}");
            }
            fs::write(&path, whole).unwrap();
        }
    }
}
