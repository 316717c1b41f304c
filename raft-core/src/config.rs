//! What a node is told at start, with the reason beside each default.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::assembly::settings::Assembly;
use crate::member::{Member, NodeId};
use crate::tls::Tls;

/// The longest entry any configuration may allow, in bytes (8 MiB): an entry is a command, and
/// many of them share one append request and one write group.
const ENTRY_MAX_BYTES: usize = 8 << 20;

/// The most members a static list may hold: beyond it elections and appends cost more than the
/// additional copies bring.
pub(crate) const MEMBERS_MAX: usize = 31;

/// What a node is told at start. `node_id`, `data_dir` and `members` have no useful default; and
/// `tls` must be given, or its absence allowed.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's number in `members`; never 0.
    pub node_id: NodeId,
    /// Directory of everything this node keeps; one process owns it at a time.
    pub data_dir: PathBuf,
    /// Where the other members' calls are accepted; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Everybody, this node included. All members must be given the same list. Empty with
    /// `assembly`.
    pub members: Vec<Member>,
    /// Has the node find its cluster itself, or form it, instead of being told all `members`; then
    /// it makes its own number, too, and `node_id` is 0. Default `None`.
    pub assembly: Option<Assembly>,
    /// Credentials for mutual TLS; `None` is refused unless `allow_plaintext`.
    pub tls: Option<Tls>,
    /// Permits members to talk without TLS, which lets anybody who reaches the port write.
    pub allow_plaintext: bool,

    /// Time between the leader's heartbeats. Raft wants it an order of magnitude above a round
    /// trip and below the election timeout (paper §5.6); default 60 ms.
    pub heartbeat_interval: Duration,
    /// Least time without a leader before a node stands for election, beyond the leader's lease
    /// of `election_timeout_max`, which is what guards a leader that is merely slow. The wider the
    /// range above it, the sooner the first stands and the seldomer two do at once; default 120 ms.
    pub election_timeout_min: Duration,
    /// Greatest such time, and the leader's lease; default 350 ms.
    pub election_timeout_max: Duration,
    /// A leader that has not heard of a quorum for this long falls silent for as long again, so
    /// that whoever it still reaches may elect another one (openraft#2080), and does not call
    /// itself leader until a quorum answers. (It refuses new commands earlier, after
    /// `election_timeout_max`.) At least twice `election_timeout_max`; default 700 ms.
    pub quorum_loss_probe_interval: Duration,
    /// Time for a connection and its TLS handshake to come about; default 1 s.
    pub connect_timeout: Duration,
    /// Time without progress after which a snapshot transfer is broken off (and later resumed);
    /// default 10 s.
    pub snapshot_stall_timeout: Duration,

    /// Largest command that is accepted, in bytes; default 1 MiB.
    pub max_entry_bytes: usize,
    /// Entries per append request, in bytes, except that one entry always goes; default 1 MiB:
    /// far more than a round trip's worth, far less than an election timeout's.
    pub max_append_bytes: usize,
    /// Append requests under way to one member; default 8. A few suffice to keep the wire busy
    /// while the member's disk syncs; each may hold `max_append_bytes`.
    pub append_window: usize,
    /// Commands proposed through this node and not answered yet; more are refused as overload;
    /// default 16,384.
    pub max_pending_proposals: usize,
    /// Highest version of a command that this node's state machine reads; at least 1, which is the
    /// default. A leader proposes commands of a version only once every voter reads it; a node that
    /// meets a committed one above its own stops.
    pub readable_version: u32,
    /// A snapshot is written after this many entries; default 50,000.
    pub snapshot_after_entries: u64,
    /// ... or after this many bytes of commands with their envelopes; default 64 MiB.
    pub snapshot_after_bytes: u64,
    /// Share of its time, in percent, in which the writing of a snapshot works while entries are
    /// applied; in the rest it pauses, because commands want the same processors, disk and state
    /// machine. While none are applied it does not pause. From 1 to 100; default 25: a snapshot
    /// takes at least four times as long as at full speed, and the log grows for as long.
    pub snapshot_share_percent: u8,
    /// Entries kept behind a snapshot, so that a member that was away shortly needs no snapshot;
    /// default 10,000.
    pub keep_entries: u64,
    /// Free bytes of the data directory's file system below which a leader refuses commands;
    /// default 1 GiB: more than a second of writing at full speed. 0: never.
    pub low_disk_bytes: u64,
    /// ... or this share of the file system in percent, whichever is less; default 5.
    pub low_disk_percent: u8,
    /// Measures at start, for at most a quarter of a second, whether the disk is quick enough for
    /// the timeouts, and warns if it is not; default true.
    pub disk_check: bool,
    /// Bytes of one file of the log; default 16 MiB.
    pub segment_bytes: u64,
    /// The cluster this node belongs to, when that is not the one `members` would form: a node that
    /// is to be taken into a running cluster is given its id, and some of its members beside itself
    /// as `members`. A node does not start from the data directory of another cluster than the one
    /// given; default `None`: that of the directory.
    pub cluster_id: Option<[u8; 16]>,
    /// Entries of the leader's log a learner may lack and still be given a vote: few enough to
    /// arrive within an election timeout, or commits would wait for it; default 1,000.
    pub promote_max_lag: u64,
    /// For how long, without a break, it must have lacked no more: one that keeps up for a moment
    /// only would hold up commits later; default 10 s.
    pub promote_after: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            node_id: 0,
            data_dir: PathBuf::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            members: Vec::new(),
            assembly: None,
            tls: None,
            allow_plaintext: false,
            heartbeat_interval: Duration::from_millis(60),
            election_timeout_min: Duration::from_millis(120),
            election_timeout_max: Duration::from_millis(350),
            quorum_loss_probe_interval: Duration::from_millis(700),
            connect_timeout: Duration::from_secs(1),
            snapshot_stall_timeout: Duration::from_secs(10),
            max_entry_bytes: 1 << 20,
            max_append_bytes: 1 << 20,
            append_window: 8,
            max_pending_proposals: 16_384,
            readable_version: 1,
            snapshot_after_entries: 50_000,
            snapshot_after_bytes: 64 << 20,
            snapshot_share_percent: 25,
            keep_entries: 10_000,
            low_disk_bytes: 1 << 30,
            low_disk_percent: 5,
            disk_check: true,
            segment_bytes: 16 << 20,
            cluster_id: None,
            promote_max_lag: 1000,
            promote_after: Duration::from_secs(10),
        }
    }
}

