//! Readers who wait until this node has applied enough, each woken once.
//!
//! Waiting for the watched position itself would wake all of them at each batch that is applied:
//! under many reads and writes a node would do little else.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::life::Life;
use crate::position::Position;

/// What was applied last, as it changes; `None` before the first entry.
type Applied = watch::Receiver<Option<Position>>;

/// The readers of one node; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    applied: Applied,
    waiting: Arc<Mutex<Waiting>>,
}

/// Invariant: whoever stands in `readers` asked for more than was applied when it was last looked,
/// and will be woken, because nobody is let in once `ended` is set.
#[derive(Debug, Default)]
struct Waiting {
    readers: BTreeMap<Place, oneshot::Sender<Position>>,
    next: u64,
    ended: bool,
}

/// What a reader waits for, and a number of its own.
type Place = (Position, u64);

impl Reached {
    /// Wakes readers as entries are applied, until `stopped` or the node's end.
    pub(crate) fn start(
        life: &Life,
        applied: Applied,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> Reached {
        let waiting = Arc::default();
        let (mut following, end) = (applied.clone(), End(Arc::clone(&waiting)));
        life.spawn(async move {
            tokio::pin!(stopped);
            loop {
                let at = following.borrow_and_update().unwrap_or_default();
                end.wake(at);
                tokio::select! {
                    changed = following.changed() => if changed.is_err() { return },
                    () = &mut stopped => return,
                }
            }
        });
        Reached { applied, waiting }
    }

    /// Waits until `upto` is applied, and tells how far it is then; `None` when it will not be.
    pub(crate) async fn wait(&self, upto: Position) -> Option<Position> {
        if let Some(at) = self.reached(upto) {
            return Some(at);
        }
        let (wake, woken) = oneshot::channel();
        let place = {
            let mut waiting = lock(&self.waiting);
            if waiting.ended {
                return None;
            }
            let place = (upto, waiting.next);
            waiting.next += 1;
            waiting.readers.insert(place, wake);
            place
        };
        let _leaves = Leaves { place, waiting: &self.waiting };
        // It may have been reached before we stood there.
        match self.reached(upto) {
            Some(at) => Some(at),
            None => woken.await.ok(),
        }
    }

    fn reached(&self, upto: Position) -> Option<Position> {
        Some(self.applied.borrow().unwrap_or_default()).filter(|at| *at >= upto)
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reader's place, which it leaves when it is done, or given up.
struct Leaves<'w> {
    place: Place,
    waiting: &'w Mutex<Waiting>,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        lock(self.waiting).readers.remove(&self.place);
    }
}

/// Whoever wakes the readers. When it is dropped, they are told that nobody will.
struct End(Arc<Mutex<Waiting>>);

impl End {
    fn wake(&self, at: Position) {
        let mut waiting = lock(&self.0);
        while let Some(first) = waiting.readers.first_entry() {
            if first.key().0 > at {
                return;
            }
            // Whoever waited may have given up.
            let _ = first.remove().send(at);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0);
        waiting.ended = true;
        waiting.readers.clear();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join_all, pending};
    use futures_util::poll;

    use super::*;

    fn at(index: u64) -> Position {
        Position { term: 1, index }
    }

    fn started() -> (Life, watch::Sender<Option<Position>>, Reached) {
        let life = Life::default();
        let applied = watch::Sender::new(None);
        let reached = Reached::start(&life, applied.subscribe(), pending());
        (life, applied, reached)
    }

    #[tokio::test]
    async fn everybody_is_woken_when_what_they_wait_for_is_there_and_not_before() {
        let (_life, applied, reached) = started();
        let mut late = Box::pin(reached.wait(at(9)));
        let early: Vec<_> = (1..=100).map(|_| reached.wait(at(3))).collect();
        let mut early = Box::pin(join_all(early));
        assert!(poll!(&mut early).is_pending() && poll!(&mut late).is_pending());
        applied.send_replace(Some(at(2)));
        tokio::task::yield_now().await;
        assert!(poll!(&mut early).is_pending());
        applied.send_replace(Some(at(5)));
        assert!(early.await.into_iter().all(|seen| seen == Some(at(5))));
        assert!(poll!(&mut late).is_pending());
        assert_eq!(reached.wait(at(4)).await, Some(at(5)), "what is there needs no waiting");
        applied.send_replace(Some(at(9)));
        assert_eq!(late.await, Some(at(9)));
        assert!(lock(&reached.waiting).readers.is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let (_life, _applied, reached) = started();
        let mut waiting = Box::pin(reached.wait(at(9)));
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(lock(&reached.waiting).readers.len(), 1);
        drop(waiting);
        assert!(lock(&reached.waiting).readers.is_empty());
    }

    #[tokio::test]
    async fn the_end_is_told_to_who_waits_and_to_who_comes_later() {
        let life = Life::default();
        let applied = watch::Sender::new(None);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let reached = Reached::start(&life, applied.subscribe(), stopped);
        let mut waiting = Box::pin(reached.wait(at(9)));
        assert!(poll!(&mut waiting).is_pending());
        drop(stop);
        assert_eq!(waiting.await, None);
        assert_eq!(reached.wait(at(9)).await, None);
    }
}
