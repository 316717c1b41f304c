//! How nodes come together: greetings, promises to form a cluster, and joining one.

use telegraph_proto::raft::{
    HelloReply, HelloRequest, JoinReply, JoinRequest, Member, PromiseReply, PromiseRequest,
};
use tonic::Status;

use super::Service;
use super::joining::is_fresh;
use crate::formats::{FORMAT, check_reader};
use crate::member::NodeId;
use crate::members::MemberRecord;

impl Service {
    /// Answers a greeting.
    pub(super) async fn answer_hello(&self, request: HelloRequest) -> Result<HelloReply, Status> {
        let caller = request.caller.as_ref();
        if caller.is_some_and(is_fresh) {
            return self.answer_fresh(request);
        }
        let said = request.member.map(MemberRecord::from).filter(|said| {
            caller.is_some_and(|caller| said.member.id == caller.from_node_id)
                && !said.member.address.is_empty()
        });
        let from = self.admit_greeting(caller, true, said.is_some()).await?;
        check_reader(request.oldest_readable_version, request.newest_readable_version)
            .map_err(|stranger| self.refuse(&stranger))?;
        if let (Some(caller), Some(said)) = (caller, said) {
            self.roster.note(caller, said);
        }
        Ok(self.greeting(from))
    }

    /// What we say of ourselves.
    pub(super) fn greeting(&self, to: NodeId) -> HelloReply {
        let mut reply = HelloReply {
            caller: Some(self.roster.caller_to(to)),
            member: Some(Member::from(self.roster.own())),
            oldest_readable_version: FORMAT,
            newest_readable_version: FORMAT,
            fresh: self.engine.is_fresh(),
            leader_node_id: self.engine.leader().unwrap_or_default(),
            time_unix_ms: self.engine.now_unix_ms(),
            bootstrap_expect: u32::try_from(self.roster.members().len()).unwrap_or(u32::MAX),
            ..HelloReply::default()
        };
        self.add_assembly(&mut reply);
        reply
    }

    /// Answers a request to promise that this node forms a cluster.
    pub(super) async fn answer_promise(
        &self,
        request: PromiseRequest,
    ) -> Result<PromiseReply, Status> {
        self.promise_formation(request).await
    }

    /// Answers a node that wants to be a member.
    pub(super) async fn answer_join(&self, request: JoinRequest) -> Result<JoinReply, Status> {
        if let Some(reply) = self.answer_member(&request).await? {
            return Ok(reply);
        }
        self.join_node(request).await
    }
}
