//! What a node is told that finds its cluster itself.

use std::net::SocketAddr;
use std::time::Duration;

use raft_core_discovery::Discovery;

use crate::assembly::naming;

/// How a node finds its cluster, or forms it with others; the same on every node but for the name
/// and the addresses. There is no useful default of `name`, `address`, `discovery` and
/// `bootstrap_expect`.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// A label that survives the node, unique among those that are alive: 1 to 64 letters, digits,
    /// dots, dashes and underscores. A node that comes back without its data takes the place of
    /// the member that bore its name before.
    pub name: String,
    /// `host:port` at which the other members reach this node; a name where there are names,
    /// because it is resolved at each reconnect. May differ from start to start.
    pub address: String,
    /// `host:port` (or URL) that clients of the application use; empty if there is none.
    pub service_address: String,
    /// Where to look for other nodes: addresses of the kind of `address`. When it names no cache
    /// file, one in the data directory is used.
    pub discovery: Discovery,
    /// How many nodes form a cluster, and how many voters it should have from then on: 1 to 31,
    /// the same on every node. Odd numbers are better: a fourth voter tolerates no more failures
    /// than three do.
    pub bootstrap_expect: u32,
    /// UDP address at which this node answers the sweeps of others; `None`, the default, answers
    /// none. The answers name the port of `address`.
    pub answer_sweeps_at: Option<SocketAddr>,
    /// Pause between two rounds of greetings while this node belongs to no cluster, give or take
    /// half of it; 10 ms to 60 s, default 1 s.
    pub round_pause: Duration,
    /// How often the leader looks whether a member is to be promoted or replaced; 10 ms to 60 s,
    /// default 1 s.
    pub reconcile_interval: Duration,
    /// Time for which a member must have been silent before another node of its name takes its
    /// place; at least 1 s, default 5 s. Shorter than a restart it makes no sense.
    pub replace_after: Duration,
}

impl Default for Assembly {
    fn default() -> Assembly {
        Assembly {
            name: String::new(),
            address: String::new(),
            service_address: String::new(),
            discovery: Discovery::default(),
            bootstrap_expect: 0,
            answer_sweeps_at: None,
            round_pause: Duration::from_secs(1),
            reconcile_interval: Duration::from_secs(1),
            replace_after: Duration::from_secs(5),
        }
    }
}

impl Assembly {
    /// Refuses what cannot work: the field at fault, and why.
    pub(crate) fn check(&self, members_max: usize) -> Result<(), (&'static str, String)> {
        let sound = |holds: bool, field, why: &str| match holds {
            true => Ok(()),
            false => Err((field, why.to_owned())),
        };
        naming::check_name(&self.name).map_err(|why| ("assembly.name", why.to_string()))?;
        Discovery::fixed([&self.address])
            .validate()
            .map_err(|error| ("assembly.address", error.to_string()))?;
        naming::check_address(&self.service_address)
            .map_err(|why| ("assembly.service_address", why.to_string()))?;
        self.discovery.validate().map_err(|error| ("assembly.discovery", error.to_string()))?;
        let expect = usize::try_from(self.bootstrap_expect).unwrap_or(usize::MAX);
        let within = (1..=members_max).contains(&expect);
        sound(within, "assembly.bootstrap_expect", "between 1 and 31")?;
        let bounds = Duration::from_millis(10)..=Duration::from_secs(60);
        let within = |time: &Duration| bounds.contains(time);
        sound(within(&self.round_pause), "assembly.round_pause", "between 10 ms and 60 s")?;
        let interval = "assembly.reconcile_interval";
        sound(within(&self.reconcile_interval), interval, "between 10 ms and 60 s")?;
        let long = self.replace_after >= Duration::from_secs(1);
        sound(long, "assembly.replace_after", "at least 1 s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Assembly {
        Assembly {
            name: "a".into(),
            address: "a:1".into(),
            bootstrap_expect: 3,
            ..Assembly::default()
        }
    }

    #[test]
    fn each_setting_out_of_bounds_is_named() {
        sound().check(31).unwrap();
        type Spoil = fn(&mut Assembly);
        let faults: [(&str, Spoil); 9] = [
            ("assembly.name", |a| a.name = String::new()),
            ("assembly.address", |a| a.address = "a".into()),
            ("assembly.service_address", |a| a.service_address = "a b".into()),
            ("assembly.discovery", |a| a.discovery = Discovery::fixed(["nowhere"])),
            ("assembly.bootstrap_expect", |a| a.bootstrap_expect = 0),
            ("assembly.bootstrap_expect", |a| a.bootstrap_expect = 32),
            ("assembly.round_pause", |a| a.round_pause = Duration::ZERO),
            ("assembly.reconcile_interval", |a| a.reconcile_interval = Duration::MAX),
            ("assembly.replace_after", |a| a.replace_after = Duration::ZERO),
        ];
        for (field, spoil) in faults {
            let mut settings = sound();
            spoil(&mut settings);
            assert_eq!(settings.check(31).unwrap_err().0, field);
        }
    }
}
