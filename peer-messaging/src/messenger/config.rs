//! How a messenger is set up.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Settings of a messenger; the defaults suit a person.
#[derive(Debug, Clone, PartialEq)]
pub struct MessengerConfig {
    /// Where others reach this messenger; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The longest first pause before somebody who was not reached is tried again by the timer.
    /// Each pause is drawn from zero to twice the last bound.
    pub first_retry: Duration,
    /// The longest pause of all.
    pub max_retry: Duration,
    /// How long connecting to one address may take, handshake included.
    pub connect_timeout: Duration,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long a connection is kept after its last use.
    pub keep_connection: Duration,
    /// People who are tried at the same time; others wait their turn.
    pub concurrent_recipients: usize,
    /// Messages that may wait for one person.
    pub outbox_per_recipient: u64,
    /// Messages that may wait in all.
    pub outbox: u64,
    /// Messages of one known person that may lie here without having been shown.
    pub unread_per_sender: u64,
    /// The same for somebody we never wrote to and never read.
    pub unread_per_stranger: u64,
    /// The same for all strangers together.
    pub unread_of_strangers: u64,
    /// Connections from others at the same time; half of them at most from strangers.
    pub connections: usize,
    /// Connections from one person at the same time.
    pub connections_per_peer: usize,
    /// Handshakes with callers at the same time.
    pub handshakes: usize,
    /// How long such a handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for MessengerConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, 0).into(),
            first_retry: Duration::from_millis(500),
            max_retry: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(15),
            keep_connection: Duration::from_secs(60),
            concurrent_recipients: 32,
            outbox_per_recipient: 10_000,
            outbox: 100_000,
            unread_per_sender: 100_000,
            unread_per_stranger: 1_000,
            unread_of_strangers: 10_000,
            connections: 256,
            connections_per_peer: 4,
            handshakes: 64,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

impl MessengerConfig {
    /// Refuses what cannot work. Fails with the name of the setting and what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let counts = [
            ("concurrent_recipients", self.concurrent_recipients),
            ("connections", self.connections),
            ("connections_per_peer", self.connections_per_peer),
            ("handshakes", self.handshakes),
        ];
        for (name, count) in counts {
            if count == 0 || count > 1 << 16 {
                return Err(format!("{name} is {count}, it has to be 1 to 65,536"));
            }
        }
        let times = [
            ("first_retry", self.first_retry),
            ("connect_timeout", self.connect_timeout),
            ("call_timeout", self.call_timeout),
            ("handshake_timeout", self.handshake_timeout),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(format!("{name} is zero"));
        }
        if self.max_retry < self.first_retry {
            return Err("max_retry is shorter than first_retry".into());
        }
        Ok(())
    }
}