/// A configuration that cannot work, with what is wrong in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {why}")]
pub struct ConfigError {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Config {
    /// This node's own entry in `members`.
    #[must_use]
    pub fn this_member(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.id == self.node_id)
    }

    /// Refuses what cannot work, naming the first field at fault.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_members()?;
        self.validate_timing()?;
        self.validate_limits()
    }

    fn validate_members(&self) -> Result<(), ConfigError> {
        require(!self.data_dir.as_os_str().is_empty(), "data_dir", "must be given")?;
        require(
            self.tls.is_some() || self.allow_plaintext,
            "tls",
            "is missing, and plaintext is not allowed",
        )?;
        let Some(assembly) = &self.assembly else { return self.validate_list() };
        require(self.node_id == 0, "node_id", "is made by a node that finds its cluster itself")?;
        require(self.members.is_empty(), "members", "are found by the node, and must be empty")?;
        require(self.cluster_id.is_none(), "cluster_id", "is found by the node")?;
        assembly.check(MEMBERS_MAX).map_err(|(field, why)| ConfigError { field, why })
    }

    fn validate_list(&self) -> Result<(), ConfigError> {
        require(self.node_id != 0, "node_id", "must not be 0")?;
        require(self.this_member().is_some(), "members", "must include this node")?;
        require(self.members.len() <= MEMBERS_MAX, "members", "at most 31")?;
        let ids: BTreeSet<NodeId> = self.members.iter().map(|member| member.id).collect();
        require(!ids.contains(&0), "members", "no member may have the id 0")?;
        require(ids.len() == self.members.len(), "members", "two members have the same id")?;
        let places: BTreeSet<&str> = self.members.iter().map(|m| m.address.as_str()).collect();
        require(places.len() == self.members.len(), "members", "two have the same address")?;
        for member in &self.members {
            let port = member.address.rsplit_once(':').map(|(host, port)| (host, port.parse()));
            let sound = matches!(port, Some((host, Ok(1_u16..))) if !host.is_empty());
            if !sound && self.members.len() > 1 {
                let why = format!("{:?} is not host:port", member.address);
                return Err(ConfigError { field: "members", why });
            }
        }
        Ok(())
    }

    fn validate_timing(&self) -> Result<(), ConfigError> {
        let millis = |time: Duration| time.as_millis();
        require(millis(self.heartbeat_interval) >= 5, "heartbeat_interval", "at least 5 ms")?;
        require(
            self.election_timeout_min >= self.heartbeat_interval * 2,
            "election_timeout_min",
            "at least two heartbeats, or one lost packet unseats the leader",
        )?;
        require(
            self.election_timeout_max > self.election_timeout_min,
            "election_timeout_max",
            "must exceed election_timeout_min, or votes split for ever",
        )?;
        require(
            self.quorum_loss_probe_interval >= self.election_timeout_max * 2,
            "quorum_loss_probe_interval",
            "at least twice election_timeout_max",
        )?;
        require(
            self.election_timeout_max <= Duration::from_secs(60),
            "election_timeout_max",
            "at most 60 s",
        )?;
        require(!self.connect_timeout.is_zero(), "connect_timeout", "must not be 0")?;
        require(!self.snapshot_stall_timeout.is_zero(), "snapshot_stall_timeout", "must not be 0")
    }

    fn validate_limits(&self) -> Result<(), ConfigError> {
        let entry = (1..=ENTRY_MAX_BYTES).contains(&self.max_entry_bytes);
        require(entry, "max_entry_bytes", "between 1 byte and 8 MiB")?;
        let append = (1..=ENTRY_MAX_BYTES).contains(&self.max_append_bytes);
        require(append, "max_append_bytes", "between 1 byte and 8 MiB")?;
        require((1..=256).contains(&self.append_window), "append_window", "between 1 and 256")?;
        require(self.max_pending_proposals > 0, "max_pending_proposals", "must not be 0")?;
        require(self.readable_version > 0, "readable_version", "must not be 0")?;
        require(self.snapshot_after_entries > 0, "snapshot_after_entries", "must not be 0")?;
        require(self.snapshot_after_bytes > 0, "snapshot_after_bytes", "must not be 0")?;
        let share = (1..=100).contains(&self.snapshot_share_percent);
        require(share, "snapshot_share_percent", "between 1 and 100")?;
        require(self.low_disk_percent < 100, "low_disk_percent", "below 100")?;
        require(self.segment_bytes >= 4096, "segment_bytes", "at least 4 KiB")
    }
}

