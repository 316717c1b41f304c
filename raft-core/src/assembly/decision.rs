//! What a node without a cluster does next, decided from what it heard in one round.
//!
//! Pure: no clock, no network. The order of the questions is the safety of it: a cluster that is,
//! or ever was, seen comes before one that could be formed, and a promise before both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::assembly::formation::Formation;
use crate::assembly::peer::Peer;

/// The id of a cluster.
pub(crate) type ClusterId = [u8; 16];

/// What this node is.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// As it wants to be listed.
    pub(crate) peer: Peer,
    /// How many nodes it expects.
    pub(crate) expect: u32,
    /// What it has promised to form.
    pub(crate) promise: Option<Formation>,
    /// Clusters other than that which it has seen, now or before.
    pub(crate) seen: BTreeSet<ClusterId>,
}

/// What another node answered to a greeting, in this round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Who it is.
    pub(crate) peer: Peer,
    /// Where it answered.
    pub(crate) at: String,
    /// True when it runs from a copy of this node's data directory.
    pub(crate) is_copy: bool,
    /// How many nodes it expects.
    pub(crate) expect: u32,
    /// Where it stands.
    pub(crate) standing: Standing,
}

/// Where a node stands that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It belongs to no cluster.
    Fresh {
        /// What it has promised to form.
        promised: Option<ClusterId>,
        /// Which cluster it has seen, for which it waits.
        seen: Option<ClusterId>,
        /// Whom it has met lately, itself included.
        met: Vec<Peer>,
    },
    /// It belongs to a cluster.
    Member {
        /// To which.
        cluster: ClusterId,
        /// True when it knows a leader.
        led: bool,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing, but to look again.
    Wait(Wait),
    /// Nothing until an operator has put something right, but to look again: he may have.
    Refuse(Refusal),
    /// Promise this formation, then ask these of its members to promise it, too.
    Ask {
        /// What is to be formed.
        formation: Formation,
        /// Who is to be asked, and where.
        whom: Vec<(Peer, String)>,
    },
    /// All have promised: form it.
    Form(Formation),
    /// Ask this cluster to take the node in, at any of these addresses.
    Join {
        /// Which.
        cluster: ClusterId,
        /// Where its members answered.
        at: Vec<String>,
    },
}

/// For what a node waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For more nodes.
    More {
        /// Names of those seen, this one included, sorted.
        seen: Vec<String>,
        /// How many there must be.
        expect: u32,
    },
    /// For the cluster to have a leader again.
    Leader(ClusterId),
    /// For any member of this cluster, which was seen before, to answer again.
    Return(ClusterId),
    /// For the cluster that these have seen.
    Sighted {
        /// Which.
        cluster: ClusterId,
        /// Names of fresh nodes.
        by: Vec<String>,
    },
    /// For these to find the same nodes as we do.
    Agreement(Vec<String>),
    /// For this one to ask us.
    Initiator(String),
    /// For these to be back, who have not promised yet, as far as we know.
    Promises(Vec<String>),
    /// For those who have promised to form a cluster: we can join it then.
    Others(Vec<String>),
}

/// What an operator must put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nodes of more than one cluster answer.
    TwoClusters(Vec<ClusterId>),
    /// There is a cluster that is not the promised one.
    Foreign {
        /// Theirs.
        cluster: ClusterId,
        /// Ours.
        promised: ClusterId,
    },
    /// Nodes of a cluster answer that is not the one seen before.
    Other {
        /// Theirs.
        cluster: ClusterId,
        /// The one seen before.
        seen: ClusterId,
    },
    /// Another node has this node's number, or runs from a copy of its data directory.
    Clone(Peer),
    /// Two nodes have one name.
    Namesakes(String),
    /// They expect another number of nodes.
    Expect {
        /// Who.
        who: String,
        /// Their number.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// A member of the promised formation has promised another one, or has lost its data before
    /// it promised: what was promised can never be formed.
    Lost(Vec<String>),
}

/// Decides.
pub(crate) fn decide(own: &Own, heard: &[Heard]) -> Decision {
    let is_clone = |h: &Heard| h.is_copy || h.peer.id == own.peer.id && !h.peer.is(&own.peer);
    if let Some(clone) = heard.iter().find(|h| is_clone(h)) {
        return Decision::Refuse(Refusal::Clone(clone.peer.clone()));
    }
    let clusters = clusters_of(heard);
    match &own.promise {
        Some(promise) => keep(own, promise, &clusters, heard),
        None if clusters.len() > 1 => {
            Decision::Refuse(Refusal::TwoClusters(clusters.into_iter().collect()))
        }
        None => match (clusters.first(), own.seen.first()) {
            (Some(cluster), Some(seen)) if !own.seen.contains(cluster) => {
                Decision::Refuse(Refusal::Other { cluster: *cluster, seen: *seen })
            }
            (Some(cluster), _) => join(*cluster, heard),
            (None, Some(seen)) => Decision::Wait(Wait::Return(*seen)),
            (None, None) => gather(own, heard),
        },
    }
}

