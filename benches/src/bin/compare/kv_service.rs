//! raft-core's kv_service: how it is built, how a member of it is started, and asked.
//!
//! Writes go through the remote client, whose callers share one kept stream to the leader. Reads
//! are the example's own, over HTTP/2 without TLS, which it does not offer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use raft_core_client::ClientConfig;
use raft_core_discovery::Discovery;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::change::{Change, Outcome};
use crate::credentials::{Credentials, SERVER_NAME};

/// Time for a call: longer than any that is of interest.
const LIMIT: Duration = Duration::from_secs(10);

/// Builds the example, and says where it is.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "-p", "raft-core", "--example", "kv_service"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(built.status.success(), "kv_service is not built");
    let said = String::from_utf8_lossy(&built.stdout);
    said.lines().find_map(executable).context("cargo does not say where kv_service is")
}

/// Where the example is, if that is what a line of cargo's says.
fn executable(line: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    #[derive(Deserialize)]
    struct Artifact {
        target: Target,
        executable: PathBuf,
    }
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    (artifact.target.name == "kv_service").then_some(artifact.executable)
}

/// The addresses of a member.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) http: String,
    pub(crate) raft: String,
}

/// The arguments of member `index`, with its data in `directory`: nothing but addresses.
pub(crate) fn arguments(
    index: usize,
    all: &[Address],
    directory: &Path,
    credentials: Option<&Credentials>,
) -> Vec<OsString> {
    let members: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(index, address)| format!("{}={}", index + 1, address.raft))
        .collect();
    let mut arguments: Vec<OsString> = vec![
        "--id".into(),
        (index + 1).to_string().into(),
        "--data".into(),
        directory.into(),
        "--http".into(),
        all[index].http.clone().into(),
        "--members".into(),
        members.join(",").into(),
    ];
    match credentials {
        None => arguments.push("--plaintext".into()),
        Some(Credentials { ca, cert, key, .. }) => {
            for (flag, path) in [("--ca", ca), ("--cert", cert), ("--key", key)] {
                arguments.extend([flag.into(), path.clone().into_os_string()]);
            }
            arguments.extend(["--server-name".into(), SERVER_NAME.into()]);
        }
    }
    arguments
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    /// Its own id.
    pub(crate) id: u64,
    /// Who leads.
    pub(crate) leader: Option<u64>,
    pub(crate) term: u64,
    /// Index of the last entry it has applied.
    pub(crate) applied: u64,
}

/// Asks a member about itself.
pub(crate) async fn status(http: &str) -> anyhow::Result<Status> {
    let (_, body) = fetch(&mut connect(http).await?, "/status").await?;
    Ok(serde_json::from_slice(&body)?)
}

type Connection = SendRequest<Empty<Bytes>>;

/// The remote client, and connections for reads.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    writes: raft_core_client::Client,
    reads: Vec<Connection>,
}

impl Client {
    /// For load: it knows all members, and reads from the one that leads.
    pub(crate) async fn to_leader(
        all: &[Address],
        leader: usize,
        connections: usize,
        credentials: Option<&Credentials>,
    ) -> anyhow::Result<Client> {
        let mut client = Client::to_all(all, credentials).await?;
        for _ in 0..connections {
            client.reads.push(connect(&all[leader].http).await?);
        }
        Ok(client)
    }

    /// For writes alone, to whoever leads.
    pub(crate) async fn to_all(
        all: &[Address],
        credentials: Option<&Credentials>,
    ) -> anyhow::Result<Client> {
        let config = ClientConfig {
            discovery: Discovery::fixed(all.iter().map(|address| address.raft.clone())),
            tls: credentials.map(|credentials| credentials.tls.clone()),
            allow_plaintext: credentials.is_none(),
            ..ClientConfig::default()
        };
        let writes = raft_core_client::Client::connect(config, LIMIT).await?;
        Ok(Client { writes, reads: Vec::new() })
    }

    pub(crate) async fn put(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        let command = Change::Put { key, value }.encode()?;
        let applied = self.writes.propose(command, LIMIT).await?;
        match Outcome::decode(&applied.reply) {
            Some(Outcome::New | Outcome::Known) => Ok(()),
            Some(Outcome::Refused) | None => bail!("the change was not understood"),
        }
    }

    /// Reads linearizably through the connection whose turn it is.
    pub(crate) async fn get(&self, turn: usize, key: &str) -> anyhow::Result<Option<Bytes>> {
        let mut connection = self.reads[turn % self.reads.len()].clone();
        read(&mut connection, key).await
    }
}

/// Reads linearizably from one member, over a connection of its own.
pub(crate) async fn get_once(http: &str, key: &str) -> anyhow::Result<Option<Bytes>> {
    read(&mut connect(http).await?, key).await
}

async fn read(connection: &mut Connection, key: &str) -> anyhow::Result<Option<Bytes>> {
    match fetch(connection, &format!("/kv/{key}")).await? {
        (StatusCode::OK, body) => Ok(Some(body)),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, body) => bail!("{status}: {}", String::from_utf8_lossy(&body)),
    }
}

async fn connect(http: &str) -> anyhow::Result<Connection> {
    let tcp = TcpStream::connect(http).await?;
    tcp.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await?;
    // It ends with the last sender; what went wrong shows at a request.
    tokio::spawn(connection);
    Ok(sender)
}

async fn fetch(connection: &mut Connection, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    connection.ready().await?;
    let request = Request::get(format!("http://member{path}")).body(Empty::new())?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_found_among_what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"kv_service"},
            "executable":"/there/kv_service","fresh":true}"#;
        assert_eq!(executable(line), Some(PathBuf::from("/there/kv_service")));
        assert_eq!(executable(&line.replace("kv_service", "other")), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
