//! The service of a node at its port, until it is told to end.

use std::io;

use telegraph_proto::raft::raft_service_server::RaftServiceServer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::Span;

use crate::channels::{
    CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_MAX_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::service::Service;
use crate::socket::Socket;

/// Calls under way on one connection: a member has a few streams and its forwarded commands.
const STREAMS_MAX: u32 = 4096;

/// Answers the calls of other members, and of the application's `services`, until `serving` is
/// cancelled and those under way have ended.
pub(crate) async fn serve(
    service: Service,
    services: Routes,
    sockets: mpsc::Receiver<io::Result<Socket>>,
    serving: CancellationToken,
    node: Span,
) {
    let service = RaftServiceServer::new(service)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let served = Server::builder()
        // The path says what is asked; who asks is added when that is known.
        .trace_fn(move |request| {
            let call = request.uri().path();
            tracing::debug_span!(parent: &node, "call", call, member = tracing::field::Empty)
        })
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(services.add_service(service))
        .serve_with_incoming_shutdown(ReceiverStream::new(sockets), serving.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the service between members ended");
    }
}
