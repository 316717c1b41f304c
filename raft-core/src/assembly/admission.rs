//! Whether a leader takes a node in, decided from the members and from who is silent.

use std::time::Duration;

use telegraph_proto::raft::join_refused::Reason;

use crate::assembly::peer::Peer;
use crate::config::MEMBERS_MAX;
use crate::member::NodeId;
use crate::members::{MemberRecord, Members};

/// What a leader does with a node that asks to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is a member already.
    Listed,
    /// It becomes a learner; when `former` is given, that is its former self, whose place it takes
    /// once it has caught up.
    Admit {
        /// Its former self.
        former: Option<NodeId>,
    },
    /// First this learner is removed, its former self that never got a vote; then it asks again.
    Clear(NodeId),
    /// It is refused.
    Refuse(Reason, String),
}

/// Decides. `silence` tells for how long a member has not been heard of, `is_committed` whether the
/// committed membership lists it: what the newest one says alone may come to nothing.
pub(crate) fn judge(
    members: &Members,
    is_committed: impl Fn(NodeId) -> bool,
    peer: &Peer,
    silence: impl Fn(NodeId) -> Duration,
    patience: Duration,
) -> Verdict {
    let refuse = |reason, detail: String| Verdict::Refuse(reason, detail);
    if members.removed.contains(&peer.id) {
        return refuse(Reason::Removed, format!("node {} was removed for ever", peer.id));
    }
    if let Some(listed) = members.get(peer.id) {
        return match listed.incarnation {
            Some(other) if other != peer.incarnation => {
                refuse(Reason::IdTaken, format!("node {} has another data directory", peer.id))
            }
            _ if is_committed(peer.id) => Verdict::Listed,
            _ => refuse(Reason::NotNow, format!("node {} is not yet a member for good", peer.id)),
        };
    }
    if let Some((who, must)) =
        newest_read_by_all(members).filter(|(_, v)| *v > peer.readable_version)
    {
        let detail = format!("every voter reads version {must}, as node {who} does");
        return refuse(Reason::Version, detail);
    }
    let mut former: Vec<&MemberRecord> = namesakes(members, &peer.name).collect();
    // Learners first: they are only in the way.
    former.sort_by_key(|record| members.is_voter(record.member.id));
    for namesake in &former {
        let id = namesake.member.id;
        if silence(id) < patience {
            let detail = format!(
                "node {id} is called {}, too, and was heard of in the last {patience:?}",
                peer.name
            );
            return refuse(Reason::NameTaken, detail);
        }
    }
    match former.first().map(|record| record.member.id) {
        Some(id) if !members.is_voter(id) => Verdict::Clear(id),
        None if members.iter().count() >= MEMBERS_MAX => {
            refuse(Reason::NotNow, format!("the cluster has {MEMBERS_MAX} members, the most"))
        }
        former => Verdict::Admit { former },
    }
}

/// The members of that name.
pub(crate) fn namesakes<'a>(
    members: &'a Members,
    name: &'a str,
) -> impl Iterator<Item = &'a MemberRecord> {
    members.iter().filter(move |record| !name.is_empty() && record.member.name == name)
}