fn require(holds: bool, field: &'static str, why: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { field, why: why.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: NodeId, address: &str) -> Member {
        Member { id, address: address.into(), ..Member::default() }
    }

    fn sound() -> Config {
        Config {
            node_id: 1,
            data_dir: "data".into(),
            members: vec![member(1, "a:1"), member(2, "b:1")],
            allow_plaintext: true,
            ..Config::default()
        }
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(sound().validate(), Ok(()));
    }

    #[test]
    fn each_unworkable_field_is_named() {
        type Spoil = fn(&mut Config);
        let faults: [(&str, Spoil); 15] = [
            ("node_id", |c| c.node_id = 0),
            ("data_dir", |c| c.data_dir = PathBuf::new()),
            ("members", |c| c.node_id = 3),
            ("members", |c| c.members[1].id = 1),
            ("members", |c| c.members[1].id = 0),
            ("members", |c| c.members[1].address = "a:1".into()),
            ("members", |c| c.members[1].address = "b".into()),
            ("members", |c| c.members[1].address = "b:0".into()),
            ("tls", |c| c.allow_plaintext = false),
            ("election_timeout_min", |c| c.election_timeout_min = c.heartbeat_interval),
            ("election_timeout_max", |c| c.election_timeout_max = c.election_timeout_min),
            ("quorum_loss_probe_interval", |c| c.quorum_loss_probe_interval = Duration::ZERO),
            ("max_entry_bytes", |c| c.max_entry_bytes = usize::MAX),
            ("append_window", |c| c.append_window = 0),
            ("snapshot_share_percent", |c| c.snapshot_share_percent = 0),
        ];
        for (field, spoil) in faults {
            let mut config = sound();
            spoil(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
    }
}
