//! The client: what a program asks of a cluster, in a session or without one.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{Stream, StreamExt as _};

use crate::applied::{Applied, Position};
use crate::call::Call;
use crate::caller::Caller;
use crate::command::Command;
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::session::Session;

/// A client of one cluster; cheap to clone, and its clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    caller: Caller,
}

impl Client {
    /// Makes a client and connects it to the first member it finds, so that wrong addresses and
    /// credentials show now.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] and [`ClientError::Tls`] for what cannot work,
    /// [`ClientError::Unreachable`] if no member answered before the deadline.
    pub async fn connect(config: ClientConfig, limit: Duration) -> Result<Client, ClientError> {
        Ok(Client { caller: Caller::connect(config, limit).await? })
    }

    /// Proposes a command to the leader and waits until it is applied. It is sent again only as
    /// long as it cannot have been proposed.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; [`ClientError::may_have_happened`] tells whether it may have been.
    pub async fn propose(
        &self,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Applied, ClientError> {
        self.caller.send(command.into(), None, limit).await
    }

    /// Proposes many commands at once, which share messages, append requests and syncs of the
    /// disk. Gives one outcome for each, in their order. They are not atomic: each fares for
    /// itself, and they may be applied in another order than given, for one that could not be
    /// proposed at first is sent again behind the others. Who needs an order waits for each
    /// outcome.
    pub async fn propose_batch<C: Into<Command>>(
        &self,
        commands: impl IntoIterator<Item = C>,
        limit: Duration,
    ) -> Vec<Result<Applied, ClientError>> {
        let sent = commands.into_iter().map(|command| in_turn(self.propose(command, limit)));
        join_all(sent).await
    }

    /// Proposes the commands of a stream, at most `window` (at least 1) of them at a time: a slow
    /// cluster slows the stream down. Gives one outcome for each, in their order; each has `limit`
    /// from when it is taken. Those under way at the same time may be applied in another order than
    /// they came. Dropping it ends the waiting, and leaves open what became of those
    /// under way.
    pub fn propose_stream<'c, C: Into<Command>>(
        &'c self,
        commands: impl Stream<Item = C> + 'c,
        window: usize,
        limit: Duration,
    ) -> impl Stream<Item = Result<Applied, ClientError>> + 'c {
        let sent = commands.map(move |command| in_turn(self.propose(command, limit)));
        sent.buffered(window.max(1))
    }

    /// Opens a session, in which every command is applied exactly once.
    ///
    /// # Errors
    ///
    /// As [`Client::propose`]. Opening is harmless to repeat.
    pub async fn open_session(&self, limit: Duration) -> Result<Session, ClientError> {
        let mut client_id = [0; 16];
        getrandom::fill(&mut client_id).map_err(|error| ClientError::Refused {
            detail: format!("no random number for the session: {error}"),
        })?;
        self.open_session_as(client_id, limit).await
    }

    /// Opens a session under an id of the caller's choice, which nobody else may use: for work
    /// that has a name of its own, such as an idempotency key.
    ///
    /// # Errors
    ///
    /// As [`Client::propose`]. Opening is harmless to repeat.
    pub async fn open_session_as(
        &self,
        client_id: [u8; 16],
        limit: Duration,
    ) -> Result<Session, ClientError> {
        Session::open(&self.caller, client_id, limit).await
    }

    /// Goes on with an open session after a restart: `next_sequence` is the number that the next
    /// command gets. A command that was under way is given the number it had.
    #[must_use]
    pub fn resume_session(&self, client_id: [u8; 16], next_sequence: u64) -> Session {
        Session::resume(&self.caller, client_id, next_sequence)
    }

    /// A position such that whoever has applied it has applied everything acknowledged before this
    /// call (Raft dissertation, section 6.4).
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], [`ClientError::NoLeader`] or [`ClientError::Overloaded`]; it
    /// is asked again whatever happens to one attempt, for a read changes nothing.
    pub async fn read_index(&self, limit: Duration) -> Result<Position, ClientError> {
        self.caller.run(&Call::ReadIndex, limit).await.map(|applied| applied.position)
    }

    /// The cluster it talks to.
    #[must_use]
    pub fn cluster_id(&self) -> Option<[u8; 16]> {
        self.caller.cluster_id()
    }
}

/// A call that is made when it is first polled. Otherwise tokio lets a task that polls many of
/// them at once do only so much in a row, and takes up the rest in another order.
fn in_turn<F: Future>(call: F) -> impl Future<Output = F::Output> {
    tokio::task::unconstrained(call)
}
