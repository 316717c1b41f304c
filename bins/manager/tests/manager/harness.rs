//! Managers on loopback, in directories of their own, and a client that believes their authority.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use telegraph_manager::certs::{Authority, Credentials, SERVER_NAME, generate_authority};
use telegraph_manager::{LoginLimit, Manager, ManagerConfig};
use tempfile::TempDir;

/// Longer than anything takes, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A place for some managers: ports and directories known before they start.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    credentials: Credentials,
    pub(crate) directory: TempDir,
    members: Vec<raft_core::Member>,
    lease: Duration,
}

/// A manager and the way to ask it.
pub(crate) struct Running {
    pub(crate) manager: Manager,
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
}

impl Site {
    /// A place for managers 1 to `count`. Somebody silent for `lease` is offline.
    pub(crate) fn new(count: u64, lease: Duration) -> Self {
        let authority = generate_authority().unwrap();
        let credentials = authority.issue(&[]).unwrap();
        let mut taken = BTreeSet::new();
        let members = (1..=count)
            .map(|id| raft_core::Member {
                id,
                address: free_port(&mut taken).to_string(),
                service_address: free_port(&mut taken).to_string(),
                ..raft_core::Member::default()
            })
            .collect();
        let directory = tempfile::tempdir().unwrap();
        Self { authority, credentials, directory, members, lease }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.members.len() as u64
    }

    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.directory.path().join(format!("manager-{id}"))
    }

    /// How manager `id` is configured, for those who start it otherwise.
    pub(crate) fn config(&self, id: u64) -> ManagerConfig {
        let member = self.members.iter().find(|member| member.id == id).unwrap();
        let node = raft_core::Config {
            node_id: id,
            data_dir: self.data_dir(id),
            listen: member.address.parse().unwrap(),
            members: self.members.clone(),
            tls: Some(self.credentials.clone().into()),
            // A busy machine must not look like a dead leader.
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(600),
            election_timeout_max: Duration::from_millis(1000),
            quorum_loss_probe_interval: Duration::from_millis(2500),
            ..raft_core::Config::default()
        };
        ManagerConfig {
            node,
            rest_listen: member.service_address.parse().unwrap(),
            discovery_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            lease: self.lease,
            presence_interval: Duration::from_millis(50),
            bcrypt_cost: 4,
            login_limit: LoginLimit { burst: 200, ..LoginLimit::default() },
            // An election on a busy machine included.
            consensus_deadline: Duration::from_secs(20),
            ..ManagerConfig::default()
        }
    }

    /// Starts one manager and waits for nothing.
    pub(crate) async fn start(&self, id: u64) -> Running {
        self.start_with(self.config(id)).await
    }

    /// Starts a manager as it is configured.
    pub(crate) async fn start_with(&self, config: ManagerConfig) -> Running {
        let manager = Box::pin(Manager::bind(config)).await.unwrap();
        let client = client(tls(&self.credentials.ca_pem, None), manager.rest_addr());
        let base = format!("https://{SERVER_NAME}:{}", manager.rest_addr().port());
        Running { manager, client, base }
    }

    /// Starts all, and waits until each is ready.
    pub(crate) async fn start_all(&self) -> Vec<Running> {
        let mut all = Vec::new();
        for id in self.ids() {
            all.push(self.start(id).await);
        }
        for running in &all {
            running.until_ready().await;
        }
        all
    }
}

/// What a manager answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Answered {
    /// The problem's kind; empty for a success.
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap_or("")
    }

    /// The message of a success.
    pub(crate) fn message(&self) -> &Value {
        assert_eq!(self.status, 200, "{self:?}");
        &self.body["message"]
    }
}

impl Running {
    pub(crate) async fn until_ready(&self) {
        until("the manager is ready", async || {
            self.client.get(format!("{}/readyz", self.base)).send().await.unwrap().status() == 200
        })
        .await;
    }

    /// Asks with a token and a JSON body, where given.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answered {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answered(request.send().await.unwrap()).await
    }

    pub(crate) fn node_id(&self) -> u64 {
        self.manager.node().status().node_id
    }

    /// What presence this manager shows of somebody.
    pub(crate) fn shows_online(&self, username: &str) -> bool {
        let account = self.manager.reader().account_by_name(&username.parse().unwrap()).unwrap();
        account.is_some_and(|account| account.is_online())
    }
}

pub(crate) async fn answered(response: reqwest::Response) -> Answered {
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map(|kind| kind.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answered { status, content_type: content_type.unwrap_or_default(), body }
}

/// The one of these managers that leads, once there is one that all of them follow.
pub(crate) async fn leader(all: &[Running]) -> usize {
    let mut found = None;
    until("all follow one leader", async || {
        let leaders: BTreeSet<_> = all.iter().map(|r| r.manager.node().status().leader).collect();
        let one = leaders.into_iter().collect::<Vec<_>>();
        let [Some(leader)] = one.as_slice() else { return false };
        found = all.iter().position(|running| running.node_id() == *leader);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Waits for a condition; a test that waits in vain says for what.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// TLS that believes `ca_pem` and, where given, shows a certificate.
pub(crate) fn tls(ca_pem: &[u8], shown: Option<&Credentials>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    match shown {
        None => config.with_no_client_auth(),
        Some(credentials) => {
            let chain = vec![CertificateDer::from_pem_slice(&credentials.cert_pem).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(&credentials.key_pem).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A client of the manager at `address`.
pub(crate) fn client(tls: ClientConfig, address: SocketAddr) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve(SERVER_NAME, address)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .unwrap()
}

/// A port nobody listens at, and that was not given out before.
fn free_port(taken: &mut BTreeSet<u16>) -> SocketAddr {
    loop {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if taken.insert(address.port()) {
            return address;
        }
    }
}

/// Every file below a directory.
#[allow(dead_code, reason = "one of the two programs that share this file needs it")]
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
