//! The asking side of the UDP sweep: one question to each address of a range.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::candidate::{Candidate, Source};
use crate::datagram::{self, DATAGRAM_MAX_BYTES, Heard};
use crate::error::DiscoveryError;
use crate::range::AddressRange;

/// Every address is asked twice, for a datagram may be lost and the first one may only have made
/// the kernel resolve the hardware address.
const ROUNDS: u32 = 2;
/// Addresses asked in one go, before the pause.
const CHUNK_ADDRESSES: usize = 32;
/// Pause between two goes: 6,400 datagrams a second at the most, so that 1,024 addresses take 160
/// ms and no queue on the way overflows.
const CHUNK_PAUSE: Duration = Duration::from_millis(5);
/// Shortest and longest time one may give to a sweep.
const BUDGET_BOUNDS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// Which addresses to ask, and for how long to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The addresses to ask.
    pub range: AddressRange,
    /// The UDP port members answer on.
    pub port: u16,
    /// The port of the service on members whose reply does not name it.
    pub service_port: u16,
    /// How long the sweep takes: 50 ms to 10 s.
    pub budget: Duration,
}

impl Sweep {
    /// The UDP port members answer on unless told otherwise. It is also that of mDNS: on a desktop,
    /// choose another.
    pub const DEFAULT_PORT: u16 = 5353;

    /// A sweep of `range` with the usual port and 600 ms.
    pub fn new(range: AddressRange, service_port: u16) -> Sweep {
        let budget = Duration::from_millis(600);
        Sweep { range, port: Sweep::DEFAULT_PORT, service_port, budget }
    }

    pub(crate) fn validate(&self) -> Result<(), DiscoveryError> {
        let wrong =
            |setting, reason: &str| DiscoveryError::Setting { setting, reason: reason.to_owned() };
        if self.port == 0 || self.service_port == 0 {
            return Err(wrong("a port of the sweep", "must not be 0"));
        }
        let (shortest, longest) = BUDGET_BOUNDS;
        if self.budget < shortest || self.budget > longest {
            return Err(wrong("the time of the sweep", "must be from 50 ms to 10 s"));
        }
        Ok(())
    }

    /// Asks, and returns who answered, the quickest first.
    ///
    /// # Errors
    ///
    /// If no UDP socket can be had. An address that cannot be sent to is passed over.
    pub(crate) async fn run(&self) -> io::Result<Vec<Candidate>> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        let mut hunt = Hunt { sweep: self, socket, answered: HashSet::new(), found: Vec::new() };
        hunt.run().await;
        Ok(hunt.found)
    }
}

/// One sweep under way.
///
/// - An address counts once, whatever it sends.
struct Hunt<'a> {
    sweep: &'a Sweep,
    socket: UdpSocket,
    answered: HashSet<Ipv4Addr>,
    found: Vec<Candidate>,
}

impl Hunt<'_> {
    async fn run(&mut self) {
        let request = datagram::encode_request();
        let addresses: Vec<Ipv4Addr> = self.sweep.range.addresses().collect();
        let start = Instant::now();
        let deadline = start + self.sweep.budget;
        for round in 1..=ROUNDS {
            for chunk in addresses.chunks(CHUNK_ADDRESSES) {
                if Instant::now() >= deadline {
                    return;
                }
                self.ask(chunk, &request).await;
                self.listen_until(deadline.min(Instant::now() + CHUNK_PAUSE)).await;
            }
            self.listen_until(start + self.sweep.budget * round / ROUNDS).await;
            if self.answered.len() == addresses.len() {
                return;
            }
        }
    }

    async fn ask(&self, addresses: &[Ipv4Addr], request: &[u8]) {
        for address in addresses.iter().filter(|address| !self.answered.contains(address)) {
            let to = SocketAddrV4::new(*address, self.sweep.port);
            if let Err(error) = self.socket.send_to(request, to).await {
                debug!(%error, %to, "an address of the sweep cannot be asked");
            }
        }
    }

    async fn listen_until(&mut self, deadline: Instant) {
        let mut buffer = vec![0_u8; DATAGRAM_MAX_BYTES + 1];
        while let Ok(received) = timeout_at(deadline, self.socket.recv_from(&mut buffer)).await {
            // A timeout alone would not end the loop while datagrams keep pouring in.
            if Instant::now() >= deadline {
                return;
            }
            match received {
                Ok((length, from)) => self.hear(buffer.get(..length).unwrap_or_default(), from),
                Err(error) => {
                    debug!(%error, "receiving an answer to the sweep failed");
                    tokio::time::sleep_until(deadline.min(Instant::now() + CHUNK_PAUSE)).await;
                }
            }
        }
    }

    fn hear(&mut self, reply: &[u8], from: SocketAddr) {
        let IpAddr::V4(address) = from.ip() else { return };
        if !self.sweep.range.contains(address) || from.port() != self.sweep.port {
            return;
        }
        let Some(Heard { port, cluster }) = datagram::decode_reply(reply) else {
            debug!(%from, "an answer to the sweep that is none");
            return;
        };
        if self.answered.insert(address) {
            let service = SocketAddrV4::new(address, port.unwrap_or(self.sweep.service_port));
            let mut candidate = Candidate::new(service.to_string(), Source::Sweep);
            candidate.cluster_hint = cluster;
            self.found.push(candidate);
        }
        debug_assert_eq!(self.answered.len(), self.found.len());
    }
}
