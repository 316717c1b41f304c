//! Everything that has to go out: one courier for each person with something to be told, woken by
//! events first and by a timer second.

mod backoff;
pub(crate) mod bell;
mod courier;

use crate::{
    delivery::{
        bell::{Bell, Call},
        courier::Courier,
    },
    office::Office,
    store::error::StoreError,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// People met last who are told when our address changes.
const RECENT: usize = 64;

/// The couriers of one messenger. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    office: Arc<Office>,
    /// One for each person with a courier, who removes it when nothing is left to do.
    couriers: Mutex<HashMap<u64, Arc<Bell>>>,
    attempts: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Delivery {
    pub(crate) fn new(office: Arc<Office>, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let attempts = Semaphore::new(office.config.concurrent_recipients);
        let couriers = Mutex::default();
        Self { shared: Arc::new(Shared { office, couriers, attempts, tasks, stop }) }
    }

    /// Takes up what was left undone by the process before.
    pub(crate) async fn resume(&self) -> Result<(), StoreError> {
        let store = &self.shared.office.store;
        for peer in store.read(|view| view.peers_to_reach()).await? {
            self.call(peer, Call::Work);
        }
        for peer in store.read(|view| view.newest_peers(RECENT)).await? {
            if peer.username.is_none() {
                self.call(peer.number, Call::Name);
            }
        }
        Ok(())
    }

    /// There is something to do for `peer`.
    pub(crate) fn call(&self, peer: u64, call: Call) {
        if self.shared.stop.is_cancelled() {
            return;
        }
        let mut couriers = self.couriers();
        if let Some(bell) = couriers.get(&peer) {
            bell.ring(call);
            return;
        }
        let bell = Arc::new(Bell::default());
        bell.ring(call);
        couriers.insert(peer, bell.clone());
        let courier = Courier::new(self.clone(), peer, bell);
        self.shared.tasks.spawn(courier.run(self.shared.stop.clone()));
    }

    /// Our address changed: those who wait for nothing but to know hear of it, too.
    pub(crate) async fn announce(&self) {
        let recent = self.shared.office.store.read(|view| view.newest_peers(RECENT)).await;
        let Ok(recent) = recent else { return };
        for peer in recent.iter().filter(|peer| peer.known && !peer.is_held()) {
            self.call(peer.number, Call::Knock);
        }
    }

    fn office(&self) -> &Office {
        &self.shared.office
    }

    fn attempts(&self) -> &Semaphore {
        &self.shared.attempts
    }

    /// Lets a courier go, unless somebody called meanwhile.
    fn dismiss(&self, peer: u64, bell: &Bell) -> bool {
        let mut couriers = self.couriers();
        let free = bell.is_silent();
        if free {
            couriers.remove(&peer);
        }
        free
    }

    fn couriers(&self) -> MutexGuard<'_, HashMap<u64, Arc<Bell>>> {
        self.shared.couriers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
