//! Asking a cluster's leader, by way of any member, to take this node in.

use std::collections::BTreeSet;

use telegraph_proto::raft as proto;
use telegraph_proto::raft::join_refused::Reason;
use telegraph_proto::raft::join_reply::Result as Reply;

use crate::assembly::decision::ClusterId;
use crate::assembly::greeting::Greeter;
use crate::assembly::peer::Peer;
use crate::member::NodeId;
use crate::members::MemberRecord;

/// How often a node is sent on to another one: further hints go in circles.
const HINTS_MAX: usize = 5;

/// What came of it.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The node is a member.
    Yes {
        /// Everybody, as the leader knows them.
        listed: Vec<MemberRecord>,
        /// Who left.
        removed: BTreeSet<NodeId>,
    },
    /// Somebody must put something right.
    Refused(String),
    /// It may work later.
    NotNow(String),
}

/// Asks the members in turn until one leads or knows who does.
pub(crate) async fn join(
    greeter: &Greeter,
    cluster: ClusterId,
    members: Vec<(Peer, String)>,
) -> Joined {
    let mut last = String::new();
    for (peer, at) in members {
        match ask(greeter, cluster, peer.id, at).await {
            Ok(joined) => return joined,
            Err(why) => last = why,
        }
    }
    Joined::NotNow(format!("no leader takes this node in now; {last}"))
}

/// Asks one member, and whomever it points at; why nobody could say anything, if so.
async fn ask(
    greeter: &Greeter,
    cluster: ClusterId,
    id: NodeId,
    at: String,
) -> Result<Joined, String> {
    let (mut id, mut at) = (id, at);
    for _ in 0..=HINTS_MAX {
        match greeter.ask_join(id, &at).await?.result {
            Some(Reply::Joined(joined)) => {
                return read(cluster, joined).ok_or_else(|| format!("{at} gives no sense"));
            }
            Some(Reply::NotLeader(hint)) if hint.leader_node_id != 0 => {
                (id, at) = (hint.leader_node_id, hint.leader_address);
            }
            Some(Reply::NotLeader(_)) => return Err(format!("{at} knows no leader")),
            Some(Reply::Refused(refused)) => return Ok(refusal(&refused)),
            None => return Err(format!("{at} gives no sense")),
        }
    }
    Err("the members point at each other".into())
}

fn refusal(refused: &proto::JoinRefused) -> Joined {
    match refused.reason() {
        Reason::NotNow | Reason::Unspecified => Joined::NotNow(refused.detail.clone()),
        _ => Joined::Refused(refused.detail.clone()),
    }
}

fn read(cluster: ClusterId, joined: proto::Joined) -> Option<Joined> {
    if *joined.cluster_id != cluster {
        return None;
    }
    let membership = joined.membership?.membership?;
    let removed = membership.tombstones.into_iter().collect();
    let listed = membership.members.into_iter().map(MemberRecord::from).collect();
    Some(Joined::Yes { listed, removed })
}
