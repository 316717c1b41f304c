//! Where the parts of a node leave what they see.

use std::sync::Arc;
use std::time::Duration;

use crate::disk::Space;
use crate::event::{Event, Events};
use crate::fault::Fault;
use crate::low_disk::{LowDisk, WaterMarks};
use crate::meters::Meters;
use crate::position::Position;

/// What is measured, told, known of the disk and gone wrong; cheap to clone, and every clone is the
/// same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observer {
    /// What is measured.
    pub(crate) meters: Arc<Meters>,
    /// What is told as it happens.
    pub(crate) events: Events,
    /// The room of the disk.
    pub(crate) low_disk: Arc<LowDisk>,
    /// Why the node must end, once a part of it has failed.
    pub(crate) fault: Fault,
}

impl Observer {
    /// Notes a snapshot that was written here.
    pub(crate) fn snapshot_built(&self, upto: Position, bytes: u64, took: Duration) {
        self.meters.snapshot_build.time(took);
        self.meters.snapshot_built_bytes.add(bytes);
        self.events.tell(Event::SnapshotBuilt { upto, bytes, took });
    }

    /// Notes a snapshot from a leader that is in place.
    pub(crate) fn snapshot_installed(&self, upto: Position, bytes: u64, took: Duration) {
        self.meters.snapshot_install.time(took);
        self.events.tell(Event::SnapshotInstalled { upto, bytes, took });
    }

    /// Notes the room of the disk, and tells when it becomes low or is low no more.
    pub(crate) fn note_space(&self, space: Space, marks: WaterMarks) {
        if !self.low_disk.note(space, marks) {
            return;
        }
        let free_bytes = space.free_bytes;
        self.events.tell(match self.low_disk.is_low() {
            true => {
                Event::LowDiskEntered { free_bytes, mark_bytes: marks.low_bytes(space.total_bytes) }
            }
            false => Event::LowDiskLeft { free_bytes },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_disk_is_told_when_it_comes_and_when_it_goes() {
        let (observer, marks) = (Observer::default(), WaterMarks::new(100, 100));
        for free_bytes in [500, 90, 80, 110, 125, 90] {
            observer.note_space(Space { free_bytes, total_bytes: 1_000 }, marks);
        }
        // Whoever listens first hears it from the beginning, everybody else from now on.
        let (mut first, mut second) = (observer.events.listen(), observer.events.listen());
        let all: Vec<Event> = std::iter::from_fn(|| first.try_recv().ok()).collect();
        let entered = Event::LowDiskEntered { free_bytes: 90, mark_bytes: 100 };
        assert_eq!(all, [entered.clone(), Event::LowDiskLeft { free_bytes: 125 }, entered]);
        assert!(second.try_recv().is_err());
        observer.events.tell(Event::TermChanged { term: 2 });
        assert_eq!(first.try_recv(), second.try_recv());
    }
}