/// The newest command version that every voter reads, as far as they have said, and who reads no
/// newer one: entries up to it may be in the log.
fn newest_read_by_all(members: &Members) -> Option<(NodeId, u32)> {
    let said = members.voters.iter().filter(|record| record.readable_version > 0);
    said.map(|record| (record.member.id, record.readable_version)).min_by_key(|(_, v)| *v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn record(id: NodeId, name: &str) -> MemberRecord {
        MemberRecord {
            member: Member {
                id,
                address: format!("h{id}:1"),
                name: name.into(),
                ..Member::default()
            },
            incarnation: Some([id as u8; 16]),
            readable_version: 2,
            ..MemberRecord::default()
        }
    }

    fn members() -> Members {
        Members {
            voters: vec![record(1, "a"), record(2, "b"), record(3, "c")],
            learners: vec![record(4, "d")],
            removed: vec![9],
            ..Members::default()
        }
    }

    fn peer(id: NodeId, name: &str) -> Peer {
        Peer {
            name: name.into(),
            id,
            incarnation: [id as u8; 16],
            address: format!("h{id}:1"),
            service_address: String::new(),
            readable_version: 2,
        }
    }

    /// Only these have been silent for long.
    fn judged(silent: &[NodeId], peer: &Peer) -> Verdict {
        let silence = |id| if silent.contains(&id) { PATIENCE } else { Duration::ZERO };
        judge(&members(), |_| true, peer, silence, PATIENCE)
    }

    #[test]
    fn who_is_listed_by_an_entry_that_is_not_committed_is_no_member_yet() {
        let silence = |_| Duration::ZERO;
        let judged = judge(&members(), |id| id != 4, &peer(4, "d"), silence, PATIENCE);
        assert!(matches!(judged, Verdict::Refuse(Reason::NotNow, _)), "{judged:?}");
    }

    #[test]
    fn a_full_cluster_takes_in_only_who_takes_anothers_place() {
        let mut members = members();
        let most = u64::try_from(MEMBERS_MAX).unwrap();
        members.learners = (4..=most).map(|id| record(id, &format!("n{id}"))).collect();
        let silence = |_| PATIENCE;
        let judged = |peer| judge(&members, |_| true, &peer, silence, PATIENCE);
        let refused = judged(peer(99, "e"));
        assert!(matches!(refused, Verdict::Refuse(Reason::NotNow, _)), "{refused:?}");
        assert_eq!(judged(peer(99, "b")), Verdict::Admit { former: Some(2) });
        assert_eq!(judged(peer(99, "n4")), Verdict::Clear(4));
    }

    #[test]
    fn a_new_name_is_admitted_and_a_member_is_listed() {
        assert_eq!(judged(&[], &peer(11, "e")), Verdict::Admit { former: None });
        assert_eq!(judged(&[], &peer(2, "b")), Verdict::Listed);
        assert_eq!(judged(&[], &peer(4, "d")), Verdict::Listed);
    }

    #[test]
    fn a_wiped_node_takes_the_place_of_its_silent_former_self_and_of_no_living_one() {
        assert_eq!(judged(&[2], &peer(11, "b")), Verdict::Admit { former: Some(2) });
        for silent in [&[][..], &[1, 3]] {
            let refused = judged(silent, &peer(11, "b"));
            assert!(matches!(refused, Verdict::Refuse(Reason::NameTaken, _)), "{refused:?}");
        }
    }

    #[test]
    fn a_learner_that_was_wiped_before_it_got_a_vote_is_cleared_away_first() {
        assert_eq!(judged(&[4], &peer(11, "d")), Verdict::Clear(4));
        // Wiped twice: its first self still has the vote.
        let mut members = members();
        members.learners.push(record(5, "b"));
        let silent = |_| PATIENCE;
        let judged = judge(&members, |_| true, &peer(11, "b"), silent, PATIENCE);
        assert_eq!(judged, Verdict::Clear(5));
        let silent = |id| if id == 2 { PATIENCE } else { Duration::ZERO };
        let refused = judge(&members, |_| true, &peer(11, "b"), silent, PATIENCE);
        assert!(matches!(refused, Verdict::Refuse(Reason::NameTaken, _)), "{refused:?}");
    }

    #[test]
    fn removed_cloned_and_outdated_nodes_are_refused() {
        let refusals = [
            (Reason::Removed, peer(9, "b")),
            (Reason::IdTaken, Peer { incarnation: [77; 16], ..peer(2, "b") }),
            (Reason::Version, Peer { readable_version: 1, ..peer(11, "e") }),
        ];
        for (reason, peer) in refusals {
            let judged = judged(&[1, 2, 3, 4], &peer);
            assert!(matches!(&judged, Verdict::Refuse(why, _) if *why == reason), "{judged:?}");
        }
    }
}
