//! One TCP connection to one member, greeted.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use telegraph_proto::raft::{Caller, HelloRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{ConnectError, Status};

use crate::config::ClientConfig;
use crate::explain::explain;
use crate::pipe::{BATCH_BYTES, Pipe};
use crate::tls::Dialer;

/// Number in the place of a node's own when the caller is not a member.
const NOT_A_MEMBER: u64 = 0;
/// Version of `raft.proto` that is spoken here.
const PROTOCOL_VERSION: u32 = 1;
/// Room for what surrounds the commands in a message, in bytes.
const FRAME_BYTES: usize = 64 << 10;
/// Longest reply that is read, in bytes: an entry's limit, with room to spare.
const REPLY_MAX_BYTES: usize = 16 << 20;
/// A member that is silent for this long is asked whether it lives, and is given as long to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One connection to a member that has said who it is.
///
/// - When it is lost it stays lost: a later call fails before anything is sent.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where it leads to.
    pub(crate) address: String,
    /// The cluster the member belongs to.
    pub(crate) cluster_id: [u8; 16],
    /// The member's number; never 0.
    node_id: u64,
    pub(crate) service: RaftServiceClient<Channel>,
    /// What is proposed goes this way.
    pub(crate) pipe: Pipe,
}

impl Connection {
    /// Connects, and learns which node of which cluster is there.
    ///
    /// # Errors
    ///
    /// A sentence for a human: whatever failed, no command was sent.
    pub(crate) async fn open(
        address: &str,
        config: &ClientConfig,
        dialer: Option<&Dialer>,
        expected: Option<[u8; 16]>,
    ) -> Result<Connection, String> {
        let attempt = async {
            let stream = dial(address, dialer).await.map_err(|error| error.to_string())?;
            let channel = single(stream).await.map_err(|error| explain(&error))?;
            greet(address, channel, config, expected).await
        };
        match timeout(config.connect_timeout, attempt).await {
            Ok(outcome) => outcome.map_err(|why| format!("{address}: {why}")),
            Err(_) => Err(format!("{address}: no answer in {:?}", config.connect_timeout)),
        }
    }

    /// How a call through this connection names its caller and its addressee.
    pub(crate) fn caller(&self) -> Caller {
        caller(Some(self.cluster_id), self.node_id)
    }
}

/// Whether `status` stems from a connection that was lost before the call was sent.
pub(crate) fn never_sent(status: &Status) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn caller(cluster_id: Option<[u8; 16]>, to_node_id: u64) -> Caller {
    Caller {
        cluster_id: cluster_id.map(|id| id.to_vec().into()).unwrap_or_default(),
        from_node_id: NOT_A_MEMBER,
        to_node_id,
        protocol_version: PROTOCOL_VERSION,
        ..Caller::default()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Names are resolved at each connection: a container has another address after each restart.
async fn dial(address: &str, dialer: Option<&Dialer>) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    match dialer {
        Some(dialer) => Ok(Box::new(dialer.secure(tcp).await?)),
        None => Ok(Box::new(tcp)),
    }
}

/// A channel over `stream` and nothing but it. tonic would connect again on its own; here a second
/// time is an error, which tells a call that was not sent from one whose reply was lost.
async fn single(stream: Box<dyn Stream>) -> Result<Channel, tonic::transport::Error> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    Endpoint::from_static("http://member")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .connect_with_connector(connector)
        .await
}

async fn greet(
    address: &str,
    channel: Channel,
    config: &ClientConfig,
    expected: Option<[u8; 16]>,
) -> Result<Connection, String> {
    let mut service = RaftServiceClient::new(channel)
        .max_encoding_message_size(
            config.max_command_bytes.max(BATCH_BYTES).saturating_add(FRAME_BYTES),
        )
        .max_decoding_message_size(REPLY_MAX_BYTES);
    let request = HelloRequest { caller: Some(caller(expected, 0)), ..HelloRequest::default() };
    let reply = service.hello(request).await.map_err(|status| explain(&status))?.into_inner();
    let Some(there) = reply.caller else {
        return Err("it does not say who it is".to_owned());
    };
    let Ok(cluster_id) = <[u8; 16]>::try_from(there.cluster_id.as_ref()) else {
        return Err("it does not say which cluster it belongs to".to_owned());
    };
    if expected.is_some_and(|expected| expected != cluster_id) {
        return Err("it belongs to another cluster".to_owned());
    }
    if there.from_node_id == 0 {
        return Err("it does not say which node it is".to_owned());
    }
    let node_id = there.from_node_id;
    let pipe = Pipe::new(service.clone(), caller(Some(cluster_id), node_id));
    Ok(Connection { address: address.to_owned(), cluster_id, node_id, service, pipe })
}
