//! What a node knows of who belongs to its cluster, and from whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::member::{Member, NodeId};
use crate::members::MemberRecord;

/// What is known, by where it is known from.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// As configured: who counts until there is a membership.
    pub(crate) configured: BTreeMap<NodeId, Member>,
    /// What the membership says: the newest one and the last committed one together.
    pub(crate) listed: BTreeMap<NodeId, MemberRecord>,
    /// What nodes said of themselves when they last greeted us, or answered our greeting.
    pub(crate) met: BTreeMap<NodeId, MemberRecord>,
    /// Where others say that a member is.
    pub(crate) hinted: BTreeMap<NodeId, String>,
    /// Who left, and is never heard again.
    pub(crate) removed: BTreeSet<NodeId>,
}

impl Book {
    /// True for whoever is configured, listed or met.
    pub(crate) fn knows(&self, id: NodeId) -> bool {
        self.configured.contains_key(&id)
            || self.listed.contains_key(&id)
            || self.met.contains_key(&id)
    }
}
