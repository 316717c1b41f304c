//! The client: finds the leader, asks it, and knows what it does not know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raft_core_discovery::Discovery;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, warn};

use crate::applied::{Applied, Position};
use crate::call::{Answer, Call};
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::route::Route;
use crate::search::Search;
use crate::tls::Dialer;

/// Pause after every known member was asked in vain: a fraction of an election.
const LAP_PAUSE: Duration = Duration::from_millis(100);

/// A client of one cluster; cheap to clone, and its clones share connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: ClientConfig,
    dialer: Option<Dialer>,
    route: Mutex<Route>,
    /// Held while looking for members and connecting: a thousand calls that start at once make one
    /// connection, not a thousand.
    connecting: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("route", &*self.route()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client and connects it to the first member it finds, so that wrong addresses and
    /// credentials show now.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] and [`ClientError::Tls`] for what cannot work,
    /// [`ClientError::Unreachable`] if no member answered before the deadline.
    pub async fn connect(config: ClientConfig, limit: Duration) -> Result<Client, ClientError> {
        config.validate()?;
        let dialer = config.tls.as_ref().map(Dialer::new).transpose()?;
        let route = Mutex::new(Route::new(config.cluster_id));
        let connecting = tokio::sync::Mutex::new(());
        let client = Client { inner: Arc::new(Inner { config, dialer, route, connecting }) };
        let mut search = Search::new(limit);
        client.next_member(&mut search).await?;
        Ok(client)
    }

    /// Proposes a command to the leader and waits until it is applied. It is sent again only as
    /// long as it cannot have been proposed.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; [`ClientError::may_have_happened`] tells whether it may have been.
    pub async fn propose(&self, command: Bytes, limit: Duration) -> Result<Applied, ClientError> {
        let most = self.inner.config.max_command_bytes;
        if command.len() > most {
            let detail = format!("{} bytes; at most {most} are sent", command.len());
            return Err(ClientError::TooLarge { detail });
        }
        self.run(&Call::Propose(command), limit).await
    }

    /// A position such that whoever has applied it has applied everything acknowledged before this
    /// call (Raft dissertation, section 6.4).
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], [`ClientError::NoLeader`] or [`ClientError::Overloaded`]; it
    /// is asked again whatever happens to one attempt, for a read changes nothing.
    pub async fn read_index(&self, limit: Duration) -> Result<Position, ClientError> {
        self.run(&Call::ReadIndex, limit).await.map(|applied| applied.position)
    }

    /// The cluster it talks to.
    #[must_use]
    pub fn cluster_id(&self) -> Option<[u8; 16]> {
        self.route().cluster_id()
    }

    async fn run(&self, call: &Call, limit: Duration) -> Result<Applied, ClientError> {
        let mut search = Search::new(limit);
        loop {
            let member = self.next_member(&mut search).await?;
            match call.ask(&member, search.deadline()).await {
                Answer::Done(applied) => {
                    self.found_leader(&member.address).await;
                    return Ok(applied);
                }
                Answer::NotLeader(hint) => {
                    self.route().unseat(&member.address);
                    search.met_follower(&member.address, hint);
                }
                Answer::Elsewhere { lost, why } => {
                    debug!(address = %member.address, %why, "asking another member");
                    if lost {
                        self.route().lose(&member.address);
                    }
                    search.failed(&member.address, why);
                }
                Answer::Final(error) => {
                    if error.may_have_happened() {
                        self.route().lose(&member.address);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The member to ask next: where the hint points, who led last, or who was not asked in this
    /// lap; once all were asked, after a pause and another look around, from the start.
    async fn next_member(&self, search: &mut Search) -> Result<Connection, ClientError> {
        loop {
            let address = match search.take_hint() {
                Some(hint) => Some(hint),
                None => self.route().untried(search.tried()),
            };
            let Some(address) = address else {
                self.look_around(search).await?;
                continue;
            };
            match timeout_at(search.deadline(), self.connection(&address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(why)) => search.failed(&address, why),
                Err(_) => return Err(search.give_up()),
            }
        }
    }

    async fn connection(&self, address: &str) -> Result<Connection, String> {
        if let Some(connection) = self.route().connection(address) {
            return Ok(connection);
        }
        let _connecting = self.inner.connecting.lock().await;
        if let Some(connection) = self.route().connection(address) {
            return Ok(connection);
        }
        let expected = self.route().cluster_id();
        let (config, dialer) = (&self.inner.config, self.inner.dialer.as_ref());
        let connection = Connection::open(address, config, dialer, expected).await?;
        let mut route = self.route();
        route.learn(address);
        match route.keep(&connection) {
            true => Ok(connection),
            false => Err(format!("{address}: it belongs to another cluster")),
        }
    }

    /// Ends a lap: searches for addresses, stage by stage until there is one not tried yet, and
    /// otherwise pauses before the next lap.
    async fn look_around(&self, search: &mut Search) -> Result<(), ClientError> {
        let deadline = search.deadline();
        let looking = async {
            let mut stages = self.inner.config.discovery.stages();
            while let Some(candidates) = stages.next().await {
                let mut route = self.route();
                candidates.iter().for_each(|candidate| route.learn(&candidate.address));
                if route.untried(search.tried()).is_some() {
                    return;
                }
            }
            search.next_lap();
            sleep_until(deadline.min(Instant::now() + LAP_PAUSE)).await;
        };
        let outcome = timeout_at(deadline, looking).await;
        if outcome.is_err() || Instant::now() >= deadline {
            return Err(search.give_up());
        }
        Ok(())
    }

    async fn found_leader(&self, address: &str) {
        let (changed, addresses) = {
            let mut route = self.route();
            (route.crown(address), route.addresses())
        };
        if changed {
            remember(&self.inner.config.discovery, &addresses).await;
        }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        // Nothing panics between two changes that belong together.
        self.inner.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the addresses for the next start; that it failed is no reason to fail a call.
async fn remember(discovery: &Discovery, addresses: &[String]) {
    if let Err(error) = discovery.remember(addresses).await {
        warn!(%error, "the addresses of the members were not kept");
    }
}
