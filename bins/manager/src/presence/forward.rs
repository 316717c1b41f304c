//! Passing renewals on to the leader, in batches.

use super::ear::MAX_RENEWALS;
use raft_core::{Node, NodeId};
use std::time::Duration;
use telegraph_proto::account::AccountId;
use telegraph_proto::identity::manager_service_client::ManagerServiceClient;
use telegraph_proto::identity::{RenewRequest, Renewal};
use tokio::time::Instant;

/// Time for one batch: the leader only puts it into a map.
const BATCH_DEADLINE: Duration = Duration::from_secs(1);

/// Why a batch did not arrive; it is kept and sent again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    #[error("there is no channel to node {0}")]
    NoChannel(NodeId),
    #[error("node {to} does not lead; it believes that {leader} does")]
    NotLeader { to: NodeId, leader: NodeId },
    #[error("node {to}: {source}")]
    Call { to: NodeId, source: Box<tonic::Status> },
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
}

/// Sends renewals to `leader`; returns those that did not arrive, with the reason.
pub(super) async fn forward(
    node: &Node,
    leader: NodeId,
    mut renewals: Vec<(AccountId, Instant)>,
) -> Result<(), (Vec<(AccountId, Instant)>, ForwardError)> {
    while !renewals.is_empty() {
        let rest = renewals.split_off(renewals.len().min(MAX_RENEWALS));
        let batch = std::mem::replace(&mut renewals, rest);
        if let Err(error) = send(node, leader, &batch).await {
            renewals.extend(batch);
            return Err((renewals, error));
        }
    }
    Ok(())
}

async fn send(
    node: &Node,
    leader: NodeId,
    batch: &[(AccountId, Instant)],
) -> Result<(), ForwardError> {
    assert!(batch.len() <= MAX_RENEWALS, "a batch is bounded");
    let now = Instant::now();
    let age_ms = |at: &Instant| {
        u64::try_from(now.saturating_duration_since(*at).as_millis()).unwrap_or(u64::MAX)
    };
    let renewals = batch
        .iter()
        .map(|(account, at)| Renewal {
            account_id: account.as_bytes().to_vec(),
            age_ms: age_ms(at),
        })
        .collect();
    let request = RenewRequest {
        cluster_id: node.cluster_id().to_vec(),
        from_node_id: node.status().node_id,
        renewals,
    };
    let channel = node.channel(leader).ok_or(ForwardError::NoChannel(leader))?;
    let mut client = ManagerServiceClient::new(channel);
    let call = tokio::time::timeout(BATCH_DEADLINE, client.renew(request)).await;
    let reply = call
        .map_err(|_| ForwardError::Timeout(leader))?
        .map_err(|source| ForwardError::Call { to: leader, source: Box::new(source) })?
        .into_inner();
    if reply.accepted {
        return Ok(());
    }
    Err(ForwardError::NotLeader { to: leader, leader: reply.leader_node_id })
}
