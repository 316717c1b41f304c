//! Asking the name service for every address behind one alias.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::candidate::{self, Candidate, Source};
use crate::error::DiscoveryError;

/// How long an answer may take. Docker's own name service hands what it does not know to servers
/// outside, and a silent one among them costs ten seconds and more; no member would be found then.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The most addresses taken from one answer: more members than any cluster has.
const ADDRESSES_MAX: usize = 64;
/// Lookups under way or given up on but not ended. Each is a thread until the system's resolver
/// lets go of it; when there are this many, the name service is not working and nobody asks it
/// again.
const LOOKUPS_MAX: usize = 8;

static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

/// A name that every member answers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsAlias {
    /// The name, for example `identity-manager`.
    pub name: String,
    /// The port of the service there.
    pub port: u16,
}

impl DnsAlias {
    /// The alias that members have unless told otherwise.
    pub const DEFAULT_NAME: &'static str = "identity-manager";

    pub(crate) fn validate(&self) -> Result<(), DiscoveryError> {
        candidate::check_address(&format!("{}:{}", self.name, self.port))
    }

    /// Every address behind the name, IPv4 and IPv6, as the system's resolver orders them. One try,
    /// one second; an unknown name, an error and silence all yield none.
    ///
    /// The system's resolver cannot be interrupted. It runs on a thread of its own that may outlive
    /// the second; neither the runtime nor the end of the process waits for it.
    pub(crate) async fn resolve(&self) -> Vec<Candidate> {
        let target = (self.name.clone(), self.port);
        let lookup = move || target.to_socket_addrs().map(|found| found.collect::<Vec<_>>());
        let addresses = match within(TIMEOUT, lookup).await {
            Ok(addresses) => addresses,
            Err(error) => {
                debug!(name = %self.name, %error, "the name service has no answer");
                return Vec::new();
            }
        };
        addresses
            .into_iter()
            .take(ADDRESSES_MAX)
            .map(|address| Candidate::new(address.to_string(), Source::Dns))
            .collect()
    }
}

/// Runs `lookup` on a thread of its own and waits for it no longer than `limit`.
async fn within<F>(limit: Duration, lookup: F) -> io::Result<Vec<SocketAddr>>
where
    F: FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
{
    let permit = Permit::take()?;
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("discovery-dns".to_owned()).spawn(move || {
        let _permit = permit;
        // Nobody may be waiting any more.
        let _ = answer.send(lookup());
    })?;
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(io::Error::other("the resolver's thread ended without an answer")),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// One of the [`LOOKUPS_MAX`] places.
struct Permit;

impl Permit {
    fn take() -> io::Result<Permit> {
        let taken = LOOKUPS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lookups| {
            (lookups < LOOKUPS_MAX).then_some(lookups + 1)
        });
        match taken {
            Ok(_) => Ok(Permit),
            Err(lookups) => {
                warn!(lookups, "the name service holds on to earlier lookups, not asking again");
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Instant;

    #[tokio::test]
    async fn a_resolver_that_hangs_costs_the_limit_and_a_bounded_number_of_threads() {
        let (release, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(std::sync::Mutex::new(hanging));
        let limit = Duration::from_millis(50);
        let mut kinds = Vec::new();
        for _ in 0..LOOKUPS_MAX + 2 {
            let hanging = std::sync::Arc::clone(&hanging);
            let start = Instant::now();
            let outcome = within(limit, move || {
                let _ = hanging.lock().map(|receiver| receiver.recv());
                Ok(Vec::new())
            });
            kinds.push(outcome.await.map_err(|error| error.kind()));
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        assert_eq!(kinds.first(), Some(&Err(io::ErrorKind::TimedOut)));
        assert_eq!(kinds.last(), Some(&Err(io::ErrorKind::WouldBlock)));
        drop(release);
        let deadline = Instant::now() + Duration::from_secs(10);
        while LOOKUPS.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "the places were not given back");
            tokio::task::yield_now().await;
        }
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let again = within(Duration::from_secs(10), move || Ok(vec![address])).await;
        assert_eq!(again.unwrap(), [address]);
    }
}
