//! What a call between two members costs when nothing is done.

use std::time::Instant;

use raft_core::tonic::service::Routes;
use raft_core::tonic::{Request, Response, Status, async_trait};
use telegraph_proto::identity::manager_service_client::ManagerServiceClient;
use telegraph_proto::identity::manager_service_server::{ManagerService, ManagerServiceServer};
use telegraph_proto::identity::{RenewReply, RenewRequest};
use tonic::transport::Channel;

use crate::taken::Taken;

/// Answers at once.
struct Echo;

#[async_trait]
impl ManagerService for Echo {
    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        Ok(Response::new(RenewReply::default()))
    }
}

/// The service, to be offered by a member.
pub(crate) fn service() -> Routes {
    Routes::new(ManagerServiceServer::new(Echo))
}

/// Calls it so many times, one after the other, with `bytes` bytes each time.
///
/// # Errors
///
/// When a call fails.
pub async fn round_trips(channel: Channel, bytes: usize, times: u64) -> Result<Taken, Status> {
    let mut client = ManagerServiceClient::new(channel);
    let request = RenewRequest { cluster_id: vec![7; bytes], ..RenewRequest::default() };
    let began = Instant::now();
    let mut each = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        client.renew(request.clone()).await?;
        each.push(began.elapsed());
    }
    Ok(Taken::new(began.elapsed(), each))
}
