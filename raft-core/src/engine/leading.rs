//! What a node needs of consensus to form a cluster with others, and to care for its members while
//! it leads.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::refusal::Unformed;
use crate::engine::types::Place;
use crate::member::NodeId;
use crate::members::MemberRecord;

impl Engine {
    /// Forms a cluster of these voters, with everything that is known of them, if this node belongs
    /// to none. All who form it must know the same.
    pub(crate) async fn initialize_known(&self, members: &[MemberRecord]) -> Result<(), Unformed> {
        let places = members.iter().map(|record| (record.member.id, Place::from(record)));
        self.initialize_with(places.collect()).await
    }

    /// For how long a member has not answered this leader; `None` if unknown.
    pub(crate) fn silence(&self, id: NodeId) -> Option<Duration> {
        self.watched.silence(id)
    }

    /// The term this node leads, as long as a quorum confirms it.
    pub(crate) fn led_term(&self) -> Option<u64> {
        let seen = self.watched.seen();
        (seen.leads && seen.leader.is_some()).then_some(seen.vote.leader_id.term)
    }
}
