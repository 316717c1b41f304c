//! Going online and off again.

use crate::{
    account::Account,
    client::{Client, State},
    directory::AddressBook,
    error::ClientError,
    online::{Lease, Online, advertised},
    options,
    profile::settings::Settings,
};
use peer_messaging::{Messenger, MessengerConfig, Store};
use raft_core_discovery::Discovery;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// How long names of managers are resolved when going online; without an answer in that time this
/// machine's own address is guessed.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    /// Opens a door for other people's messages at `listen`, announces it (as `advertise`, if that
    /// is given), and keeps the lease. What waits in the outbox is tried from now on.
    ///
    /// Works without a reachable manager; the announcement is made up for. Fails with
    /// [`ClientError::NotLoggedIn`] without a session, [`ClientError::Locked`] before
    /// [`Client::unlock`] or [`Client::login`], and when `listen` cannot be had.
    pub async fn go_online(
        &self,
        listen: SocketAddr,
        advertise: Option<SocketAddr>,
    ) -> Result<SocketAddr, ClientError> {
        let mut state = self.state().await;
        let account = state.account()?.clone();
        if account.token()?.is_none() {
            return Err(ClientError::NotLoggedIn);
        }
        close(&mut state).await?;
        let (messenger, book) = self.bind(&account, listen).await?;
        let manager = self.manager_address(&state.settings).await;
        let lease = Lease {
            advertised: advertised(messenger.local_addr(), advertise, manager),
            account,
            managers: self.managers().clone(),
            book,
            messenger: messenger.clone(),
            events: self.inner.events.clone(),
        };
        match Online::start(lease).await {
            Ok(online) => {
                let address = online.advertised;
                state.messenger = Some(messenger);
                state.online = Some(online);
                Ok(address)
            }
            Err(error) => {
                messenger.shutdown().await;
                Err(error)
            }
        }
    }

    /// Stops heartbeats and messenger. What is not delivered stays in the outbox; the managers
    /// notice by the lease. Going offline twice is no failure.
    pub async fn go_offline(&self) -> Result<(), ClientError> {
        close(&mut *self.state().await).await
    }

    /// Stops at once, as a killed process does: nothing is finished, nothing is flushed.
    pub async fn halt(&self) {
        let mut state = self.state().await;
        let online = state.online.take();
        if let Some(messenger) = state.messenger.take() {
            messenger.halt().await;
        }
        if let Some(online) = online {
            online.stop().await;
        }
    }

    /// The messenger: of an online client the one others reach; otherwise one that reaches the
    /// history and keeps what is to be sent, and that nobody was told of.
    pub async fn messenger(&self) -> Result<Messenger, ClientError> {
        let mut state = self.state().await;
        if let Some(messenger) = &state.messenger {
            return Ok(messenger.clone());
        }
        let account = state.account()?.clone();
        let (messenger, _) = self.bind(&account, (Ipv4Addr::LOCALHOST, 0).into()).await?;
        state.messenger = Some(messenger.clone());
        Ok(messenger)
    }

    async fn bind(
        &self,
        account: &Arc<Account>,
        listen: SocketAddr,
    ) -> Result<(Messenger, AddressBook), ClientError> {
        let book = AddressBook::new(
            self.managers().clone(),
            account.cluster_id,
            self.inner.events.clone(),
            self.profile(),
        );
        let path = self.profile().store_file();
        let key = account.data_key();
        // Opening may repair a store that was not closed: off the async threads.
        let store = tokio::task::spawn_blocking(move || Store::open(&path, key)).await;
        let store = store.map_err(|_| ClientError::Stopped)??;
        let config = MessengerConfig {
            listen,
            first_retry: self.options().first_retry,
            max_retry: self.options().max_retry,
            ..MessengerConfig::default()
        };
        let messenger = Messenger::bind(
            config,
            store,
            account.key.clone(),
            account.device_id,
            Arc::new(book.clone()),
            account.cluster_id,
        )
        .await?;
        Ok((messenger, book))
    }

    /// Where a manager is believed to be, to learn which of this machine's addresses leads there.
    /// Nobody is asked for it: people already known are reached without managers, too.
    async fn manager_address(&self, settings: &Settings) -> Option<SocketAddr> {
        let find = async {
            let mut believed = self.managers().addresses();
            if believed.is_empty() {
                let cache = self.profile().managers_file();
                let find = options::discovery(settings, cache).ok()?;
                let found = Discovery { sweep: None, ..find }.find().await;
                believed.extend(found.into_iter().map(|candidate| candidate.address));
            }
            if let Some(address) = believed.iter().find_map(|address| address.parse().ok()) {
                return Some(address);
            }
            for address in believed {
                if let Ok(mut found) = tokio::net::lookup_host(address).await
                    && let Some(first) = found.next()
                {
                    return Some(first);
                }
            }
            None
        };
        tokio::time::timeout(ADDRESS_PATIENCE, find).await.ok().flatten()
    }
}

/// Heartbeats first: they ask the messenger what it waits for.
pub(crate) async fn close(state: &mut State) -> Result<(), ClientError> {
    if let Some(online) = state.online.take() {
        online.stop().await;
    }
    if let Some(messenger) = state.messenger.take() {
        messenger.shutdown().await;
    }
    Ok(())
}
