//! The disk before a node starts: is there room, and is it quick enough?

use crate::config::Config;
use crate::disk::Disk;
use crate::disk_check::DiskCheck;
use crate::error::StartError;
use crate::event::Event;
use crate::low_disk::WaterMarks;
use crate::observer::Observer;
use crate::reserve;

/// When the disk counts as low.
pub(super) fn marks(config: &Config) -> WaterMarks {
    WaterMarks::new(config.low_disk_bytes, config.low_disk_percent)
}

/// Before anything is written: makes room, if there is none. Blocks.
pub(super) fn make_room(
    config: &Config,
    disk: &dyn Disk,
    observer: &Observer,
) -> Result<(), StartError> {
    let (dir, marks) = (&config.data_dir, marks(config));
    // A node that starts for the first time has no directory yet, and no reserve.
    let Ok(space) = disk.space(dir) else { return Ok(()) };
    let reserve = marks.reserve_bytes(space.total_bytes);
    let full = reserve::release_if_full(disk, dir, reserve)
        .map_err(|source| StartError::Io { path: dir.clone(), source })?;
    if full {
        tracing::warn!(dir = %dir.display(), "the disk is full: the reserve is given up");
    }
    observer.note_space(space, marks);
    Ok(())
}

/// Warns when the disk is too slow for the timeouts. Blocks.
pub(super) fn check(config: &Config, disk: &dyn Disk, observer: &Observer) {
    if !config.disk_check || observer.low_disk.is_low() {
        return;
    }
    let check = match DiskCheck::run(disk, &config.data_dir) {
        Ok(check) => check,
        Err(error) => {
            tracing::warn!(%error, "the disk could not be checked");
            return;
        }
    };
    observer.meters.disk_check_nanos.set(u64::try_from(check.slow.as_nanos()).unwrap_or(u64::MAX));
    let (heartbeat, election) = (config.heartbeat_interval, config.election_timeout_min);
    if let Some(advice) = check.advice(heartbeat, election) {
        tracing::warn!(
            writes = check.writes,
            median = ?check.median,
            slow = ?check.slow,
            heartbeat_interval = ?heartbeat,
            election_timeout_min = ?election,
            advised_heartbeat_interval = ?advice.heartbeat,
            advised_election_timeout_min = ?advice.election_min,
            "the disk is too slow for the timeouts"
        );
        let (append, election_timeout_min) = (check.slow, election);
        observer.events.tell(Event::DiskSlow { append, election_timeout_min });
    }
}
