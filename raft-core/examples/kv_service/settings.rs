//! What the program is told on its command line.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Parser};
use raft_core::{Member, Node, NodeBuilder, NodeId, Tls};

/// A small replicated key-value service.
#[derive(Debug, Parser)]
pub(crate) struct Settings {
    /// This node's number among the members; never 0.
    #[arg(long)]
    pub(crate) id: NodeId,
    /// Directory of everything this node keeps.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Where clients are served; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) http: SocketAddr,
    /// All members, this one included: ID=HOST:PORT, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_parser = member)]
    pub(crate) members: Vec<Member>,
    /// Id of a running cluster that is to take this node in; then some of its members are enough.
    #[arg(long, value_name = "CLUSTER", value_parser = cluster)]
    pub(crate) join: Option<[u8; 16]>,
    /// Where the other members' calls are accepted, if not at this node's own address in the list.
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// A snapshot, which is a copy of everything, is written after so many changes, and as many are
    /// kept in the log behind it.
    #[arg(long, default_value = "1000000")]
    pub(crate) snapshot_after: u64,
    /// Lets the members talk without TLS.
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "ca")]
    pub(crate) plaintext: bool,
    /// PEM file with the certificate of the authority that signed every member's.
    #[arg(long, requires_all = ["cert", "key"])]
    pub(crate) ca: Option<PathBuf>,
    /// PEM file with this member's certificate.
    #[arg(long, requires = "ca")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with the key of this member's certificate.
    #[arg(long, requires = "ca")]
    pub(crate) key: Option<PathBuf>,
    /// The DNS name in every member's certificate.
    #[arg(long, default_value = "kv")]
    pub(crate) server_name: String,
}

impl Settings {
    /// Where the pairs lie; the directory is made if need be.
    pub(crate) fn store(&self) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(&self.data).with_context(|| self.data.display().to_string())?;
        Ok(self.data.join("pairs.redb"))
    }

    /// The node that is to be started.
    pub(crate) fn node(&self) -> anyhow::Result<NodeBuilder> {
        let mut builder = Node::builder(self.id)
            .data_dir(self.data.join("raft"))
            .members(self.members.iter().cloned())
            .listen(self.listen()?)
            .configure(|config| {
                config.snapshot_after_entries = self.snapshot_after;
                config.snapshot_after_bytes = 1 << 30;
                config.keep_entries = self.snapshot_after;
                config.cluster_id = self.join;
                // Somebody is watching.
                config.promote_after = Duration::from_secs(2);
            });
        if self.plaintext {
            builder = builder.allow_plaintext();
        }
        if let (Some(ca), Some(cert), Some(key)) = (&self.ca, &self.cert, &self.key) {
            builder = builder.tls(Tls::from_files(ca, cert, key, &self.server_name)?);
        }
        Ok(builder)
    }

    fn listen(&self) -> anyhow::Result<SocketAddr> {
        if let Some(address) = self.listen {
            return Ok(address);
        }
        let this = self.members.iter().find(|member| member.id == self.id);
        let this = this.context("--members does not name this node")?;
        let found = this.address.to_socket_addrs().with_context(|| this.address.clone())?.next();
        found.with_context(|| format!("{} has no address", this.address))
    }
}

fn cluster(text: &str) -> Result<[u8; 16], String> {
    let mut id = [0; 16];
    hex::decode_to_slice(text, &mut id).map_err(|error| error.to_string())?;
    Ok(id)
}

fn member(text: &str) -> Result<Member, String> {
    let (id, address) = text.split_once('=').ok_or("expected ID=HOST:PORT")?;
    let id = id.parse().map_err(|_| format!("{id:?} is no number"))?;
    Ok(Member::new(id, address))
}
