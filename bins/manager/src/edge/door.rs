//! The door of the REST edge: at most so many connections, each known to whoever shuts down.

use crate::metrics::{Count, Metrics};
use axum_server::accept::Accept;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::Service;

/// Lets connections in, before any byte of TLS is spoken.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    places: Arc<Semaphore>,
    tracker: TaskTracker,
    metrics: Arc<Metrics>,
}

impl Door {
    pub(crate) fn new(places: usize, tracker: TaskTracker, metrics: Arc<Metrics>) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), tracker, metrics }
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = TcpStream;
    type Service = Seated<S>;
    type Future = Ready<io::Result<(TcpStream, Seated<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.count(Count::TurnedAway);
            return ready(Err(io::Error::other("too many connections")));
        };
        // Answers are small and awaited; a stream that cannot be told so works all the same.
        let _ = stream.set_nodelay(true);
        let seat = Arc::new((place, self.tracker.token()));
        ready(Ok((stream, Seated { service, _seat: seat })))
    }
}

/// A connection's service; its place is free again when the last copy of it is gone.
#[derive(Debug, Clone)]
pub(crate) struct Seated<S> {
    service: S,
    _seat: Arc<(OwnedSemaphorePermit, TaskTrackerToken)>,
}

impl<R, S: Service<R>> Service<R> for Seated<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.service.call(request)
    }
}
