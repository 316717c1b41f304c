//! The snapshots that are offered to other members: the newest one, or the one being sent.
//!
//! A transfer that broke off can only go on if the same file is offered again. So a file that is
//! being sent is offered in place of newer ones, and kept, and so is the log behind it, from which
//! the member goes on once it has the file; until all members it was begun for have it. A member
//! that does not come back for it, or takes too long, makes nobody keep anything for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::file::SnapshotFile;

/// Time in which a transfer that broke off may go on: a restart, a new machine plugged in.
const RESUMABLE: Duration = Duration::from_secs(10 * 60);

/// Snapshots that may be written while one is being sent, before that one is given up: so many
/// intervals between snapshots is how far the log may grow for it.
const NEWER_MAX: u32 = 8;

/// What is offered; cheap to clone.
///
/// - The log is not purged beyond the snapshot that is being sent.
/// - What is damaged is not sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    offers: Arc<Mutex<Offers>>,
    wanted: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Offers {
    newest: Option<SnapshotFile>,
    sent: Option<Sent>,
    /// The id of a snapshot whose file turned out damaged.
    damaged: Option<String>,
}

/// A snapshot of which a transfer was begun.
#[derive(Debug)]
struct Sent {
    file: SnapshotFile,
    /// Snapshots that became the newest since.
    newer: u32,
    /// To whom: not empty.
    transfers: BTreeMap<u64, Transfer>,
}

#[derive(Debug)]
struct Transfer {
    under_way: u32,
    /// When it was begun or broke off last.
    since: Instant,
}

/// The sending of a snapshot to a member, for as long as it goes on.
#[derive(Debug)]
pub(crate) struct Sending {
    served: Served,
    to: u64,
    id: String,
}

impl Served {
    /// Offers the newest snapshot, if there is one.
    pub(crate) fn new(newest: Option<SnapshotFile>) -> Served {
        let served = Served::default();
        served.lock().newest = newest;
        served
    }

    /// The newest snapshot.
    pub(crate) fn newest(&self) -> Option<SnapshotFile> {
        self.lock().newest.clone()
    }

    /// Takes over a snapshot that was built. One that was overtaken by a newer one that came in
    /// meanwhile is not.
    pub(crate) fn add(&self, file: SnapshotFile) {
        let mut offers = self.lock();
        let at = |file: &SnapshotFile| file.meta.last_applied.map(|at| at.index);
        if offers.newest.as_ref().is_some_and(|newest| at(newest) > at(&file)) {
            return;
        }
        if let Some(sent) = &mut offers.sent {
            sent.newer = sent.newer.saturating_add(1);
            // A file that was written over is not there any more.
            if sent.newer > NEWER_MAX || sent.file.path == file.path {
                offers.sent = None;
            }
        }
        offers.newest = Some(file);
    }

    /// Takes over a snapshot that came from a leader: this node sends none, and its log begins
    /// behind it.
    pub(crate) fn replace(&self, file: SnapshotFile) {
        self.lock().sent = None;
        self.add(file);
    }

    /// What to send to a member.
    pub(crate) fn offered(&self, now: Instant) -> Option<SnapshotFile> {
        self.sent(now).or_else(|| self.newest())
    }

    /// The snapshot that is being sent, or may still be: to be kept, with the log behind it.
    pub(crate) fn sent(&self, now: Instant) -> Option<SnapshotFile> {
        let mut offers = self.lock();
        let sent = offers.sent.as_mut()?;
        sent.transfers.retain(|_, transfer| {
            transfer.under_way > 0 || now.saturating_duration_since(transfer.since) < RESUMABLE
        });
        if sent.transfers.is_empty() {
            offers.sent = None;
        }
        offers.sent.as_ref().map(|sent| sent.file.clone())
    }

    /// Begins to send what was offered, or goes on with it. `None` when its file is damaged:
    /// another one is being written.
    pub(crate) fn begin(&self, to: u64, file: &SnapshotFile) -> Option<Sending> {
        let mut offers = self.lock();
        let id = file.meta.id.clone();
        if offers.damaged.as_ref() == Some(&id) {
            return None;
        }
        if offers.sent.is_none() && offers.newest.as_ref().is_some_and(|file| file.meta.id == id) {
            let (file, transfers) = (file.clone(), BTreeMap::new());
            offers.sent = Some(Sent { file, newer: 0, transfers });
        }
        // One that was offered just before it was given up is sent while its file is there.
        if let Some(sent) = offers.sent.as_mut().filter(|sent| sent.file.meta.id == id) {
            let begun = Transfer { under_way: 0, since: Instant::now() };
            sent.transfers.entry(to).or_insert(begun).under_way += 1;
        }
        Some(Sending { served: self.clone(), to, id })
    }

