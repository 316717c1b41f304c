//! Everything that has to go out: one courier for each person with something to be told, woken by
//! events first and by a timer second.

mod backoff;
pub(crate) mod bell;
mod courier;
mod handover;
mod roster;
mod trouble;
mod visitor;

use crate::{
    delivery::{bell::Call, courier::Courier, roster::Roster},
    office::Office,
    store::error::StoreError,
};
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// People met last who are told when our address changes.
const RECENT: usize = 64;

/// The couriers of one messenger. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    roster: Arc<Roster>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Delivery {
    pub(crate) fn new(office: Arc<Office>, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { roster: Arc::new(Roster::new(office)), tasks, stop }
    }

    /// Takes up what was left undone by the process before.
    pub(crate) async fn resume(&self) -> Result<(), StoreError> {
        let store = &self.roster.office.store;
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
        if self.stop.is_cancelled() {
            return;
        }
        if let Some(bell) = self.roster.call(peer, call) {
            let courier = Courier::new(self.roster.clone(), peer, bell);
            self.tasks.spawn(courier.run(self.stop.clone()));
        }
    }

    /// Our address changed: those who wait for nothing but to know hear of it, too.
    pub(crate) async fn announce(&self) {
        let recent = self.roster.office.store.read(|view| view.newest_peers(RECENT)).await;
        let Ok(recent) = recent else { return };
        for peer in recent.iter().filter(|peer| peer.known && !peer.is_held()) {
            self.call(peer.number, Call::Knock);
        }
    }
}