/// The clusters of which members have answered.
pub(crate) fn clusters_of(heard: &[Heard]) -> BTreeSet<ClusterId> {
    heard.iter().filter_map(cluster_of).collect()
}

/// The formation of the first nodes by name, when there are enough; `None` before.
pub(crate) fn formation_of(mut peers: Vec<Peer>, expect: u32) -> Option<Formation> {
    let expect = usize::try_from(expect).ok()?;
    peers.sort();
    peers.dedup_by_key(|peer| peer.id);
    if peers.len() < expect {
        return None;
    }
    peers.truncate(expect);
    Formation::new(peers).ok()
}

fn cluster_of(heard: &Heard) -> Option<ClusterId> {
    match heard.standing {
        Standing::Member { cluster, .. } => Some(cluster),
        Standing::Fresh { .. } => None,
    }
}

fn join(cluster: ClusterId, heard: &[Heard]) -> Decision {
    let led = |h: &Heard| matches!(h.standing, Standing::Member { led: true, .. });
    if !heard.iter().any(led) {
        return Decision::Wait(Wait::Leader(cluster));
    }
    let members = heard.iter().filter(|h| cluster_of(h).is_some());
    Decision::Join { cluster, at: members.map(|h| h.at.clone()).collect() }
}

/// What is left to do for a promise that was given.
fn keep(
    own: &Own,
    promise: &Formation,
    clusters: &BTreeSet<ClusterId>,
    heard: &[Heard],
) -> Decision {
    let promised = promise.cluster_id();
    if clusters.contains(&promised) {
        // Somebody formed it: everybody has promised, and the first entry is the same.
        return Decision::Form(promise.clone());
    }
    // Of those who were to promise it, one that has seen a cluster never will.
    let sighted = sightings(heard.iter().filter(|h| promise.has(&h.peer)));
    let others = clusters.iter().chain(&own.seen).chain(sighted.keys());
    if let Some(cluster) = others.copied().find(|cluster| *cluster != promised) {
        return Decision::Refuse(Refusal::Foreign { cluster, promised });
    }
    let initiator = promise.initiator();
    let (mut whom, mut away, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for member in promise.members() {
        if member.is(&own.peer) {
            continue;
        }
        let answer = heard.iter().find(|h| h.peer.is(member));
        match answer.map(|h| (&h.standing, &h.at)) {
            Some((Standing::Fresh { promised: Some(theirs), .. }, _)) if *theirs == promised => {}
            // It had promised before it asked anybody, hence before we did.
            None if member.is(initiator) => {}
            Some((Standing::Fresh { promised: None, .. }, at)) => {
                whom.push((member.clone(), at.clone()));
            }
            Some(_) => lost.push(member.name.clone()),
            None if heard.iter().any(|h| h.peer.name == member.name) => {
                lost.push(member.name.clone());
            }
            None => away.push(member.name.clone()),
        }
    }
    if !lost.is_empty() {
        return Decision::Refuse(Refusal::Lost(lost));
    }
    if !whom.is_empty() {
        return Decision::Ask { formation: promise.clone(), whom };
    }
    match away.is_empty() {
        true => Decision::Form(promise.clone()),
        false => Decision::Wait(Wait::Promises(away)),
    }
}

/// What to do when all that is seen is nodes without a cluster.
fn gather(own: &Own, heard: &[Heard]) -> Decision {
    let mut peers: Vec<Peer> = heard.iter().map(|h| h.peer.clone()).collect();
    peers.push(own.peer.clone());
    peers.sort();
    peers.dedup_by_key(|peer| peer.id);
    if let Some((cluster, by)) = sightings(heard).pop_first() {
        return Decision::Wait(Wait::Sighted { cluster, by });
    }
    let namesakes = peers.windows(2).find(|pair| pair[0].name == pair[1].name);
    if let Some([first, _]) = namesakes {
        return Decision::Refuse(Refusal::Namesakes(first.name.clone()));
    }
    if let Some(other) = heard.iter().find(|h| h.expect != own.expect) {
        let (who, theirs, ours) = (other.peer.name.clone(), other.expect, own.expect);
        return Decision::Refuse(Refusal::Expect { who, theirs, ours });
    }
    let has_promised = |h: &&Heard| matches!(h.standing, Standing::Fresh { promised: Some(_), .. });
    let promised: Vec<String> =
        heard.iter().filter(has_promised).map(|h| h.peer.name.clone()).collect();
    if !promised.is_empty() {
        // If we are in their list, whoever has promised it will ask us.
        return Decision::Wait(Wait::Others(promised));
    }
    let seen = peers.iter().map(|peer| peer.name.clone()).collect();
    let Some(formation) = formation_of(peers, own.expect) else {
        return Decision::Wait(Wait::More { seen, expect: own.expect });
    };
    if !formation.has(&own.peer) {
        return Decision::Wait(Wait::Others(formation.names()));
    }
    let members: Vec<&Heard> = heard.iter().filter(|h| formation.has(&h.peer)).collect();
    let disagree = members.iter().filter(|h| !finds(h, &formation));
    let disagree: Vec<String> = disagree.map(|h| h.peer.name.clone()).collect();
    if !disagree.is_empty() {
        return Decision::Wait(Wait::Agreement(disagree));
    }
    let initiator = formation.initiator();
    if !initiator.is(&own.peer) {
        return Decision::Wait(Wait::Initiator(initiator.name.clone()));
    }
    let whom = members.iter().map(|h| (h.peer.clone(), h.at.clone())).collect();
    Decision::Ask { formation, whom }
}

/// Which clusters fresh nodes have seen, and the names of those nodes.
fn sightings<'a>(heard: impl IntoIterator<Item = &'a Heard>) -> BTreeMap<ClusterId, Vec<String>> {
    let mut sightings: BTreeMap<ClusterId, Vec<String>> = BTreeMap::new();
    for h in heard {
        if let Standing::Fresh { seen: Some(seen), .. } = h.standing {
            sightings.entry(seen).or_default().push(h.peer.name.clone());
        }
    }
    sightings
}

