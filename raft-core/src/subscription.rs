//! Following what is applied, one command after the other.
//!
//! A subscriber has a place in the log, and nothing is kept for it but a few commands read ahead:
//! one that keeps up is served from the end of the log that is in memory for everybody, one that
//! is behind from the disk. However slow it is, it costs no more; when the log lets go of what it
//! has not seen, it is told so.

use std::collections::VecDeque;
use std::fmt;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use crate::change::Change;
use crate::engine::changes::{Changes, Unread};
use crate::error::{StopReason, SubscriptionError};
use crate::position::Position;

/// Commands as this node applies them, in order, each entry of the log once.
///
/// - Only what the state machine contains is told, never what may still be lost.
/// - A command that a session repeats or refuses was not applied, and is not told.
/// - At most 256 KiB of commands are held for it, or a single larger one, whether it is read or
///   not.
/// - It ends when the node stops, and does not keep it from stopping.
pub struct Subscription {
    changes: Changes,
    applied: watch::Receiver<Option<Position>>,
    ended: watch::Receiver<Option<StopReason>>,
    /// The last entry that was told, or passed over because it is no applied command.
    told: Position,
    /// The last entry read.
    read: Position,
    /// False until `told` was found in the log.
    is_known: bool,
    ready: VecDeque<Change>,
}

impl Subscription {
    /// Begins after `from`, or after what is applied now.
    pub(crate) fn begin(
        changes: Changes,
        from: Option<Position>,
        ended: watch::Receiver<Option<StopReason>>,
    ) -> Subscription {
        let applied = changes.applied();
        let told = from.unwrap_or_else(|| applied.borrow().unwrap_or_default());
        let is_known = from.is_none();
        let ready = VecDeque::new();
        Subscription { changes, applied, ended, told, read: told, is_known, ready }
    }

    /// Waits for the next command; `None` when the node has stopped. May be dropped while it waits
    /// and called again: nothing is lost.
    ///
    /// Fails when the command cannot be told any more, or its place is not in this log; then it
    /// fails always.
    pub async fn next(&mut self) -> Result<Option<Change>, SubscriptionError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                self.told = change.position;
                return Ok(Some(change));
            }
            self.told = self.read;
            let Some(applied) = self.reached().await else { return Ok(None) };
            match self.changes.read(self.read, self.is_known, applied).await {
                Ok(stretch) => {
                    assert!(stretch.last.index <= applied.index, "only what is applied is told");
                    (self.is_known, self.read) = (true, stretch.last);
                    self.ready.extend(stretch.changes);
                }
                Err(Unread::Purged(resume_from)) => {
                    return Err(SubscriptionError::Purged { resume_from });
                }
                Err(Unread::OtherLog) => {
                    return Err(SubscriptionError::OtherLog { position: self.read });
                }
                Err(Unread::Io(source)) => {
                    if self.changes.has_failed() {
                        // The node ends of it, or because of it.
                        let _ = self.ended.wait_for(Option::is_some).await;
                    }
                    if self.ended.borrow().is_some() {
                        return Ok(None);
                    }
                    return Err(SubscriptionError::Unreadable { source });
                }
            }
        }
    }

    /// Where it is: a subscription that begins from here goes on where this one stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.told
    }

    /// The same as a stream; it ends when the node stops, and after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Change, SubscriptionError>> + Send {
        stream::unfold(Some(self), |subscription| async {
            let mut subscription = subscription?;
            match subscription.next().await {
                Ok(change) => Some((Ok(change?), Some(subscription))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Waits until something is applied that was not read; `None` when the node has stopped.
    async fn reached(&mut self) -> Option<Position> {
        let (read, is_known) = (self.read.index, self.is_known);
        let reached = self.applied.wait_for(|at| match at {
            // A place that is in doubt is looked for as soon as it can be there.
            Some(at) => at.index > read || (!is_known && at.index == read),
            None => false,
        });
        tokio::select! {
            biased;
            _ = self.ended.wait_for(Option::is_some) => None,
            at = reached => at.ok().and_then(|at| *at),
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("told", &self.told).finish_non_exhaustive()
    }
}
