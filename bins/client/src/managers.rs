//! The managers as one service: whichever answers, with what may be repeated repeated.

pub mod error;
mod link;
mod search;

use crate::{
    managers::{
        error::{ManagerError, Setback},
        link::{Body, Call, Link},
        search::Search,
    },
    trust::{Trust, TrustError},
};
use raft_core_discovery::Discovery;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use telegraph_proto::{
    account::{AccountId, Username},
    rest::{self, Secret},
};
use zeroize::Zeroizing;

/// The longest one manager is waited for when it only has to look something up.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);
/// The longest one manager is waited for when it has to write: it may wait for a leader itself, and
/// checking a password takes a while.
const CHANGE_PATIENCE: Duration = Duration::from_secs(8);
/// First pause after every manager was tried in vain; doubles, and half of it is random.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Most managers kept: more than any cluster has.
const MAX_LINKS: usize = 64;

/// Asks managers, in the order in which they were found, the last one that worked first.
///
/// - A request that changes something is made a second time only when the first certainly did
///   nothing, or when doing it twice does no more than once.
/// - A clone is the same client.
#[derive(Debug, Clone)]
pub struct ManagerClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tls: rustls::ClientConfig,
    search: Search,
    state: Mutex<State>,
    /// How long a request is tried in all.
    deadline: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// The preferred one first.
    links: Vec<Arc<Link>>,
    cluster: Option<rest::Cluster>,
    /// The most voters the cluster was ever said to have.
    voters: u32,
    token: Option<Secret>,
}