/// Whether another node would form the same cluster of those it has met.
fn finds(heard: &Heard, formation: &Formation) -> bool {
    let Standing::Fresh { met, .. } = &heard.standing else { return false };
    let theirs = formation_of(met.clone(), heard.expect);
    theirs.is_some_and(|theirs| theirs.ids() == formation.ids())
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::More { seen, expect } => {
                write!(f, "{}/{expect} nodes seen: {}", seen.len(), seen.join(", "))
            }
            Wait::Leader(cluster) => {
                write!(f, "cluster {} has no quorum", hex::encode(cluster))
            }
            Wait::Return(cluster) => write!(
                f,
                "cluster {} was seen before, and none of its members answers now",
                hex::encode(cluster)
            ),
            Wait::Sighted { cluster, by } => write!(
                f,
                "cluster {} was seen by {}, and none of its members answers now",
                hex::encode(cluster),
                by.join(", ")
            ),
            Wait::Agreement(with) => {
                write!(f, "these do not see the same nodes yet: {}", with.join(", "))
            }
            Wait::Initiator(name) => write!(f, "{name} is to ask for promises"),
            Wait::Promises(of) => write!(f, "promises are missing, of: {}", of.join(", ")),
            Wait::Others(names) => {
                write!(f, "a cluster is being formed by others: {}", names.join(", "))
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TwoClusters(clusters) => {
                let clusters: Vec<String> = clusters.iter().map(hex::encode).collect();
                write!(f, "nodes of several clusters answer: {}", clusters.join(", "))
            }
            Refusal::Foreign { cluster, promised } => write!(
                f,
                "cluster {} was seen, and this node has promised to form {}: an operator must \
                 release that",
                hex::encode(cluster),
                hex::encode(promised)
            ),
            Refusal::Other { cluster, seen } => write!(
                f,
                "cluster {} answers, and this node has seen {} before: an operator must release \
                 that, if it is no more",
                hex::encode(cluster),
                hex::encode(seen)
            ),
            Refusal::Clone(peer) => write!(
                f,
                "another node runs from a copy of this node's data directory, or has its number: \
                 {peer}; start one of them from an empty directory"
            ),
            Refusal::Namesakes(name) => write!(f, "two nodes are called {name}"),
            Refusal::Expect { who, theirs, ours } => {
                write!(f, "{who} expects {theirs} nodes, this node expects {ours}")
            }
            Refusal::Lost(names) => write!(
                f,
                "what was promised can never be formed, an operator must release it: {} came \
                 back as another node or has promised something else",
                names.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests;
