//! etcd: how a member of it is started, and asked.
//!
//! Its settings are its defaults but for names, addresses and directories, and for two: a larger
//! quota, since with its default of 2 GiB it refuses writes before the restart is measured, and a
//! log of errors only, which spares it the writing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};

use crate::credentials::Credentials;

/// What `proto/etcd.proto` becomes.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications, unreachable_pub)]
mod generated {
    tonic::include_proto!("etcdserverpb");
}

use generated::kv_client::KvClient;
use generated::maintenance_client::MaintenanceClient;
use generated::{PutRequest, RangeRequest, StatusRequest};

/// Room for a million entries and every older version of them, in bytes.
const QUOTA_BYTES: u64 = 16 << 30;

/// The version of an installed etcd.
///
/// # Errors
///
/// If there is none: then with what to do about it.
pub(crate) fn version(program: &Path) -> anyhow::Result<String> {
    let found = Command::new(program).arg("--version").output().with_context(|| {
        format!(
            "there is no etcd to compare with: {} does not run. Debian has it in the package \
             etcd-server (apt-get install etcd-server); another one is named by --etcd PROGRAM",
            program.display()
        )
    })?;
    let text = String::from_utf8_lossy(&found.stdout);
    match text.lines().next() {
        Some(line) if found.status.success() => Ok(line.to_owned()),
        _ => bail!("{} --version says nothing", program.display()),
    }
}

/// The addresses of a member.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) client: String,
    pub(crate) peer: String,
}

/// The arguments of member `index`, with its data in `directory`.
pub(crate) fn arguments(
    index: usize,
    all: &[Address],
    directory: &Path,
    credentials: Option<&Credentials>,
) -> Vec<OsString> {
    let scheme = if credentials.is_some() { "https" } else { "http" };
    let cluster: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(index, address)| format!("member-{index}={scheme}://{}", address.peer))
        .collect();
    let client = format!("{scheme}://{}", all[index].client);
    let peer = format!("{scheme}://{}", all[index].peer);
    let mut arguments: Vec<OsString> = Vec::new();
    let mut flag = |name: &str, value: OsString| {
        arguments.push(format!("--{name}").into());
        arguments.push(value);
    };
    flag("name", format!("member-{index}").into());
    flag("data-dir", directory.into());
    flag("listen-client-urls", client.clone().into());
    flag("advertise-client-urls", client.into());
    flag("listen-peer-urls", peer.clone().into());
    flag("initial-advertise-peer-urls", peer.into());
    flag("initial-cluster", cluster.join(",").into());
    flag("initial-cluster-state", "new".into());
    flag("quota-backend-bytes", QUOTA_BYTES.to_string().into());
    flag("logger", "zap".into());
    flag("log-level", "error".into());
    if let Some(Credentials { ca, cert, key, .. }) = credentials {
        let path = |path: &PathBuf| path.clone().into_os_string();
        for prefix in ["", "peer-"] {
            flag(&format!("{prefix}trusted-ca-file"), path(ca));
            flag(&format!("{prefix}cert-file"), path(cert));
            flag(&format!("{prefix}key-file"), path(key));
        }
        arguments.push("--client-cert-auth".into());
        arguments.push("--peer-client-cert-auth".into());
    }
    arguments
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its own id.
    pub(crate) id: u64,
    /// Who leads; 0 while nobody does.
    pub(crate) leader: u64,
    pub(crate) term: u64,
    /// Index of the last entry it has applied.
    pub(crate) applied: u64,
}

/// Asks a member about itself.
pub(crate) async fn status(channel: &Channel) -> anyhow::Result<Status> {
    let mut service = MaintenanceClient::new(channel.clone());
    let said = service.status(StatusRequest {}).await?.into_inner();
    let id = said.header.context("no header")?.member_id;
    let (leader, term, applied) = (said.leader, said.raft_term, said.raft_applied_index);
    Ok(Status { id, leader, term, applied })
}

/// A channel to a member that connects when it is first used.
pub(crate) fn channel(address: &str, credentials: Option<&Credentials>) -> anyhow::Result<Channel> {
    match credentials {
        Some(credentials) => credentials.channel(address),
        None => Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy()),
    }
}

/// Unary calls over a few connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    services: Vec<KvClient<Channel>>,
}

impl Client {
    /// For load: a few connections to the leader, each shared by as many callers.
    pub(crate) fn to_leader(
        address: &str,
        connections: usize,
        credentials: Option<&Credentials>,
    ) -> anyhow::Result<Client> {
        Client::to_each(&vec![address; connections], credentials)
    }

    /// A connection to each of `addresses`.
    pub(crate) fn to_each(
        addresses: &[&str],
        credentials: Option<&Credentials>,
    ) -> anyhow::Result<Client> {
        ensure!(!addresses.is_empty(), "nobody to connect to");
        let service = |address: &&str| Ok(KvClient::new(channel(address, credentials)?));
        Ok(Client { services: addresses.iter().map(service).collect::<anyhow::Result<_>>()? })
    }

    fn service(&self, turn: usize) -> KvClient<Channel> {
        self.services[turn % self.services.len()].clone()
    }

    /// Writes through the connection whose turn it is.
    pub(crate) async fn put(&self, turn: usize, key: String, value: Bytes) -> anyhow::Result<()> {
        self.service(turn).put(PutRequest { key: key.into(), value }).await?;
        Ok(())
    }

    /// Reads linearizably through the connection whose turn it is.
    pub(crate) async fn get(&self, turn: usize, key: String) -> anyhow::Result<Option<Bytes>> {
        let reply = self.service(turn).range(RangeRequest { key: key.into() }).await?;
        Ok(reply.into_inner().kvs.into_iter().next().map(|found| found.value))
    }
}
