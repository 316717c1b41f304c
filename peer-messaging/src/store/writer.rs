//! The one thread that writes. What queues up while the disk is busy becomes durable together: one
//! fdatasync serves them all.

use crate::store::{
    database::{Database, Writing},
    error::StoreError,
    sealer::Sealer,
    view::View,
};
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{mpsc, oneshot};

/// Changes waiting for the disk; who comes later waits in line.
pub(crate) const QUEUE: usize = 1024;
/// Most changes of one commit: bounds what one of them waits for the others.
const GROUP: usize = 256;

/// The database, until it is closed.
pub(crate) type Slot = Arc<RwLock<Option<Database>>>;

/// A change that can be run again: a group in which another one failed is run one by one.
pub(crate) trait Operation: Send {
    fn run(&mut self, view: &View<'_, &Writing>) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A closure and where its result goes.
pub(crate) struct Asked<F, T> {
    change: F,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Asked<F, T> {
    pub(crate) fn new(change: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { change, result: None, reply }
    }
}

impl<F, T> Operation for Asked<F, T>
where
    F: FnMut(&View<'_, &Writing>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, view: &View<'_, &Writing>) -> Result<(), StoreError> {
        self.result = Some((self.change)(view)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let answer = match (outcome, result) {
            (Ok(()), Some(result)) => Ok(result),
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error),
        };
        // Who asked may have gone; the change stays.
        let _ = reply.send(answer);
    }
}

/// What the thread runs on.
pub(crate) struct Writer {
    pub(crate) queue: mpsc::Receiver<Box<dyn Operation>>,
    pub(crate) slot: Slot,
    pub(crate) sealer: Arc<Sealer>,
    /// Set: what is queued is dropped, as if the process had been killed.
    pub(crate) halted: Arc<AtomicBool>,
}

impl Writer {
    /// Runs until the queue is closed and empty, then closes the file.
    pub(crate) fn run(mut self) {
        let mut group: Vec<Box<dyn Operation>> = Vec::new();
        while let Some(first) = self.queue.blocking_recv() {
            group.push(first);
            while group.len() < GROUP
                && let Ok(next) = self.queue.try_recv()
            {
                group.push(next);
            }
            if self.halted.load(Ordering::Acquire) {
                group.clear();
                continue;
            }
            self.commit(&mut group);
        }
        // Waits for the readers before it.
        drop(self.slot.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn commit(&self, group: &mut Vec<Box<dyn Operation>>) {
        let outcome = self.attempt(group);
        if outcome.is_err() && group.len() > 1 {
            // One of them may be at fault; the others shall not suffer.
            for operation in group.drain(..) {
                let mut alone = vec![operation];
                let outcome = self.attempt(&mut alone);
                for operation in alone {
                    operation.answer(outcome.clone());
                }
            }
            return;
        }
        for operation in group.drain(..) {
            operation.answer(outcome.clone());
        }
    }

    fn attempt(&self, group: &mut [Box<dyn Operation>]) -> Result<(), StoreError> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let writing = slot.as_ref().ok_or(StoreError::Closed)?.write()?;
        let view = View::new(&writing, &self.sealer);
        for operation in group {
            operation.run(&view)?;
        }
        writing.commit()
    }
}
