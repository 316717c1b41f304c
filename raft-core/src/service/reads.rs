//! Positions that readers elsewhere wait for.

use telegraph_proto::raft::proposal_refused::Reason;
use telegraph_proto::raft::read_index_reply::Result as ReadResult;
use telegraph_proto::raft::{Position, ProposalRefused, ReadIndexReply, ReadIndexRequest};
use tokio::time::timeout;
use tonic::Status;

use super::{Service, limit};
use crate::engine::refusal::{Unled, Unproposed};

impl Service {
    /// Answers a request for a read index.
    pub(super) async fn answer_read_index(
        &self,
        request: ReadIndexRequest,
    ) -> Result<ReadIndexReply, Status> {
        self.admit_any(request.caller.as_ref(), false).await?;
        let confirmed = timeout(limit(request.deadline_ms), self.reads.confirm_here()).await;
        let result = match confirmed.unwrap_or(Err(Unproposed::Unled(Unled::NotNow))) {
            Ok(at) => ReadResult::Position(Position { term: at.term, index: at.index }),
            Err(Unproposed::Unled(Unled::NotLeader(leader))) => {
                ReadResult::NotLeader(self.not_leader(leader))
            }
            Err(Unproposed::Stopped(_)) => ReadResult::Refused(ProposalRefused {
                reason: Reason::Stopped.into(),
                ..ProposalRefused::default()
            }),
            Err(_) => ReadResult::NotLeader(self.not_leader(None)),
        };
        Ok(ReadIndexReply { result: Some(result) })
    }
}
