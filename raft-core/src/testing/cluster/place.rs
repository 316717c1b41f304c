//! A member's surroundings, the same at each of its starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::disk::sim::SimDisk;
use crate::environment::Environment;
use crate::member::NodeId;
use crate::testing::seeded::ShiftedClock;

/// The port of every member: each has a host of its own.
pub(super) const PORT: u16 = 7000;

/// Where every member listens.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

/// Changes a member's configuration before each of its starts.
pub(super) type Adjust = Box<dyn Fn(NodeId, &mut Config) + Send + Sync>;

/// What a member keeps while it is down.
pub(super) struct Place {
    /// Its name in the network.
    pub(super) host: String,
    /// What its node is given at each start.
    pub(super) environment: Environment,
    /// The clock in there.
    pub(super) clock: Arc<ShiftedClock>,
    /// The disk below its log, if it is simulated.
    pub(super) disk: Option<SimDisk>,
}

/// Times that a busy machine keeps.
pub(super) fn patient_timing() -> Config {
    Config {
        heartbeat_interval: Duration::from_millis(100),
        election_timeout_min: Duration::from_millis(500),
        election_timeout_max: Duration::from_millis(900),
        quorum_loss_probe_interval: Duration::from_millis(1800),
        ..Config::default()
    }
}
