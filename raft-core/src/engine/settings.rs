//! openraft's configuration, made of ours.

use std::time::Duration;

use openraft::SnapshotPolicy;

use crate::config::Config;
use crate::error::StartError;

/// Entries in one append request, besides the limit in bytes: so that their framing stays small.
const APPEND_ENTRIES: u64 = 4096;

/// What openraft is told. Fails when it cannot work with that.
pub(super) fn settings(config: &Config) -> Result<openraft::Config, StartError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let settings = openraft::Config {
        cluster_name: String::new(),
        heartbeat_interval: millis(config.heartbeat_interval),
        election_timeout_min: millis(config.election_timeout_min),
        election_timeout_max: millis(config.election_timeout_max),
        max_payload_entries: APPEND_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_after_entries),
        // Never by itself: `compaction.rs` does.
        max_in_snapshot_log_to_keep: u64::MAX,
        quorum_loss_probe_interval: Some(millis(config.quorum_loss_probe_interval)),
        enable_pre_vote: Some(true),
        // A leader that restarts knows nothing of the time it was away: it stands for election.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    };
    settings.validate().map_err(|error| StartError::Engine(error.to_string()))
}