    /// Notes that a snapshot's file is damaged, and wants another one written.
    pub(crate) fn condemn(&self, file: &SnapshotFile) {
        let mut offers = self.lock();
        offers.damaged = Some(file.meta.id.clone());
        offers.sent.take_if(|sent| sent.file.meta.id == file.meta.id);
        self.wanted.notify_one();
    }

    /// Waits until another snapshot is wanted in place of a damaged one.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Offers> {
        // Changed in single steps: a panic leaves nothing half done.
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sending {
    /// The member has it.
    pub(crate) fn finish(self) {
        self.served.lock().sent.take_if(|sent| {
            let is_this = sent.file.meta.id == self.id;
            is_this && sent.transfers.remove(&self.to).is_some() && sent.transfers.is_empty()
        });
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut offers = self.served.lock();
        let sent = offers.sent.as_mut().filter(|sent| sent.file.meta.id == self.id);
        if let Some(transfer) = sent.and_then(|sent| sent.transfers.get_mut(&self.to)) {
            transfer.under_way = transfer.under_way.saturating_sub(1);
            transfer.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telegraph_proto::raft::{Position, SnapshotMeta};

    fn file(index: u64) -> SnapshotFile {
        let meta = SnapshotMeta {
            id: format!("snapshot {index}"),
            last_applied: Some(Position { term: 1, index }),
            ..SnapshotMeta::default()
        };
        SnapshotFile::unread(format!("{index}.snap").into(), meta)
    }

    fn offered(served: &Served) -> u64 {
        let offered = served.offered(Instant::now()).unwrap();
        offered.meta.last_applied.unwrap().index
    }

    #[test]
    fn the_newest_is_offered_and_never_gives_way_to_an_older_one() {
        let served = Served::default();
        assert_eq!(served.offered(Instant::now()), None);
        for (added, newest) in [(100, 100), (200, 200), (100, 200), (200, 200)] {
            served.add(file(added));
            assert_eq!(offered(&served), newest);
        }
    }

    #[test]
    fn what_is_being_sent_is_offered_until_all_have_it() {
        let served = Served::new(Some(file(1)));
        let first = served.begin(7, &file(1)).unwrap();
        served.add(file(2));
        let second = served.begin(8, &file(1)).unwrap();
        drop(first);
        assert_eq!(offered(&served), 1, "a transfer that broke off may go on");
        second.finish();
        assert_eq!(served.sent(Instant::now()), Some(file(1)));
        served.begin(7, &file(1)).unwrap().finish();
        assert_eq!((served.sent(Instant::now()), offered(&served)), (None, 2));
        // Nobody needs what is sent after it was given up.
        served.begin(7, &file(1)).unwrap();
        assert_eq!(served.sent(Instant::now()), None);
    }

    #[test]
    fn a_member_that_does_not_come_back_is_not_waited_for() {
        let served = Served::new(Some(file(1)));
        let under_way = served.begin(7, &file(1)).unwrap();
        served.add(file(2));
        let late = || Instant::now() + RESUMABLE;
        assert_eq!(served.sent(late()), Some(file(1)), "it is under way, however long");
        drop(under_way);
        assert_eq!(served.sent(Instant::now()), Some(file(1)));
        assert_eq!(served.sent(late()), None);
        assert_eq!(offered(&served), 2);
    }

    #[test]
    fn a_transfer_that_takes_too_many_snapshots_is_not_waited_for_either() {
        let served = Served::new(Some(file(1)));
        let sending = served.begin(7, &file(1)).unwrap();
        for newer in 1..=u64::from(NEWER_MAX) {
            served.add(file(1 + newer));
            assert_eq!(offered(&served), 1);
        }
        served.add(file(50));
        assert_eq!(offered(&served), 50);
        sending.finish();
        assert_eq!(offered(&served), 50);
    }

    #[test]
    fn a_snapshot_that_came_in_ends_all_sending() {
        let served = Served::new(Some(file(1)));
        let _sending = served.begin(7, &file(1)).unwrap();
        served.replace(file(9));
        assert_eq!((served.sent(Instant::now()), offered(&served)), (None, 9));
    }

    #[tokio::test]
    async fn a_damaged_snapshot_is_not_sent_and_another_one_is_wanted() {
        let served = Served::new(Some(file(1)));
        let sending = served.begin(7, &file(1)).unwrap();
        served.condemn(&file(1));
        served.wanted().await;
        drop(sending);
        assert_eq!(served.sent(Instant::now()), None);
        assert!(served.begin(7, &file(1)).is_none());
        // The same entries, written anew.
        let mut sound = file(1);
        sound.meta.id = "another".into();
        served.add(sound.clone());
        assert!(served.begin(7, &sound).is_some());
    }
}
