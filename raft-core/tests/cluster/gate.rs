//! A gate in front of a node that knows calls by their names, and can leave one unanswered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tower::ServiceExt as _;

#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    target: SocketAddr,
    call: &'static str,
    shut: Arc<watch::Sender<bool>>,
    swallowed: Arc<AtomicU64>,
}

impl Gate {
    /// Passes every call on to `target` but this one, which is taken and never answered.
    pub(crate) async fn start(target: SocketAddr, call: &'static str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shut = Arc::new(watch::Sender::new(true));
        let gate = Gate { address, target, call, shut, swallowed: Arc::default() };
        let keeper = gate.clone();
        let router = Router::new().fallback(move |request| pass(keeper.clone(), request));
        let server = Server::builder().add_routes(Routes::from(router));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        gate
    }

    /// How often the call was made.
    pub(crate) fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::Relaxed)
    }

    /// Passes it on, too, from now on.
    pub(crate) fn open(&self) {
        self.shut.send_replace(false);
    }
}

async fn pass(gate: Gate, request: Request) -> Response<Body> {
    if request.uri().path().ends_with(gate.call) && *gate.shut.borrow() {
        gate.swallowed.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<()>().await;
    }
    let channel = Endpoint::from_shared(format!("http://{}", gate.target)).unwrap().connect_lazy();
    match channel.oneshot(request.map(tonic::body::Body::new)).await {
        Ok(reply) => reply.map(Body::new),
        Err(_) => {
            let mut gone = Response::new(Body::empty());
            *gone.status_mut() = StatusCode::BAD_GATEWAY;
            gone
        }
    }
}
