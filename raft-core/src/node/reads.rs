//! A node's calls that read the replicated state.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::ReadError;
use crate::node::{Node, deadline};
use crate::position::Position;
use crate::read_level::ReadLevel;
use crate::subscription::Subscription;

impl Node {
    /// Waits until this node's state machine is as new as `level` asks, and returns the last entry
    /// it contains then; what the application reads of it afterwards is that new, or newer. Works
    /// on every member.
    ///
    /// Fails as [`ReadError`] says when that cannot be had within `limit`. A leader that is lost
    /// or does not answer meanwhile is no failure: the question is put again.
    pub async fn read(&self, level: ReadLevel, limit: Duration) -> Result<Position, ReadError> {
        if level == ReadLevel::Linearizable {
            self.running.counters.read();
        }
        let began = Instant::now();
        let read = self.running.reads.read(level, deadline(limit)).await;
        if level == ReadLevel::Linearizable {
            self.running.observer.meters.read(read.is_ok(), began.elapsed());
        }
        read.map_err(|error| match error {
            ReadError::Stopped(_) => ReadError::Stopped(self.reason()),
            other => other,
        })
    }

    /// [`Node::read`] at [`ReadLevel::Linearizable`].
    pub async fn read_barrier(&self, limit: Duration) -> Result<Position, ReadError> {
        self.read(ReadLevel::Linearizable, limit).await
    }

    /// Follows what this node applies from now on, or from the entry after `from`: the last one
    /// that was seen, on any member. `Position::default()` is the beginning. Works while the log
    /// still has what comes next, and otherwise fails at the first [`Subscription::next`]; a
    /// position that this node has yet to reach is waited for.
    #[must_use]
    pub fn subscribe(&self, from: Option<Position>) -> Subscription {
        Subscription::begin(self.running.engine.changes(), from, self.running.ended.clone())
    }
}
