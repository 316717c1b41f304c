//! What managers say to each other beside consensus, served on the same port: who is not a member
//! by its certificate does not get here.

use crate::presence::ear::{Heard, MAX_RENEWALS, Presence};
use std::time::Duration;
use telegraph_proto::account::AccountId;
use telegraph_proto::identity::manager_service_server::{ManagerService, ManagerServiceServer};
use telegraph_proto::identity::{RenewReply, RenewRequest, Renewal};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::server::HealthReporter;

/// Most bytes of a message: a full batch of renewals takes 180 KiB.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// The services beside consensus, and the handle that says how healthy we are.
pub(crate) fn services(presence: Presence) -> (Routes, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let health = health.max_decoding_message_size(MAX_MESSAGE_BYTES);
    let managers = ManagerServiceServer::new(Managers { presence })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    (Routes::new(health).add_service(managers), reporter)
}

#[derive(Debug)]
struct Managers {
    presence: Presence,
}

#[tonic::async_trait]
impl ManagerService for Managers {
    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let request = request.into_inner();
        let cluster_id = self.presence.cluster_id().ok_or_else(not_running)?;
        if request.cluster_id != cluster_id {
            return Err(Status::failed_precondition("the caller belongs to another cluster"));
        }
        if !self.presence.is_member(request.from_node_id) {
            return Err(Status::failed_precondition("the caller is not a member"));
        }
        if request.renewals.len() > MAX_RENEWALS {
            let limit = format!("a batch has at most {MAX_RENEWALS} renewals");
            return Err(Status::invalid_argument(limit));
        }
        let renewals: Result<Vec<_>, Status> = request.renewals.iter().map(read).collect();
        let (accepted, leader) = match self.presence.receive(renewals?) {
            Heard::Accepted => (true, None),
            Heard::NotLeader(leader) => (false, leader),
            Heard::NotRunning => return Err(not_running()),
        };
        Ok(Response::new(RenewReply { accepted, leader_node_id: leader.unwrap_or(0) }))
    }
}

fn not_running() -> Status {
    Status::unavailable("starting or stopping")
}

fn read(renewal: &Renewal) -> Result<(AccountId, Duration), Status> {
    let account = AccountId::from_slice(&renewal.account_id)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok((account, Duration::from_millis(renewal.age_ms)))
}
