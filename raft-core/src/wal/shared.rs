//! The mutex around [`Front`], and how threads wait on it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::log_store::Durable;
use crate::wal::front::{Front, Published, Work, share};
use crate::wal::reader::Reader;

/// What handles, readers and the writer share.
pub(super) struct Shared {
    front: Mutex<Front>,
    /// The writer sleeps here.
    work: Condvar,
    /// Callers sleep here that ignored the lack of room.
    drained: Condvar,
    backlog_max_bytes: usize,
    pub(super) reader: Reader,
}

impl Shared {
    pub(super) fn new(front: Front, backlog_max_bytes: usize, reader: Reader) -> Shared {
        Shared {
            front: Mutex::new(front),
            work: Condvar::new(),
            drained: Condvar::new(),
            backlog_max_bytes,
            reader,
        }
    }

    /// The front. If a thread panicked while it held the lock, the front may be half changed: the
    /// log has failed then.
    pub(super) fn lock(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(after_panic)
    }

    /// Makes a change and lets `done` be called when it is durable, or at once when it is refused.
    pub(super) fn submit(&self, done: Durable, change: impl FnOnce(&mut Front) -> io::Result<()>) {
        let mut front = self.lock();
        while front.backlog_bytes() > self.backlog_max_bytes && front.check_open().is_ok() {
            front = self.drained.wait(front).unwrap_or_else(after_panic);
        }
        match front.check_open().and_then(|()| change(&mut front)) {
            Ok(()) => {
                front.await_durable(done);
                let wake = std::mem::take(&mut front.writer_idle);
                drop(front);
                if wake {
                    self.work.notify_one();
                }
            }
            Err(error) => {
                drop(front);
                done(Err(error));
            }
        }
    }

    /// Waits for work; `None` when the log is closed and drained, or has failed.
    pub(super) fn await_work(&self, spare: &mut Vec<u8>) -> Option<Work> {
        let mut front = self.lock();
        loop {
            if let Some(work) = front.take(spare) {
                return Some(work);
            }
            if let Some(error) = front.failed.clone() {
                // Failed by a panic under the lock: those who wait have not been told yet.
                let rest = front.abandon();
                drop(front);
                refuse(rest.waiting, &error);
                self.wake(rest.wakes);
                return None;
            }
            if front.closing {
                return None;
            }
            front.writer_idle = true;
            front = self.work.wait(front).unwrap_or_else(after_panic);
        }
    }

    /// Tells everybody who waited for a group.
    pub(super) fn complete(&self, published: Published) {
        for done in published.waiting {
            if catch_unwind(AssertUnwindSafe(|| done(Ok(())))).is_err() {
                self.fail(io::Error::other("a callback of the log panicked"));
            }
        }
        self.wake(published.wakes);
        if catch_unwind(AssertUnwindSafe(|| self.lock().evict())).is_err() {
            self.fail(io::Error::other("the log's cache panicked"));
        }
    }

    /// Fails the log and tells everybody who waits.
    pub(super) fn fail(&self, error: io::Error) {
        let mut front = self.lock();
        let error = Arc::clone(front.failed.get_or_insert_with(|| Arc::new(error)));
        let rest = front.abandon();
        drop(front);
        refuse(rest.waiting, &error);
        self.wake(rest.wakes);
        self.work.notify_all();
    }

    /// Accepts nothing more; the writer ends when what was accepted is durable.
    pub(super) fn begin_close(&self) {
        let mut front = self.lock();
        front.closing = true;
        front.writer_idle = false;
        drop(front);
        self.work.notify_all();
        self.drained.notify_all();
    }

    /// Tells appenders that there is room, or that waiting for it is over.
    pub(super) fn wake(&self, wakes: Vec<Box<dyn FnOnce() + Send>>) {
        self.drained.notify_all();
        for wake in wakes {
            wake();
        }
    }
}

/// Calls everybody with the log's error.
fn refuse(waiting: Vec<Durable>, error: &Arc<io::Error>) {
    for done in waiting {
        // The log has failed already; a panic of one must not keep the error from the others.
        let _ = catch_unwind(AssertUnwindSafe(|| done(Err(share(error)))));
    }
}

fn after_panic(poisoned: PoisonError<MutexGuard<'_, Front>>) -> MutexGuard<'_, Front> {
    let mut front = poisoned.into_inner();
    let error = || Arc::new(io::Error::other("a thread panicked inside the log"));
    front.failed.get_or_insert_with(error);
    front
}
