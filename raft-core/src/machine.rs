//! The thread on which a state machine lives.
//!
//! Whatever is done to the machine is a job, and jobs are done one after the other: the machine
//! needs no lock, and may block as long as a disk does without holding up consensus.

pub(crate) mod placed;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::state_machine::OnDiskStateMachine;

/// Jobs waiting: openraft submits one at a time, a snapshot may be wanted besides.
const JOBS: usize = 4;

type Job = Box<dyn FnOnce(&mut dyn OnDiskStateMachine) + Send>;

/// A handle of the machine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    halted: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// Moves a machine to a thread of its own. Fails when there are no more threads.
    pub(crate) fn start(machine: impl OnDiskStateMachine) -> io::Result<Machine> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(JOBS);
        let halted = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&halted);
        let mut machine = machine;
        let thread = std::thread::Builder::new().name("raft-machine".into()).spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                job(&mut machine);
            }
        })?;
        let shared =
            Shared { jobs: Mutex::new(Some(jobs)), halted, thread: Mutex::new(Some(thread)) };
        Ok(Machine { shared: Arc::new(shared) })
    }

    /// Does a job and returns its result. Fails when the machine was stopped, or panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn OnDiskStateMachine) -> T + Send + 'static,
    ) -> io::Result<T> {
        let jobs = lock(&self.shared.jobs).clone().ok_or_else(gone)?;
        let (done, result) = oneshot::channel();
        let job = Box::new(move |machine: &mut dyn OnDiskStateMachine| {
            let _ = done.send(job(machine));
        });
        jobs.send(job).await.map_err(|_| gone())?;
        drop(jobs);
        result.await.map_err(|_| gone())
    }

    /// Jobs that wait, and how many may.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        let free = lock(&self.shared.jobs).as_ref().map_or(JOBS, mpsc::Sender::capacity);
        (JOBS.saturating_sub(free) as u64, JOBS as u64)
    }

    /// Stops the thread and drops the machine. When `halting`, waiting jobs are dropped too; the
    /// one being done is finished either way.
    pub(crate) async fn stop(&self, halting: bool) {
        if halting {
            self.shared.halted.store(true, Ordering::Release);
        }
        drop(lock(&self.shared.jobs).take());
        let thread = lock(&self.shared.thread).take();
        if let Some(thread) = thread {
            let joined: Result<_, Box<dyn Any + Send>> =
                tokio::task::spawn_blocking(move || thread.join()).await.unwrap_or(Ok(()));
            if joined.is_err() {
                tracing::error!("the state machine panicked");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Only taken and cloned under the lock: a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> io::Error {
    io::Error::other("the state machine has stopped")
}
