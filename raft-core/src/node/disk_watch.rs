//! Looking after the disk while a node runs: its room, its reserve and its pace.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::disk::{Disk, Space};
use crate::engine::Engine;
use crate::event::Event;
use crate::histogram::Distribution;
use crate::life::Life;
use crate::low_disk::{WaterMarks, must_refuse};
use crate::member::NodeId;
use crate::observer::Observer;
use crate::reserve;
use crate::status::{Role, Status};

/// Between two looks at the room: a disk of this world does not write the mark's gigabyte
/// meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks that find the disk low before leadership is handed over: where all disks run full at the
/// same time, the others must have had time to say so.
const LOW_LOOKS: u32 = 3;

/// Between two attempts to hand leadership to a member with room.
const HAND_OVER_PAUSE: Duration = Duration::from_secs(5);

/// Between two judgements of the pace.
const PACE_INTERVAL: Duration = Duration::from_secs(10);

/// Appends that make a judgement of the pace worth something.
const PACE_APPENDS: u64 = 20;

/// The share of the shortest election timeout that an append may take.
const PACE_SHARE: u32 = 2;

/// Watches the disk of one node.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    /// The disk.
    pub(crate) disk: Arc<dyn Disk>,
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// When it is low.
    pub(crate) marks: WaterMarks,
    /// Consensus here.
    pub(crate) engine: Engine,
    /// Who leads, and who votes.
    pub(crate) status: watch::Receiver<Status>,
    /// Where the room and the pace of appends are noted, and which members are low.
    pub(crate) observer: Observer,
    /// The shortest election timeout.
    pub(crate) election_min: Duration,
    /// Of the node: what is being written when it ends is waited for.
    pub(crate) life: Life,
}

impl DiskWatch {
    /// Watches for ever.
    pub(crate) async fn run(self) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace::new(Instant::now(), self.observer.meters.append_durable.read());
        let mut handed_over: Option<Instant> = None;
        let mut low_looks = 0_u32;
        loop {
            looks.tick().await;
            self.look().await;
            low_looks =
                if self.observer.low_disk.is_low() { low_looks.saturating_add(1) } else { 0 };
            let (refuses, successor) = self.judge();
            self.observer.low_disk.set_refuses(refuses);
            if let Some(to) = successor
                && low_looks >= LOW_LOOKS
                && handed_over.is_none_or(|at| at.elapsed() >= HAND_OVER_PAUSE)
            {
                handed_over = Some(Instant::now());
                tracing::info!(to, "the disk is low: leadership goes to a member with room");
                self.engine.hand_over(to).await;
            }
            if let Some(append) = pace.judge(
                Instant::now(),
                self.observer.meters.append_durable.read(),
                self.election_min,
            ) {
                let election_timeout_min = self.election_min;
                self.observer.events.tell(Event::DiskSlow { append, election_timeout_min });
            }
            self.observer.meters.disk_slow.set(u64::from(pace.slow));
        }
    }

    /// Measures the room, tells when that matters, and keeps the reserve.
    async fn look(&self) {
        let (disk, dir, marks) = (Arc::clone(&self.disk), self.dir.clone(), self.marks);
        let was_low = self.observer.low_disk.is_low();
        // The directory is nobody else's before this has ended.
        let alive = self.life.token();
        let looked = tokio::task::spawn_blocking(move || {
            let _alive = alive;
            let space = disk.space(&dir)?;
            let roomy = space.free_bytes >= marks.recovered_bytes(space.total_bytes);
            if roomy
                && !was_low
                && let Err(error) =
                    reserve::keep(&*disk, &dir, marks.reserve_bytes(space.total_bytes))
            {
                tracing::warn!(%error, "there is no reserve for a start on a full disk");
            }
            Ok::<Space, std::io::Error>(space)
        });
        match looked.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(space) => self.observer.note_space(space, marks),
            Err(error) => tracing::warn!(%error, "the room of the disk is unknown"),
        }
    }

    /// Whether commands must be refused, and who should lead instead of this node.
    fn judge(&self) -> (bool, Option<NodeId>) {
        let here = self.observer.low_disk.is_low();
        let status = self.status.borrow();
        if status.role != Role::Leader {
            return (here, None);
        }
        let us = status.node_id;
        let low = |id: NodeId| match id == us {
            true => here,
            false => self.observer.meters.peer(id).low_disk.load(Ordering::Relaxed),
        };
        let refuses = must_refuse(here, status.voters.iter().map(|voter| low(voter.id)));
        let fit = |id: &NodeId| {
            let reachable = self.observer.meters.peer(*id).contacts.is_connected();
            *id != us && status.voters.iter().any(|voter| voter.id == *id) && reachable && !low(*id)
        };
        let successor = if here { self.engine.successors().into_iter().find(fit) } else { None };
        (refuses, successor)
    }
}

/// Whether appends have lately become durable in time.
struct Pace {
    before: Distribution,
    next: Instant,
    slow: bool,
}

impl Pace {
    fn new(at: Instant, before: Distribution) -> Pace {
        Pace { before, next: at + PACE_INTERVAL, slow: false }
    }

    /// The time of a slow append, when appends have just become too slow.
    fn judge(
        &mut self,
        at: Instant,
        now: Distribution,
        election_min: Duration,
    ) -> Option<Duration> {
        let recent = now.since(&self.before);
        if at < self.next || recent.count() < PACE_APPENDS {
            return None;
        }
        self.next = at + PACE_INTERVAL;
        self.before = now;
        let slow = recent.p99_time().filter(|p99| *p99 > election_min / PACE_SHARE);
        let was_slow = std::mem::replace(&mut self.slow, slow.is_some());
        slow.filter(|_| !was_slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Histogram, STEP};

    #[test]
    fn a_disk_that_becomes_slow_is_told_of_once_each_time() {
        let (appends, mut now) = (Histogram::new(&STEP), Instant::now());
        let mut pace = Pace::new(now, appends.read());
        let timeout = Duration::from_millis(200);
        let mut told = Vec::new();
        for millis in [1, 300, 300, 1, 300] {
            (0..30).for_each(|_| appends.time(Duration::from_millis(millis)));
            assert_eq!(pace.judge(now, appends.read(), timeout), None, "it is too early");
            now += PACE_INTERVAL;
            told.push(pace.judge(now, appends.read(), timeout));
        }
        let slow = Some(Duration::from_millis(500));
        assert_eq!(told, [None, slow, None, None, slow]);
        // A few appends say nothing.
        let mut pace = Pace::new(now, appends.read());
        (0..19).for_each(|_| appends.time(Duration::from_secs(1)));
        assert_eq!(pace.judge(now + PACE_INTERVAL, appends.read(), timeout), None);
    }
}
