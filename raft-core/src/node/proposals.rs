//! A node's calls that change the replicated state.

use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::time::Instant;

use crate::answer::wire_command;
use crate::applied::Applied;
use crate::command::Command;
use crate::error::ProposeError;
use crate::node::{Node, deadline};

/// Commands of a stream that are proposed together when that many are there at once.
const CHUNK: usize = 256;

/// Chunks of a stream under way: 4,096 commands at most. While all of them are, what comes gathers
/// to larger ones, so that a busy stream needs no more.
const CHUNKS_UNDER_WAY: usize = 16;

impl Node {
    /// Proposes a command, here or at the leader, and waits until it is applied there. Waits for
    /// a leader, if there is none, until `limit` has passed.
    ///
    /// The command may have been applied although an error is returned:
    /// [`ProposeError::may_have_happened`] tells. A [`Session`](crate::Session) tries again by
    /// itself then, and applies it once.
    pub async fn propose(
        &self,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Applied, ProposeError> {
        let began = Instant::now();
        let Command { payload, version } = command.into();
        let command = wire_command(version, payload, None);
        let outcome = self.running.forward.propose(command, deadline(limit)).await;
        self.counted(began, outcome)
    }

    /// Proposes commands together, so that they share appends and their cost, and gives the outcome
    /// of each, in order: some may be applied and others not. Commands that are under way at the
    /// same time may be applied in another order than given.
    ///
    /// They need not be few: no more than 4,096 are under way at a time, and each has `limit` from
    /// when it is. Those that find too many others under way wait, within it.
    pub async fn propose_batch<C: Into<Command>>(
        &self,
        commands: impl IntoIterator<Item = C>,
        limit: Duration,
    ) -> Vec<Result<Applied, ProposeError>> {
        let commands: Vec<Command> = commands.into_iter().map(Into::into).collect();
        self.propose_stream(stream::iter(commands), limit).collect().await
    }

    /// Proposes commands as they come, and gives the outcome of each, in order. Each has `limit`
    /// from when it is taken from the stream.
    ///
    /// Back-pressure goes both ways: no more than 4,096 commands are under way, none is refused
    /// because too many others are unless `limit` has passed, and nothing happens while the
    /// outcomes are not polled. Commands that are under way at the same time may be applied in
    /// another order than they came. When the outcomes are dropped, commands under way may still
    /// be applied.
    pub fn propose_stream<S>(
        &self,
        commands: S,
        limit: Duration,
    ) -> impl Stream<Item = Result<Applied, ProposeError>> + use<S>
    where
        S: Stream<Item: Into<Command>>,
    {
        let node = self.clone();
        commands
            .ready_chunks(CHUNK)
            .map(move |chunk| {
                let node = node.clone();
                let deadline = deadline(limit);
                let began = Instant::now();
                async move {
                    let commands = chunk.into_iter().map(|command| {
                        let Command { payload, version } = command.into();
                        wire_command(version, payload, None)
                    });
                    let commands = commands.collect();
                    let outcomes = node.running.forward.propose_all(commands, deadline).await;
                    let counted = outcomes.into_iter().map(|outcome| node.counted(began, outcome));
                    stream::iter(counted.collect::<Vec<_>>())
                }
            })
            .buffered(CHUNKS_UNDER_WAY)
            .flatten()
    }

    /// Proposes a command here, only if this node leads `term`: for what only that leader knows.
    /// Never passed on.
    pub async fn propose_in_term(
        &self,
        term: u64,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Applied, ProposeError> {
        let began = Instant::now();
        let Command { payload, version } = command.into();
        let command = wire_command(version, payload, None);
        let outcome = self.running.forward.propose_in_term(term, &command, deadline(limit)).await;
        self.counted(began, outcome)
    }

    /// Counts an outcome, and gives the reason of the node's end where that is the outcome.
    pub(crate) fn counted(
        &self,
        began: Instant,
        outcome: Result<Applied, ProposeError>,
    ) -> Result<Applied, ProposeError> {
        self.running.counters.proposal(&outcome);
        self.running.observer.meters.proposal(&outcome, began.elapsed());
        outcome.map_err(|error| match error {
            ProposeError::Stopped { proposed, .. } => {
                ProposeError::Stopped { reason: self.reason(), proposed }
            }
            other => other,
        })
    }
}
