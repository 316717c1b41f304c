//! The caller: finds the leader, asks it, and knows what it does not know.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raft_core_discovery::Discovery;
use telegraph_proto::raft;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, warn};

use crate::applied::Applied;
use crate::call::{Answer, Call};
use crate::command::Command;
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::route::Route;
use crate::search::Search;
use crate::tls::Dialer;

/// Pause after every known member was asked in vain: a fraction of an election.
const LAP_PAUSE: Duration = Duration::from_millis(100);

/// Makes calls to whoever leads; cheap to clone, and its clones share connections.
#[derive(Clone)]
pub(crate) struct Caller {
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

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("route", &*self.route()).finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller that is connected to the first member it found.
    pub(crate) async fn connect(
        config: ClientConfig,
        limit: Duration,
    ) -> Result<Caller, ClientError> {
        config.validate()?;
        let dialer = config.tls.as_ref().map(Dialer::new).transpose()?;
        let route = Mutex::new(Route::new(config.cluster_id));
        let connecting = tokio::sync::Mutex::new(());
        let caller = Caller { inner: Arc::new(Inner { config, dialer, route, connecting }) };
        let mut search = Search::new(limit);
        caller.next_member(&mut search).await?;
        Ok(caller)
    }

    /// The cluster it talks to.
    pub(crate) fn cluster_id(&self) -> Option<[u8; 16]> {
        self.route().cluster_id()
    }

    /// Proposes one command, in a session or in none.
    pub(crate) async fn send(
        &self,
        command: Command,
        session: Option<raft::Session>,
        limit: Duration,
    ) -> Result<Applied, ClientError> {
        let (bytes, most) = (command.payload.len(), self.inner.config.max_command_bytes);
        if bytes > most {
            let detail = format!("{bytes} bytes; at most {most} are sent");
            return Err(ClientError::TooLarge { detail });
        }
        let Command { payload, version } = command;
        let command = raft::Command { version, session, payload, ..raft::Command::default() };
        self.run(&Call::Propose(command), limit).await
    }

    /// Makes one call: finds the leader, asks it, and knows what it does not know.
    pub(crate) async fn run(&self, call: &Call, limit: Duration) -> Result<Applied, ClientError> {
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
    async fn next_member(&self, search: &mut Search) -> Result<Arc<Connection>, ClientError> {
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

    async fn connection(&self, address: &str) -> Result<Arc<Connection>, String> {
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
        let connection = Arc::new(connection);
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
        let addresses: Vec<String> = {
            let mut route = self.route();
            if !route.crown(address) {
                return;
            }
            route.addresses().cloned().collect()
        };
        remember(&self.inner.config.discovery, &addresses).await;
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
