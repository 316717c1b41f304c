//! One person, as a library: what `telegraph` does, callable.

pub mod enrol;
mod keys;
mod mail;
mod presence;

use crate::{
    account::Account,
    error::ClientError,
    event::{ClientEvent, Events},
    managers::{ManagerClient, error::ManagerError},
    online::Online,
    options::{self, Options},
    profile::{Profile, settings::Settings},
};
use peer_messaging::Messenger;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::Path, sync::Arc};
use telegraph_proto::rest;
use tokio::sync::{Mutex, MutexGuard, broadcast};

/// Most people [`Client::peers`] returns: a hundred pages.
const MAX_PEERS: usize = 10_000;

/// A profile, held; with an account once it is unlocked, and online when told so.
///
/// - A clone is the same client. The profile is free for others when the last one is dropped.
/// - Operations that change account or presence happen one after the other.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    profile: Arc<Profile>,
    managers: ManagerClient,
    events: Events,
    state: Mutex<State>,
}

/// What changes.
///
/// - `online` implies `messenger`, and `messenger` implies `account`.
#[derive(Debug)]
struct State {
    settings: Settings,
    account: Option<Arc<Account>>,
    messenger: Option<Messenger>,
    online: Option<Online>,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// The name; `None` in a profile without an account.
    pub username: Option<String>,
    /// 64 hexadecimal digits; `None` while locked.
    pub account_id: Option<String>,
    /// 32 hexadecimal digits.
    pub device_id: String,
    /// 32 hexadecimal digits; `None` before the first contact with a manager.
    pub cluster_id: Option<String>,
    /// True when the profile has a session; whether the managers still honour it shows at its next
    /// use.
    pub logged_in: bool,
    /// Where others reach this client; `None` when it is not online.
    pub address: Option<String>,
    /// Messages not yet delivered; `None` while locked.
    pub pending: Option<u64>,
    /// Where managers are believed to be.
    pub managers: Vec<String>,
}

impl Client {
    /// Takes the profile; sends nothing. Fails when another process has it, and when nothing says
    /// where managers are or whom to believe to be one.
    pub fn open(options: Options) -> Result<Self, ClientError> {
        let profile = Arc::new(Profile::open(&options.profile)?);
        let mut settings = profile.settings()?;
        options.lay_over(&mut settings);
        let trust = options.trust(&settings, &profile)?;
        let find = options::discovery(&settings, profile.managers_file())?;
        let managers = ManagerClient::new(&trust, find, options.deadline)
            .map_err(options::OptionsError::from)?;
        let listed = u32::try_from(settings.managers.len()).unwrap_or(u32::MAX);
        managers.expect_voters(settings.voters.max(listed));
        let state = State { settings, account: None, messenger: None, online: None };
        let (events, state) = (Events::new(), Mutex::new(state));
        Ok(Self { inner: Arc::new(Inner { options, profile, managers, events, state }) })
    }

    /// What happens between this client and the managers.
    pub fn events(&self) -> broadcast::Receiver<ClientEvent> {
        self.inner.events.subscribe()
    }

    /// The managers as this client reaches them.
    pub fn managers(&self) -> &ManagerClient {
        &self.inner.managers
    }

    /// How things stand, as far as it is known here.
    pub async fn whoami(&self) -> Result<WhoAmI, ClientError> {
        let state = self.state().await;
        let settings = &state.settings;
        let mut managers = self.managers().addresses();
        managers.extend(settings.managers.iter().cloned());
        managers.sort_unstable();
        managers.dedup();
        let logged_in = match &state.account {
            Some(account) => account.token()?.is_some(),
            None => self.profile().vault()?.is_some_and(|vault| vault.has_token()),
        };
        Ok(WhoAmI {
            username: settings.username.as_ref().map(ToString::to_string),
            account_id: state.account.as_ref().map(|a| a.account_id().to_string()),
            device_id: settings.device_id.to_string(),
            cluster_id: settings.cluster_id.map(hex::encode),
            logged_in,
            address: state.online.as_ref().map(|online| online.advertised.to_string()),
            pending: state.messenger.as_ref().map(pending),
            managers,
        })
    }

    /// Where others are told to reach this client; `None` when it is not online.
    pub async fn address(&self) -> Option<SocketAddr> {
        self.state().await.online.as_ref().map(|online| online.advertised)
    }

    /// Who is online, by name. Not verified: a list to look at, not to send by.
    pub async fn peers(&self) -> Result<Vec<rest::Peer>, ClientError> {
        let mut all: Vec<rest::Peer> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.managers().peers(after.as_deref()).await?;
            all.extend(page.peers);
            match page.next {
                // A manager that sends this client in circles ends it.
                Some(next) if after.as_ref() < Some(&next) && all.len() < MAX_PEERS => {
                    after = Some(next);
                }
                _ => return Ok(all),
            }
        }
    }

    /// The account's live sessions.
    pub async fn sessions(&self) -> Result<Vec<rest::Session>, ClientError> {
        Ok(self.managers().sessions().await?)
    }

    /// Ends a session by its id. Fails with [`ManagerError::NotFound`].
    pub async fn revoke(&self, session_id: &str) -> Result<(), ClientError> {
        let is_id = session_id.len() == 32 && session_id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id {
            let text = "a session's id has 32 hexadecimal digits".to_owned();
            return Err(ManagerError::NotFound(text).into());
        }
        Ok(self.managers().revoke(session_id).await?)
    }

    /// The profile's directory.
    pub fn directory(&self) -> &Path {
        self.inner.profile.directory()
    }

    fn options(&self) -> &Options {
        &self.inner.options
    }

    fn profile(&self) -> &Arc<Profile> {
        &self.inner.profile
    }

    async fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.inner.state.lock().await;
        if state.online.as_ref().is_some_and(Online::was_replaced) {
            // It shut its messenger down by itself, and has told so once it is stopped.
            if let Some(online) = state.online.take() {
                online.stop().await;
            }
            state.messenger = None;
        }
        state
    }
}

impl State {
    fn account(&self) -> Result<&Arc<Account>, ClientError> {
        self.account.as_ref().ok_or(ClientError::Locked)
    }
}

fn pending(messenger: &Messenger) -> u64 {
    u64::try_from(messenger.pending()).unwrap_or(u64::MAX)
}
