//! A member that says what changed about it, or wonders why nobody listens to it.

use bytes::Bytes;
use telegraph_proto::raft::join_refused::Reason;
use telegraph_proto::raft::join_reply::Result as Reply;
use telegraph_proto::raft::{JoinRefused, JoinReply, JoinRequest, Joined, NotLeader};
use tonic::Status;

use super::Service;
use crate::error::Stranger;
use crate::members::MemberRecord;

impl Service {
    /// Answers a member, and whoever was one or claims to be; `None` for a node that is to become
    /// one.
    ///
    /// What a member says of itself is noted wherever it says it, because others must reach it to
    /// elect a leader. The leader brings it into the membership (`node/upkeep.rs`), a little later:
    /// the member says it again until its own log has it.
    pub(super) async fn answer_member(
        &self,
        request: &JoinRequest,
    ) -> Result<Option<JoinReply>, Status> {
        let Some(caller) = &request.caller else { return Ok(None) };
        if caller.cluster_id.is_empty() {
            return Ok(None);
        }
        let id = match self.try_admit(Some(caller), true).await {
            Ok(id) => id,
            Err(stranger @ Stranger::Removed(_)) => {
                return Ok(Some(self.refuse_join(Reason::Removed, &stranger)));
            }
            Err(stranger @ (Stranger::Incarnation(_) | Stranger::Clone { .. })) => {
                return Ok(Some(self.refuse_join(Reason::IdTaken, &stranger)));
            }
            Err(stranger) => return Err(self.refuse(&stranger)),
        };
        if self.roster.listed(id).is_none() {
            return Ok(None);
        }
        if let Some(said) = &request.member {
            self.roster.note(caller, MemberRecord::from(said.clone()));
        }
        let leader = self.engine.leader();
        let result = if leader == Some(self.roster.identity().node_id) {
            Reply::Joined(Joined {
                cluster_id: Bytes::copy_from_slice(&self.roster.identity().cluster_id),
                membership: Some(self.engine.stored_membership()),
            })
        } else {
            let address = leader.and_then(|id| self.roster.addresses(id).into_iter().next());
            Reply::NotLeader(NotLeader {
                leader_node_id: leader.unwrap_or_default(),
                leader_address: address.unwrap_or_default(),
            })
        };
        Ok(Some(JoinReply { result: Some(result) }))
    }

    fn refuse_join(&self, reason: Reason, stranger: &Stranger) -> JoinReply {
        let detail = self.refuse(stranger).message().to_owned();
        let refused = JoinRefused { reason: reason.into(), detail };
        JoinReply { result: Some(Reply::Refused(refused)) }
    }
}
