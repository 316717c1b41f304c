//! What a caller asks of a system.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use raft_core::Node;
use tokio::time::timeout;

use crate::keys::{KEY_BYTES, VALUE_BYTES};
use crate::{etcd, kv_service};

/// Time for a call: longer than any that is of interest.
const LIMIT: Duration = Duration::from_secs(10);

/// A client of one of the systems, or what stands for one; cheap to clone, and its clones share
/// connections.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Etcd(etcd::Client),
    KvService(kv_service::Client),
    /// A member of this process, which counts what is written and keeps nothing of it.
    Embedded(Node),
}

impl Client {
    /// Writes; done when it is acknowledged. Calls with another `turn` may go another way.
    pub(crate) async fn put(&self, turn: usize, key: String, value: Bytes) -> anyhow::Result<()> {
        let call = async {
            match self {
                Client::Etcd(client) => client.put(turn, key, value).await,
                Client::KvService(client) => client.put(&key, &value).await,
                Client::Embedded(node) => Ok(node.propose(value, LIMIT).await.map(drop)?),
            }
        };
        timeout(LIMIT, call).await.context("a write took too long")?
    }

    /// Reads linearizably a key that was written before.
    pub(crate) async fn get(&self, turn: usize, key: String) -> anyhow::Result<()> {
        let call = async {
            match self {
                Client::Etcd(client) => client.get(turn, key).await,
                Client::KvService(client) => client.get(turn, &key).await,
                Client::Embedded(_) => bail!("what only counts has nothing to be read"),
            }
        };
        found(timeout(LIMIT, call).await.context("a read took too long")??)
    }

    /// Bytes of the user's in each write.
    pub(crate) fn bytes_a_write(&self) -> usize {
        match self {
            Client::Etcd(_) | Client::KvService(_) => KEY_BYTES + VALUE_BYTES,
            Client::Embedded(_) => VALUE_BYTES,
        }
    }
}

/// Fails unless a value of the right length was read.
pub(crate) fn found(value: Option<Bytes>) -> anyhow::Result<()> {
    let length = value.context("a key that was written is not there")?.len();
    ensure!(length == VALUE_BYTES, "a value of {length} bytes was read");
    Ok(())
}
