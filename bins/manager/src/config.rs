//! What a manager is told at start, with the reason beside each default.

use crate::limiter::LoginLimit;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What a manager is told at start. `node` has no useful default but in its timings and limits.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// This manager's part in the cluster. Its `tls` is also what the REST edge shows to clients,
    /// and must be given. The directory's sled view lives in `view` below its `data_dir`; each
    /// member's `service_address` is where clients reach its REST edge.
    pub node: raft_core::Config,
    /// Where clients' HTTPS requests are accepted; port 0 lets the system choose.
    pub rest_listen: SocketAddr,
    /// Where UDP discovery requests are answered; `None`: nowhere. Default: port 5353.
    pub discovery_listen: Option<SocketAddr>,
    /// Somebody who is silent for this long is offline; default 15 s, three missed heartbeats.
    pub lease: Duration,
    /// How often leases are looked through, and renewals passed on to the leader in one batch;
    /// default 250 ms: unnoticeable beside a lease, and 4 calls a second whatever the users.
    pub presence_interval: Duration,
    /// bcrypt's cost: 2^cost rounds. Default 12, some 0.3 s of one core for each login.
    pub bcrypt_cost: u32,
    /// A session ends by itself after this; default 30 days.
    pub session_lifetime: Duration,
    /// How long a request waits for a leader and for consensus; default 5 s: more than an
    /// election, less than a person's patience.
    pub consensus_deadline: Duration,
    /// How fast somebody may be wrong about a password.
    pub login_limit: LoginLimit,
    /// TLS connections at once; further ones are closed at the door; default 4,096.
    pub max_connections: usize,
    /// Requests under way at once, health and metrics aside; default 1,024: at 64 KiB each, the
    /// most memory that bodies can hold is 64 MiB.
    pub max_requests: usize,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            node: raft_core::Config::default(),
            rest_listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8000)),
            discovery_listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5353))),
            lease: Duration::from_secs(15),
            presence_interval: Duration::from_millis(250),
            bcrypt_cost: 12,
            session_lifetime: Duration::from_secs(30 * 24 * 3600),
            consensus_deadline: Duration::from_secs(5),
            login_limit: LoginLimit::default(),
            max_connections: 4096,
            max_requests: 1024,
        }
    }
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct ConfigError {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl ManagerConfig {
    /// Refuses what cannot work, naming the first field at fault.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let node = self.node.validate();
        node.map_err(|error| ConfigError { field: error.field, why: error.why })?;
        require(self.node.tls.is_some(), "tls", "clients are served over HTTPS alone")?;
        let beats = self.lease >= self.presence_interval * 4;
        require(
            beats,
            "lease",
            "at least four times presence_interval, or passing on is too slow",
        )?;
        require(self.lease <= Duration::from_secs(3600), "lease", "at most an hour")?;
        let interval = Duration::from_millis(10)..=Duration::from_secs(10);
        let fits = interval.contains(&self.presence_interval);
        require(fits, "presence_interval", "between 10 ms and 10 s")?;
        require((4..=16).contains(&self.bcrypt_cost), "bcrypt_cost", "between 4 and 16")?;
        let lifetime = Duration::from_secs(60)..=Duration::from_secs(366 * 24 * 3600);
        let fits = lifetime.contains(&self.session_lifetime);
        require(fits, "session_lifetime", "between a minute and a year")?;
        let deadline = Duration::from_millis(100)..=Duration::from_secs(60);
        let fits = deadline.contains(&self.consensus_deadline);
        require(fits, "consensus_deadline", "between 100 ms and 60 s")?;
        require(self.login_limit.burst > 0, "login_limit", "a burst of at least 1")?;
        require(!self.login_limit.refill.is_zero(), "login_limit", "a refill above zero")?;
        require(self.max_connections > 0, "max_connections", "at least 1")?;
        require(self.max_requests > 0, "max_requests", "at least 1")
    }
}

fn require(holds: bool, field: &'static str, why: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { field, why: why.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> ManagerConfig {
        let credentials = crate::certs::generate_authority().unwrap().issue(&[]).unwrap();
        let member = raft_core::Member {
            id: 1,
            address: "a:7000".into(),
            service_address: "a:8000".into(),
            ..raft_core::Member::default()
        };
        let node = raft_core::Config {
            node_id: 1,
            data_dir: "data".into(),
            members: vec![member],
            tls: Some(credentials.into()),
            ..raft_core::Config::default()
        };
        ManagerConfig { node, ..ManagerConfig::default() }
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(sound().validate(), Ok(()));
    }

    #[test]
    fn each_unworkable_field_is_named() {
        type Spoil = fn(&mut ManagerConfig);
        let faults: [(&str, Spoil); 9] = [
            ("node_id", |c| c.node.node_id = 0),
            ("tls", |c| c.node.tls = None),
            ("lease", |c| c.lease = c.presence_interval),
            ("lease", |c| c.lease = Duration::from_secs(4000)),
            ("presence_interval", |c| c.presence_interval = Duration::ZERO),
            ("bcrypt_cost", |c| c.bcrypt_cost = 3),
            ("session_lifetime", |c| c.session_lifetime = Duration::ZERO),
            ("consensus_deadline", |c| c.consensus_deadline = Duration::ZERO),
            ("login_limit", |c| c.login_limit.burst = 0),
        ];
        for (field, spoil) in faults {
            let mut config = sound();
            spoil(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
    }
}
