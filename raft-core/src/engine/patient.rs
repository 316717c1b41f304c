//! Word of what is committed, which waits a moment for entries to travel with.
//!
//! openraft says at once, with a request of its own, how far is committed. Where somebody writes
//! one command after the other that request would be as frequent as those with entries, and the
//! next of them says the same.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use openraft::raft::AppendEntriesRequest;
use tokio::time::{Sleep, sleep};

use crate::engine::types::TypeConfig;

type Request = AppendEntriesRequest<TypeConfig>;

/// How long it waits, to which tokio's timer adds up to as much: about what somebody takes who
/// writes the next command when the one before is answered. Other members apply, and read what was
/// just written, as much later when nothing follows.
const PATIENCE: Duration = Duration::from_millis(1);

/// Requests to one member; one without entries is held for a while, and dropped when one with
/// entries comes: that one is later, so that it names no earlier commit index.
///
/// - What is held has no entries, and comes before the end.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    /// Gone once it has ended.
    input: Option<S>,
    held: Option<(Request, Pin<Box<Sleep>>)>,
}

impl<S> Patient<S> {
    pub(crate) fn new(input: S) -> Patient<S> {
        Patient { input: Some(input), held: None }
    }
}

impl<S: Stream<Item = Request> + Unpin> Stream for Patient<S> {
    type Item = Request;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Request>> {
        let Patient { input, held } = self.get_mut();
        while let Some(coming) = input {
            match coming.poll_next_unpin(context) {
                Poll::Ready(Some(request)) if request.entries.is_empty() => {
                    // Whoever speaks all the time must not be put off for ever.
                    let until = held.take().map_or_else(|| Box::pin(sleep(PATIENCE)), |(_, at)| at);
                    *held = Some((request, until));
                }
                Poll::Ready(Some(request)) => {
                    *held = None;
                    return Poll::Ready(Some(request));
                }
                Poll::Ready(None) => *input = None,
                Poll::Pending => break,
            }
        }
        let over = input.is_none();
        let due = |(_, until): &mut (Request, Pin<Box<Sleep>>)| {
            over || until.as_mut().poll(context).is_ready()
        };
        match held.take_if(due) {
            Some((request, _)) => Poll::Ready(Some(request)),
            None if over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types::{LogEntry, Payload, Vote, log_id};
    use crate::position::Position;
    use futures_util::FutureExt as _;
    use openraft::entry::RaftEntry as _;
    use tokio::sync::mpsc;
    use tokio::time::advance;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    /// One that says that `committed` is, with the entry `index` if there is one.
    fn request(committed: u64, index: Option<u64>) -> Request {
        let at = |index| log_id(Position { term: 1, index });
        let entries = index.map(|index| LogEntry::new(at(index), Payload::Blank));
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            leader_commit: Some(at(committed)),
            entries: entries.into_iter().collect(),
        }
    }

    fn patient() -> (mpsc::UnboundedSender<Request>, Patient<UnboundedReceiverStream<Request>>) {
        let (sender, input) = mpsc::unbounded_channel();
        (sender, Patient::new(UnboundedReceiverStream::new(input)))
    }

    /// What is committed by the next request, and how many entries it has; `None` if there is none
    /// yet.
    fn now(patient: &mut Patient<UnboundedReceiverStream<Request>>) -> Option<(u64, usize)> {
        patient.next().now_or_never().map(said)
    }

    fn said(next: Option<Request>) -> (u64, usize) {
        let next = next.expect("there is more");
        (next.leader_commit.unwrap().index, next.entries.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_of_commit_alone_waits_and_then_goes() {
        let (sender, mut patient) = patient();
        sender.send(request(4, None)).unwrap();
        assert_eq!(now(&mut patient), None);
        assert_eq!(said(patient.next().await), (4, 0));
        assert_eq!(now(&mut patient), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_of_commit_before_entries_goes_with_them() {
        let (sender, mut patient) = patient();
        sender.send(request(4, None)).unwrap();
        assert_eq!(now(&mut patient), None);
        sender.send(request(5, Some(6))).unwrap();
        assert_eq!(now(&mut patient), Some((5, 1)));
        advance(PATIENCE * 4).await;
        assert_eq!(now(&mut patient), None);
    }

    #[tokio::test(start_paused = true)]
    async fn entries_never_wait() {
        let (sender, mut patient) = patient();
        sender.send(request(4, Some(5))).unwrap();
        sender.send(request(4, Some(6))).unwrap();
        assert_eq!(now(&mut patient), Some((4, 1)));
        assert_eq!(now(&mut patient), Some((4, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_many_words_goes_when_the_first_has_waited() {
        let (sender, mut patient) = patient();
        sender.send(request(4, None)).unwrap();
        assert_eq!(now(&mut patient), None);
        advance(PATIENCE / 2).await;
        sender.send(request(5, None)).unwrap();
        assert_eq!(now(&mut patient), None);
        advance(PATIENCE / 2 + Duration::from_millis(1)).await;
        assert_eq!(now(&mut patient), Some((5, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_at_the_end_goes_at_once() {
        let (sender, mut patient) = patient();
        sender.send(request(4, None)).unwrap();
        drop(sender);
        assert_eq!(now(&mut patient), Some((4, 0)));
        assert!(patient.next().await.is_none());
    }
}
