//! Rounds that readers share: many wait for one answer of the leader, or of a quorum.
//!
//! At most one round is under way. Whoever comes meanwhile waits for the next one, because a round
//! that began before a reader came may confirm less than what the reader must see.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::life::Life;

/// Readers waiting for the next round, each a few bytes; more wait to be let in, until their own
/// deadlines.
const WAITING: usize = 4096;

/// What a round found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<T> {
    /// Its answer.
    pub(crate) answer: T,
    /// When it began: after all the readers who are given the answer had come.
    pub(crate) begun: Instant,
}

/// One kind of round; cheap to clone.
#[derive(Debug)]
pub(crate) struct Rounds<T> {
    inbox: mpsc::Sender<oneshot::Sender<Found<T>>>,
}

impl<T> Clone for Rounds<T> {
    fn clone(&self) -> Rounds<T> {
        Rounds { inbox: self.inbox.clone() }
    }
}

impl<T: Clone + Send + 'static> Rounds<T> {
    /// Goes round whenever somebody waits, until the node ends. A round must end by itself.
    pub(crate) fn start<F>(life: &Life, mut round: impl FnMut() -> F + Send + 'static) -> Rounds<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (inbox, mut coming) = mpsc::channel::<oneshot::Sender<Found<T>>>(WAITING);
        life.spawn(async move {
            let mut waiting = Vec::new();
            while coming.recv_many(&mut waiting, WAITING).await > 0 {
                // Whose deadline has passed, or who was cancelled.
                waiting.retain(|reader| !reader.is_closed());
                if waiting.is_empty() {
                    continue;
                }
                let begun = Instant::now();
                let found = Found { answer: round().await, begun };
                for reader in waiting.drain(..) {
                    // Nobody waiting any more is no error.
                    let _ = reader.send(found.clone());
                }
            }
        });
        Rounds { inbox }
    }

    /// Waits for a round that begins after this call; `None` when the node has ended.
    pub(crate) async fn join(&self) -> Option<Found<T>> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(answer).await.ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::Semaphore;

    /// Rounds that are numbered, and of which each waits for a permit.
    fn numbered(life: &Life) -> (Rounds<u64>, Arc<AtomicU64>, Arc<Semaphore>) {
        let (begun, permits) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let (count, gate) = (Arc::clone(&begun), Arc::clone(&permits));
        let rounds = Rounds::start(life, move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                number
            }
        });
        (rounds, begun, permits)
    }

    async fn until(mut holds: impl FnMut() -> bool) {
        while !holds() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_during_a_round_shares_the_next_one_with_all_the_others() {
        let life = Life::default();
        let (rounds, begun, permits) = numbered(&life);
        let first = tokio::spawn({
            let rounds = rounds.clone();
            async move { rounds.join().await.unwrap() }
        });
        until(|| begun.load(Ordering::SeqCst) == 1).await;
        let came = Instant::now();
        let late: Vec<_> = (0..1000)
            .map(|_| {
                let rounds = rounds.clone();
                tokio::spawn(async move { rounds.join().await.unwrap() })
            })
            .collect();
        until(|| rounds.inbox.capacity() == WAITING - 1000).await;
        permits.add_permits(2);
        let first = first.await.unwrap();
        assert_eq!(first.answer, 1);
        assert!(first.begun <= came);
        for reader in late {
            let found = reader.await.unwrap();
            assert_eq!(found.answer, 2, "a round that began before a reader came is not its own");
            assert!(found.begun >= came);
        }
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        life.end().await;
        assert_eq!(rounds.join().await, None);
    }

    #[tokio::test]
    async fn nobody_goes_round_for_readers_who_have_left() {
        let life = Life::default();
        let (rounds, begun, permits) = numbered(&life);
        let mut first = tokio::spawn({
            let rounds = rounds.clone();
            async move { rounds.join().await.unwrap() }
        });
        until(|| begun.load(Ordering::SeqCst) == 1).await;
        let mut gone = Box::pin(rounds.join());
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        permits.add_permits(1);
        assert_eq!((&mut first).await.unwrap().answer, 1);
        permits.add_permits(1);
        assert_eq!(rounds.join().await.unwrap().answer, 2);
        life.end().await;
    }
}
