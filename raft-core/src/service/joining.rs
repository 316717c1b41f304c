//! What nodes without a cluster ask: who we are, whether we promise, whether we take them in.

use telegraph_proto::raft as proto;
use tonic::Status;

use super::{Assembling, Service};
use crate::assembly::assembler::promised;
use crate::assembly::naming::Unsound;
use crate::assembly::peer::Peer;

/// True for whoever belongs to no cluster yet, and does not know whom it has reached.
pub(super) fn is_fresh(caller: &proto::Caller) -> bool {
    caller.cluster_id.is_empty() && caller.from_node_id != 0 && caller.to_node_id == 0
}

impl Service {
    /// Answers the greeting of a node without a cluster.
    pub(super) fn answer_fresh(
        &self,
        request: proto::HelloRequest,
    ) -> Result<proto::HelloReply, Status> {
        let admitted = self.roster.admit_fresh(request.caller.as_ref(), true);
        let (id, incarnation) = admitted.map_err(|stranger| self.refuse(&stranger))?;
        let peer = applicant(request.member, id, incarnation);
        if let (Some(assembly), Ok(peer), false) = (&self.assembly, peer, self.roster.belongs()) {
            assembly.gathering.note(peer);
        }
        Ok(self.greeting(id))
    }

    /// What we say of ourselves to a node without a cluster, or about being without one.
    pub(super) fn add_assembly(&self, reply: &mut proto::HelloReply) {
        let Some(assembly) = &self.assembly else { return };
        reply.bootstrap_expect = assembly.gathering.settings.bootstrap_expect;
        if !self.roster.belongs() {
            assembly.gathering.answer(reply);
        }
    }

    /// Promises to form a cluster, or says why not.
    pub(super) async fn promise_formation(
        &self,
        request: proto::PromiseRequest,
    ) -> Result<proto::PromiseReply, Status> {
        let admitted = self.roster.admit_fresh(request.caller.as_ref(), false);
        let (id, incarnation) = admitted.map_err(|stranger| self.refuse(&stranger))?;
        let Some(assembly) = &self.assembly else {
            return Err(Status::failed_precondition("this node forms no cluster by itself"));
        };
        let listed = request.members.iter().find(|member| member.node_id == id).cloned();
        let promise = applicant(listed, id, incarnation).map_err(|why| why.to_string());
        let promise = match promise {
            Ok(from) => {
                let gathering = assembly.gathering.clone();
                // A promise is made durable before it is given.
                let given =
                    tokio::task::spawn_blocking(move || gathering.promise(&from, request)).await;
                given.unwrap_or_else(|error| Err(error.to_string()))
            }
            Err(why) => Err(why),
        };
        Ok(match promise {
            Ok((formation, new)) => {
                if new {
                    assembly.steward.notices.tell(promised(&formation));
                }
                proto::PromiseReply { promised: true, detail: String::new() }
            }
            Err(detail) => proto::PromiseReply { promised: false, detail },
        })
    }

    /// Takes a node in, or says who leads, or why not. One that belongs to our cluster, and is not
    /// listed there, was admitted as a caller before.
    pub(super) async fn join_node(
        &self,
        request: proto::JoinRequest,
    ) -> Result<proto::JoinReply, Status> {
        let admitted = self.roster.admit_applicant(request.caller.as_ref());
        let (id, incarnation) = admitted.map_err(|stranger| self.refuse(&stranger))?;
        let Some(Assembling { steward, .. }) = &self.assembly else {
            return Err(Status::failed_precondition("this cluster's members are its operator's"));
        };
        let unsound = |why: Unsound| Status::invalid_argument(why.to_string());
        let peer = applicant(request.member, id, incarnation).map_err(unsound)?;
        if !self.roster.belongs() {
            return Err(Status::failed_precondition("this node belongs to no cluster yet"));
        }
        let cluster_id = self.roster.identity().cluster_id;
        Ok(steward.answer(&peer, cluster_id, || self.leader_hint()).await)
    }

    fn leader_hint(&self) -> proto::NotLeader {
        let leader = self.engine.leader();
        let address = leader.and_then(|id| self.roster.addresses(id).into_iter().next());
        proto::NotLeader {
            leader_node_id: leader.unwrap_or_default(),
            leader_address: address.unwrap_or_default(),
        }
    }
}

/// What a caller says of itself; who it is its `Caller` has said.
fn applicant(said: Option<proto::Member>, id: u64, incarnation: [u8; 16]) -> Result<Peer, Unsound> {
    let peer = Peer::read(&said.unwrap_or_default())?;
    match peer.id == id && peer.incarnation == incarnation {
        true => Ok(peer),
        false => Err(Unsound("the caller speaks for another node")),
    }
}
