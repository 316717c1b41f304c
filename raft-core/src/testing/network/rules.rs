//! What may pass between whom, and how long it takes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::disk::sim::random::Random;

/// Number of a host.
pub(super) type HostId = u16;

/// Time after which what was lost is sent again; doubled each time, as TCP does.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// How often one piece may be lost at most, so that nothing takes for ever that is not cut.
const LOSSES_MAX: u32 = 5;

/// What the rules are applied to: one direction of a connection.
pub(super) trait Flow: Send + Sync {
    /// Who sends, and who receives.
    fn ends(&self) -> (HostId, HostId);

    /// The rules have changed.
    fn wake(&self);

    /// Breaks it for both.
    fn reset(&self);
}

/// The state of all links.
pub(super) struct Rules {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    random: Random,
    cuts: BTreeSet<(HostId, HostId)>,
    dark: BTreeSet<HostId>,
    delay: RangeInclusive<Duration>,
    lost_per_mille: u16,
    flows: Vec<Weak<dyn Flow>>,
}

impl Rules {
    /// Everything passes, at once.
    pub(super) fn new(seed: u64) -> Rules {
        let state = State {
            random: Random::new(seed),
            cuts: BTreeSet::new(),
            dark: BTreeSet::new(),
            delay: Duration::ZERO..=Duration::ZERO,
            lost_per_mille: 0,
            flows: Vec::new(),
        };
        Rules { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Whether anything arrives.
    pub(super) fn passes(&self, from: HostId, to: HostId) -> bool {
        let state = self.lock();
        let dark = state.dark.contains(&from) || state.dark.contains(&to);
        !dark && !state.cuts.contains(&(from, to))
    }

    /// Draws how long a piece of data takes from now.
    pub(super) fn arrival(&self) -> Instant {
        Instant::now() + self.lock().transit()
    }

    /// Waits until a connection is made: a piece of data has passed in both directions.
    pub(super) async fn round_trip(&self, from: HostId, to: HostId) {
        loop {
            let changed = self.changed.notified();
            if self.passes(from, to) && self.passes(to, from) {
                break;
            }
            changed.await;
        }
        let there = self.lock().transit();
        let back = self.lock().transit();
        sleep_until(Instant::now() + there + back).await;
    }

    /// Takes note of a flow, to wake it when something changes.
    pub(super) fn watch(&self, flow: &Arc<impl Flow + 'static>) {
        let flow: Arc<dyn Flow> = Arc::clone(flow) as Arc<dyn Flow>;
        let mut state = self.lock();
        state.flows.retain(|flow| flow.strong_count() > 0);
        state.flows.push(Arc::downgrade(&flow));
    }

    pub(super) fn cut(&self, from: HostId, to: HostId) {
        self.lock().cuts.insert((from, to));
    }

    pub(super) fn mend(&self, from: HostId, to: HostId) {
        self.lock().cuts.remove(&(from, to));
        self.wake();
    }

    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.cuts.clear();
        state.delay = Duration::ZERO..=Duration::ZERO;
        state.lost_per_mille = 0;
        drop(state);
        self.wake();
    }

    pub(super) fn delay(&self, range: RangeInclusive<Duration>) {
        self.lock().delay = range;
    }

    pub(super) fn lose(&self, per_mille: u16) {
        self.lock().lost_per_mille = per_mille;
    }

    pub(super) fn reset(&self, one: HostId, other: HostId) {
        for flow in self.flows() {
            if [(one, other), (other, one)].contains(&flow.ends()) {
                flow.reset();
            }
        }
    }

    pub(super) fn switch_off(&self, host: HostId) {
        self.lock().dark.insert(host);
    }

    pub(super) fn switch_on(&self, host: HostId) {
        if !self.lock().dark.remove(&host) {
            return;
        }
        for flow in self.flows() {
            let (from, to) = flow.ends();
            if from == host || to == host {
                flow.reset();
            }
        }
        self.wake();
    }

    fn wake(&self) {
        self.changed.notify_waiters();
        self.flows().iter().for_each(|flow| flow.wake());
    }

    /// Collected first: a flow holds its own lock while it asks for the rules.
    fn flows(&self) -> Vec<Arc<dyn Flow>> {
        self.lock().flows.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn transit(&mut self) -> Duration {
        let (least, most) = (*self.delay.start(), *self.delay.end());
        let spread = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        let mut time = least + Duration::from_micros(self.random.below(spread.saturating_add(1)));
        let mut pause = RETRANSMISSION;
        for _ in 0..LOSSES_MAX {
            if self.random.below(1000) >= u64::from(self.lost_per_mille) {
                break;
            }
            time += pause;
            pause *= 2;
        }
        time
    }
}
