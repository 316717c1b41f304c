//! The ways to the members of a cluster: their addresses, and what they let in.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;

use bytes::Bytes;

use crate::client::Client;
use crate::credentials::Credentials;
use crate::system::Program;
use crate::{etcd, kv_service};

/// Members of a cluster.
pub(crate) const MEMBERS: usize = 3;

/// Where the members are; cheap enough to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    addresses: Addresses,
    credentials: Option<Credentials>,
    /// That the callers of a client for load share.
    connections: usize,
}

#[derive(Clone, Debug)]
enum Addresses {
    Etcd([etcd::Address; MEMBERS]),
    KvService([kv_service::Address; MEMBERS]),
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) leads: bool,
    /// The leader's id; none while there is no leader.
    pub(crate) leader: Option<u64>,
    pub(crate) term: u64,
    /// Index of the last entry it has applied.
    pub(crate) applied: u64,
}

impl Ways {
    /// For a new cluster, with TLS if there are credentials.
    pub(crate) fn new(
        program: Program,
        credentials: Option<Credentials>,
        connections: usize,
    ) -> anyhow::Result<Ways> {
        let pairs = pairs()?;
        let addresses = match program {
            Program::Etcd => {
                Addresses::Etcd(pairs.map(|[client, peer]| etcd::Address { client, peer }))
            }
            Program::KvService => {
                Addresses::KvService(pairs.map(|[http, raft]| kv_service::Address { http, raft }))
            }
        };
        Ok(Ways { addresses, credentials, connections })
    }

    /// The arguments with which member `index` is started.
    pub(crate) fn arguments(&self, index: usize, directory: &Path) -> Vec<OsString> {
        let credentials = self.credentials.as_ref();
        match &self.addresses {
            Addresses::Etcd(all) => etcd::arguments(index, all, directory, credentials),
            Addresses::KvService(all) => kv_service::arguments(index, all, directory, credentials),
        }
    }

    /// Asks member `index` about itself.
    pub(crate) async fn status(&self, index: usize) -> anyhow::Result<Status> {
        match &self.addresses {
            Addresses::Etcd(all) => {
                let channel = etcd::channel(&all[index].client, self.credentials.as_ref())?;
                let etcd::Status { id, leader, term, applied } = etcd::status(&channel).await?;
                let leader = (leader != 0).then_some(leader);
                Ok(Status { leads: leader == Some(id), leader, term, applied })
            }
            Addresses::KvService(all) => {
                let said = kv_service::status(&all[index].http).await?;
                let kv_service::Status { id, leader, term, applied } = said;
                Ok(Status { leads: leader == Some(id), leader, term, applied })
            }
        }
    }

    /// A client for load, all of which goes to the leader.
    pub(crate) async fn client(&self, leader: usize) -> anyhow::Result<Client> {
        let credentials = self.credentials.as_ref();
        Ok(match &self.addresses {
            Addresses::Etcd(all) => Client::Etcd(etcd::Client::to_leader(
                &all[leader].client,
                self.connections,
                credentials,
            )?),
            Addresses::KvService(all) => Client::KvService(
                kv_service::Client::to_leader(all, leader, self.connections, credentials).await?,
            ),
        })
    }

    /// A client for writes that knows all members and not who leads: one that goes on when a
    /// member dies. etcd's goes to the members in turn.
    pub(crate) async fn roaming_client(&self) -> anyhow::Result<Client> {
        let credentials = self.credentials.as_ref();
        Ok(match &self.addresses {
            Addresses::Etcd(all) => {
                let all = all.each_ref().map(|address| address.client.as_str());
                Client::Etcd(etcd::Client::to_each(&all, credentials)?)
            }
            Addresses::KvService(all) => {
                Client::KvService(kv_service::Client::to_all(all, credentials).await?)
            }
        })
    }

    /// Reads linearizably from the member whose turn it is, over a new connection.
    pub(crate) async fn get_once(&self, turn: usize, key: &str) -> anyhow::Result<Option<Bytes>> {
        match &self.addresses {
            Addresses::Etcd(all) => {
                let address = all[turn % MEMBERS].client.as_str();
                let client = etcd::Client::to_each(&[address], self.credentials.as_ref())?;
                client.get(0, key.to_owned()).await
            }
            Addresses::KvService(all) => kv_service::get_once(&all[turn % MEMBERS].http, key).await,
        }
    }
}

/// Two addresses for each member that were free a moment ago: all must be known before the first
/// member starts.
fn pairs() -> anyhow::Result<[[String; 2]; MEMBERS]> {
    let mut held = Vec::new();
    let mut pairs: [[String; 2]; MEMBERS] = Default::default();
    for address in pairs.iter_mut().flatten() {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *address = listener.local_addr()?.to_string();
        held.push(listener);
    }
    Ok(pairs)
}