impl ManagerClient {
    /// Prepares; nothing is sent. `deadline` bounds each request, with all its attempts. Fails when
    /// `trust` cannot be used.
    pub fn new(trust: &Trust, find: Discovery, deadline: Duration) -> Result<Self, TrustError> {
        let tls = trust.client_config()?;
        let search = Search::new(find);
        let state = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { tls, search, state, deadline }) })
    }

    /// What the cluster says of itself, asked once: its id, its size, its other managers, which are
    /// remembered for the next start.
    pub async fn cluster(&self) -> Result<rest::Cluster, ManagerError> {
        if let Some(known) = self.state().cluster.clone() {
            return Ok(known);
        }
        let cluster: rest::Cluster = self.call(Self::get(&["cluster"])).await?;
        self.learn(&cluster);
        self.inner.search.remember(self.addresses()).await;
        Ok(cluster)
    }

    /// The cluster has at least so many voters, as far as is known. Only rises: a single manager
    /// that claims to be alone must not be compared with nobody. More than 64 are not believed.
    pub fn expect_voters(&self, at_least: u32) {
        let mut state = self.state();
        state.voters = state.voters.max(at_least.min(MAX_LINKS as u32));
    }

    /// The most voters that the cluster was ever said to have; 0: nobody has said anything.
    pub fn voters(&self) -> u32 {
        self.state().voters
    }

    /// How many managers have to say the same, so that one of them is honest while no more than a
    /// minority is not: `k + 1` of `2k + 1`.
    pub fn majority(&self) -> usize {
        usize::try_from(self.voters() / 2 + 1).unwrap_or(usize::MAX)
    }

    /// Attaches a session's token to every request from here on; `None`: to none.
    pub fn set_token(&self, token: Option<Secret>) {
        self.state().token = token;
    }

    /// Addresses known so far, the preferred one first.
    pub fn addresses(&self) -> Vec<String> {
        self.state().links.iter().map(|link| link.address.clone()).collect()
    }

    /// `POST /register`. Repeatable: the same name with the same key is the same registration.
    pub async fn register(&self, body: &rest::RegisterRequest) -> Result<(), ManagerError> {
        let _: rest::Registered = self.call(Self::change("register", body, true)?).await?;
        Ok(())
    }

    /// `POST /login`. Repeatable: the newest login of a device replaces the one whose answer was
    /// lost.
    pub async fn login(&self, body: &rest::LoginRequest) -> Result<rest::LoggedIn, ManagerError> {
        self.call(Self::change("login", body, true)?).await
    }

    /// `POST /logout`. A session that is already over is a success.
    pub async fn logout(&self) -> Result<(), ManagerError> {
        let mut call = self.own(Self::change("logout", &serde_json::json!({}), true)?);
        call.body = None;
        match self.call::<serde_json::Value>(call).await {
            Ok(_) | Err(ManagerError::SessionEnded(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `GET /users/{username}`, from one manager. What comes back is not verified yet.
    pub async fn user(&self, username: &Username) -> Result<rest::Peer, ManagerError> {
        self.call(self.own(Self::get(&["users", username.as_str()]))).await
    }

    /// `GET /accounts/{account_id}`, from one manager. What comes back is not verified yet.
    pub async fn account_of(&self, account: &AccountId) -> Result<rest::Peer, ManagerError> {
        self.call(self.own(Self::get(&["accounts", &account.to_string()]))).await
    }

    /// `GET /users/{username}` of a majority of different managers, one answer each, for whoever
    /// does not want to rely on a single one. Managers that do not answer are passed over; managers
    /// are told apart by the node id they claim. Each manager asked may raise what a majority is.
    pub async fn user_from_several(
        &self,
        username: &Username,
    ) -> Vec<Result<rest::Peer, ManagerError>> {
        let call = self.own(Self::get(&["users", username.as_str()]));
        let mut answers = Vec::new();
        let mut asked = Vec::new();
        let mut tried: Vec<Arc<Link>> = Vec::new();
        // Whoever is asked may name managers that were not known before.
        while answers.len() < self.majority() {
            let links = self.links();
            let is_new = |link: &&Arc<Link>| !tried.iter().any(|known| Arc::ptr_eq(known, *link));
            let Some(link) = links.iter().find(is_new).cloned() else { break };
            tried.push(link.clone());
            let Some(node) = self.identify(&link).await else { continue };
            if asked.contains(&node) {
                continue;
            }
            match link.attempt(&call, LOOKUP_PATIENCE).await {
                Ok(peer) => answers.push(Ok(peer)),
                Err(Setback::Final(error)) => answers.push(Err(error)),
                Err(_) => continue,
            }
            asked.push(node);
        }
        answers
    }

    /// `GET /account`.
    pub async fn account(&self) -> Result<rest::OwnAccount, ManagerError> {
        self.call(self.own(Self::get(&["account"]))).await
    }

    /// One page of `GET /peers`.
    pub async fn peers(&self, after: Option<&str>) -> Result<rest::Peers, ManagerError> {
        let mut call = self.own(Self::get(&["peers"]));
        call.query.extend(after.map(|name| ("after", name.to_owned())));
        self.call(call).await
    }

    /// `POST /heartbeat`.
    pub async fn heartbeat(
        &self,
        body: &rest::HeartbeatRequest,
    ) -> Result<rest::Heartbeat, ManagerError> {
        let mut call = self.own(Self::change("heartbeat", body, true)?);
        call.patience = LOOKUP_PATIENCE;
        self.call(call).await
    }

    /// `PUT /users/reconnect/{ip}/{username}`. When an answer was lost and the request repeated,
    /// the managers may call the statement's number used: the caller looks whether it was this one.
    pub async fn reconnect(
        &self,
        username: &Username,
        ip: std::net::IpAddr,
        body: &rest::ReconnectRequest,
    ) -> Result<(), ManagerError> {
        let mut call = self.own(Self::change("users", body, true)?);
        call.method = Method::PUT;
        call.path.extend(["reconnect".into(), ip.to_string(), username.to_string()]);
        self.call::<serde_json::Value>(call).await.map(drop)
    }

    /// `POST /account/password`. Not repeated: the second try would be refused.
    pub async fn change_password(&self, body: &rest::PasswordRequest) -> Result<(), ManagerError> {
        let mut call = self.own(Self::change("account", body, false)?);
        call.path.push("password".into());
        self.call::<serde_json::Value>(call).await.map(drop)
    }

    /// `DELETE /account`. Not repeated.
    pub async fn delete_account(&self, body: &rest::DeleteRequest) -> Result<(), ManagerError> {
        let mut call = self.own(Self::change("account", body, false)?);
        call.method = Method::DELETE;
        self.call::<serde_json::Value>(call).await.map(drop)
    }

    /// `GET /sessions`.
    pub async fn sessions(&self) -> Result<Vec<rest::Session>, ManagerError> {
        self.call(self.own(Self::get(&["sessions"]))).await
    }

    /// `DELETE /sessions/{id}`.
    pub async fn revoke(&self, session_id: &str) -> Result<(), ManagerError> {
        let mut call = self.own(Self::get(&["sessions", session_id]));
        call.method = Method::DELETE;
        call.patience = CHANGE_PATIENCE;
        self.call::<serde_json::Value>(call).await.map(drop)
    }

    fn get(path: &[&str]) -> Call {
        Call {
            method: Method::GET,
            path: path.iter().map(|&segment| segment.to_owned()).collect(),
            query: Vec::new(),
            token: None,
            body: None,
            repeatable: true,
            patience: LOOKUP_PATIENCE,
        }
    }

    fn change<B: Serialize>(path: &str, body: &B, repeatable: bool) -> Result<Call, ManagerError> {
        let json = serde_json::to_vec(body).map_err(|e| ManagerError::Malformed(e.to_string()))?;
        let mut call = Self::get(&[path]);
        call.method = Method::POST;
        call.body = Some(Body(Zeroizing::new(json)));
        call.repeatable = repeatable;
        call.patience = CHANGE_PATIENCE;
        Ok(call)
    }

    /// The same request, in the name of the session.
    fn own(&self, mut call: Call) -> Call {
        call.token = self.state().token.clone();
        call
    }

    /// Makes a request of one manager after the other until it is answered, cannot be answered by
    /// any of them, or time is up.
    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, ManagerError> {
        let deadline = Instant::now() + self.inner.deadline;
        let mut pause = FIRST_PAUSE;
        let mut last = ManagerError::Unavailable("none is known".into());
        loop {
            for link in self.links() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(last);
                }
                match link.attempt(&call, call.patience.min(left)).await {
                    Ok(answer) => {
                        self.prefer(&link);
                        return Ok(answer);
                    }
                    Err(Setback::Final(error)) => {
                        self.prefer(&link);
                        return Err(error);
                    }
                    Err(Setback::Doubtful(error)) if !call.repeatable => {
                        tracing::debug!(manager = link.address, %error, "outcome unknown");
                        return Err(ManagerError::OutcomeUnknown);
                    }
                    Err(Setback::Elsewhere(error) | Setback::Doubtful(error)) => {
                        tracing::debug!(manager = link.address, %error, "asking another");
                        last = error;
                    }
                }
            }
            if self.look_further().await {
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            tokio::time::sleep(jittered(pause).min(left)).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Runs the next stage of discovery; true when it proposed somebody new.
    async fn look_further(&self) -> bool {
        let found = self.inner.search.next().await;
        self.add(&found)
    }

    /// Remembers what a cluster said of itself.
    fn learn(&self, cluster: &rest::Cluster) {
        self.state().cluster = Some(cluster.clone());
        self.expect_voters(cluster.voters);
        self.add(&cluster.managers);
    }

    fn add(&self, addresses: &[String]) -> bool {
        let mut state = self.state();
        let before = state.links.len();
        for address in addresses {
            let known = state.links.iter().any(|link| link.address == *address);
            if known || state.links.len() >= MAX_LINKS {
                continue;
            }
            match Link::new(address, &self.inner.tls) {
                Some(link) => state.links.push(Arc::new(link)),
                None => tracing::warn!(address, "not the address of a manager"),
            }
        }
        state.links.len() > before
    }

    /// The node id of the manager behind a link, asked once.
    async fn identify(&self, link: &Link) -> Option<u64> {
        if let Some(&node) = link.node_id.get() {
            return Some(node);
        }
        let cluster: rest::Cluster =
            link.attempt(&Self::get(&["cluster"]), LOOKUP_PATIENCE).await.ok()?;
        self.expect_voters(cluster.voters);
        self.add(&cluster.managers);
        Some(*link.node_id.get_or_init(|| cluster.node_id))
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.state().links.clone()
    }

    /// Puts the manager that answered first.
    fn prefer(&self, link: &Arc<Link>) {
        let links = &mut self.state().links;
        if let Some(at) = links.iter().position(|known| Arc::ptr_eq(known, link)) {
            links[..=at].rotate_right(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock; if something ever does, the lists are still
        // lists.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between half of `pause` and all of it, so that clients do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
