//! Before a cluster is formed: does one exist already?
//!
//! Every member may be told to form the cluster, also one that lost its data and does not know any
//! more that it belongs to one. Two such members would be a majority of three, and an empty one.
//! So whoever is to form a cluster asks all the others first. One that knows better says so; one
//! that is away may know better, and is waited for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use telegraph_proto::raft::{HelloReply, HelloRequest};
use tonic::Code;

use crate::error::BootstrapError;
use crate::forward::Forward;
use crate::member::NodeId;

/// Pause between two rounds of questions: short beside an election, long beside a call.
const ROUND_PAUSE: Duration = Duration::from_millis(200);

/// Rounds after which the log says, again, for whom we wait: about every ten seconds.
const ROUNDS_PER_NOTICE: u32 = 50;

/// What another member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It belongs to this cluster-to-be, and has no entry yet.
    Fresh,
    /// It has entries: the cluster exists, and its leader will tell us of it.
    Formed,
    /// Nothing that counts.
    Away,
}

/// True if this node is to form the cluster: it has no entry, and all others have said in the same
/// round that they have none either. False if the cluster exists. Asks until one or the other is
/// certain, giving each member `limit` to answer; fails when one refuses us.
pub(crate) async fn may_form(forward: &Forward, limit: Duration) -> Result<bool, BootstrapError> {
    let mut round = 0_u32;
    loop {
        if !forward.engine.is_fresh() {
            return Ok(false);
        }
        let answers = ask_others(forward, limit).await?;
        forward.counters.bootstrap_round();
        if answers.iter().any(|(_, answer)| *answer == Answer::Formed) {
            return Ok(false);
        }
        let away = answers.iter().filter(|(_, answer)| *answer == Answer::Away);
        let away: Vec<NodeId> = away.map(|(id, _)| *id).collect();
        if away.is_empty() {
            return Ok(true);
        }
        if round.is_multiple_of(ROUNDS_PER_NOTICE) {
            tracing::info!(?away, "the cluster is formed when all members answer");
        }
        round = round.wrapping_add(1);
        tokio::time::sleep(ROUND_PAUSE).await;
    }
}

async fn ask_others(
    forward: &Forward,
    limit: Duration,
) -> Result<Vec<(NodeId, Answer)>, BootstrapError> {
    let us = forward.roster.identity().node_id;
    let others = forward.roster.members().into_keys().filter(|id| *id != us);
    let asked = others.map(|id| async move {
        let answer = tokio::time::timeout(limit, ask(forward, id)).await;
        Ok((id, answer.unwrap_or(Ok(Answer::Away))?))
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask(forward: &Forward, id: NodeId) -> Result<Answer, BootstrapError> {
    let Some(channels) = forward.channels.get(id) else { return Ok(Answer::Away) };
    let mut client = RaftServiceClient::new(channels.application);
    let caller = Some(forward.roster.caller_to(id));
    match client.hello(HelloRequest { caller, ..HelloRequest::default() }).await {
        Ok(reply) => Ok(judge(forward, id, reply.into_inner()).await),
        Err(refusal) if refusal.code() == Code::FailedPrecondition => {
            Err(BootstrapError::Refused { by: id, why: refusal.message().to_owned() })
        }
        Err(_) => Ok(Answer::Away),
    }
}

/// What a member's answer is worth: nothing, unless it is that member, of this very cluster.
async fn judge(forward: &Forward, id: NodeId, reply: HelloReply) -> Answer {
    let (roster, caller) = (Arc::clone(&forward.roster), reply.caller);
    // Remembering a member syncs a file.
    let recognised =
        tokio::task::spawn_blocking(move || roster.recognise(id, caller.as_ref())).await;
    match recognised {
        Ok(Ok(())) if reply.fresh => Answer::Fresh,
        Ok(Ok(())) => Answer::Formed,
        Ok(Err(stranger)) => {
            tracing::warn!(member = id, %stranger, "whoever answers there is not the member");
            Answer::Away
        }
        Err(_) => Answer::Away,
    }
}
