//! How a proposal's reply gets back to whoever waits for it, and when it was committed.

use std::sync::Arc;

use openraft::raft::responder::Responder;
use openraft::type_config::alias::LogIdOf;
use openraft::{OptionalSend, RaftTypeConfig};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::meters::Meters;

/// Passes the reply on, and measures the time until a quorum had the command.
#[derive(Debug)]
pub(crate) struct Timed<T> {
    reply: oneshot::Sender<T>,
    given: Instant,
    meters: Arc<Meters>,
}

impl<T> Timed<T> {
    /// For a command that is given to consensus now.
    pub(crate) fn new(meters: &Arc<Meters>) -> (Timed<T>, oneshot::Receiver<T>) {
        let (reply, waiting) = oneshot::channel();
        (Timed { reply, given: Instant::now(), meters: Arc::clone(meters) }, waiting)
    }
}

impl<C: RaftTypeConfig, T: OptionalSend + 'static> Responder<C, T> for Timed<T> {
    fn on_commit(&mut self, _: LogIdOf<C>) {
        self.meters.commit.time(self.given.elapsed());
    }

    fn on_complete(self, result: T) {
        // Whoever waited may have given up.
        let _ = self.reply.send(result);
    }
}
