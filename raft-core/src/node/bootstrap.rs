//! Before a cluster is formed: does one exist already?
//!
//! Every member may be told to form the cluster, also one that lost its data and does not know any
//! more that it belongs to one. Two such members would be a majority of three, and an empty one.
//! So whoever is to form a cluster asks the others first; one that knows better says so.

use std::time::Duration;

use futures_util::future::join_all;
use telegraph_proto::raft::HelloRequest;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tonic::Code;

use crate::error::BootstrapError;
use crate::forward::Forward;
use crate::member::NodeId;

/// What the others say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whoever can be reached has no entry yet.
    Fresh,
    /// The cluster exists; its leader will tell us of it.
    Formed,
}

/// Asks everybody, for as long as a connection may take. Fails when somebody refuses us.
pub(crate) async fn ask_others(
    forward: &Forward,
    limit: Duration,
) -> Result<Answer, BootstrapError> {
    let us = forward.roster.identity().node_id;
    let others = forward.roster.members().keys().copied().filter(|id| *id != us);
    let asked = others.map(|id| async move {
        // Who cannot be reached says nothing.
        tokio::time::timeout(limit, ask(forward, id)).await.unwrap_or(Ok(Answer::Fresh))
    });
    let mut answer = Answer::Fresh;
    for one in join_all(asked).await {
        if one? == Answer::Formed {
            answer = Answer::Formed;
        }
    }
    Ok(answer)
}

async fn ask(forward: &Forward, id: NodeId) -> Result<Answer, BootstrapError> {
    let Some(channels) = forward.channels.get(id) else { return Ok(Answer::Fresh) };
    let mut client = RaftServiceClient::new(channels.application.clone());
    let caller = Some(forward.roster.caller_to(id));
    match client.hello(HelloRequest { caller, ..HelloRequest::default() }).await {
        Ok(reply) if !reply.get_ref().fresh => Ok(Answer::Formed),
        Err(refusal) if refusal.code() == Code::FailedPrecondition => {
            Err(BootstrapError::Refused { by: id, why: refusal.message().to_owned() })
        }
        _ => Ok(Answer::Fresh),
    }
}
