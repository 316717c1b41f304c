//! Which couriers there are.

use crate::{
    delivery::bell::{Bell, Call},
    office::Office,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;

/// The couriers of one messenger, and their turns.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) office: Arc<Office>,
    /// Who visits now; others wait their turn.
    pub(crate) turns: Semaphore,
    /// One bell for each peer with a courier, who is removed when nothing is left to do.
    bells: Mutex<HashMap<u64, Arc<Bell>>>,
}

impl Roster {
    pub(crate) fn new(office: Arc<Office>) -> Self {
        let turns = Semaphore::new(office.config.concurrent_recipients);
        Self { office, turns, bells: Mutex::default() }
    }

    /// Calls the courier of `peer`. Returns the bell of a new one who has to be sent.
    pub(crate) fn call(&self, peer: u64, call: Call) -> Option<Arc<Bell>> {
        let mut bells = self.bells();
        if let Some(bell) = bells.get(&peer) {
            bell.ring(call);
            return None;
        }
        let bell = Arc::new(Bell::default());
        bell.ring(call);
        bells.insert(peer, bell.clone());
        Some(bell)
    }

    /// Lets a courier go, unless somebody called meanwhile.
    pub(crate) fn dismiss(&self, peer: u64, bell: &Bell) -> bool {
        let mut bells = self.bells();
        let free = bell.is_silent();
        if free {
            bells.remove(&peer);
        }
        free
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<u64, Arc<Bell>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
