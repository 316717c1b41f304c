//! What a failed call proves about its request, and how long it may still take.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};

/// True when a request certainly was not acted on: there was no connection to send it over, or the
/// member refused its caller.
pub(crate) fn is_unsent(refusal: &Status) -> bool {
    if matches!(refusal.code(), Code::FailedPrecondition | Code::Unimplemented) {
        return true;
    }
    let mut source = refusal.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// A time as it is told to another member, in milliseconds: never 0, which would mean that there is
/// no limit.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use telegraph_proto::raft as proto;
    use telegraph_proto::raft::raft_service_client::RaftServiceClient;

    use super::*;
    use crate::channels::Channels;
    use crate::life::Life;
    use crate::transport::{Tcp, Transport};

    async fn refusal(address: String) -> Status {
        let limit = Duration::from_secs(10);
        let transport: Arc<dyn Transport> = Arc::new(Tcp);
        let places = Arc::new(move |_| vec![address.clone()]);
        let channels = Channels::new(&transport, places, None, limit, &Life::default());
        let channel = channels.get(2).unwrap().application;
        RaftServiceClient::new(channel).hello(proto::HelloRequest::default()).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_refused_connection_proves_that_nothing_was_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(is_unsent(&refusal(address).await));
        assert!(is_unsent(&refusal("no such name.invalid:1".into()).await));
        assert!(is_unsent(&Status::failed_precondition("a stranger")));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_proves_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (refusal, ()) = tokio::join!(refusal(address), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request is on its way when its first bytes are here.
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 64]).await.unwrap();
        });
        assert!(!is_unsent(&refusal), "{refusal:?}");
        assert!(!is_unsent(&Status::unavailable("somewhere on the way")));
    }
}
