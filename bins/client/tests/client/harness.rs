//! A real manager on loopback, and people with profiles of their own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};
use telegraph_client::{client::Client, options::Options, password::Password, trust::Trust};
use telegraph_manager::{
    LoginLimit, Manager, ManagerConfig,
    certs::{Credentials, generate_authority},
};
use telegraph_proto::account::Username;
use tempfile::TempDir;

/// Longer than anything takes, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse canary";

/// A manager, and room for profiles.
pub(crate) struct Site {
    credentials: Credentials,
    member: raft_core::Member,
    pub(crate) directory: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let credentials = generate_authority().unwrap().issue(&[]).unwrap();
        let [raft, rest] = free_ports();
        let (address, service_address) = (raft.to_string(), rest.to_string());
        let member =
            raft_core::Member { id: 1, address, service_address, ..raft_core::Member::default() };
        Self { credentials, member, directory: tempfile::tempdir().unwrap() }
    }

    /// Starts the manager, again or for the first time.
    pub(crate) async fn manager(&self) -> Manager {
        let node = raft_core::Config {
            node_id: 1,
            data_dir: self.directory.path().join("manager"),
            listen: self.member.address.parse().unwrap(),
            members: vec![self.member.clone()],
            tls: Some(self.credentials.clone().into()),
            ..raft_core::Config::default()
        };
        let config = ManagerConfig {
            node,
            rest_listen: self.member.service_address.parse().unwrap(),
            discovery_listen: None,
            lease: Duration::from_secs(3),
            presence_interval: Duration::from_millis(50),
            bcrypt_cost: 4,
            login_limit: LoginLimit { burst: 200, ..LoginLimit::default() },
            ..ManagerConfig::default()
        };
        Box::pin(Manager::bind(config)).await.unwrap()
    }

    pub(crate) fn profile(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn rest_address(&self) -> &str {
        &self.member.service_address
    }

    /// What stands for the authority's certificate.
    pub(crate) fn fingerprint(&self) -> String {
        telegraph_manager::certs::fingerprint(&self.credentials.ca_pem).unwrap()
    }

    /// The authority's file, for programs.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.file("ca.pem", &self.credentials.ca_pem)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn options(&self, profile: &str) -> Options {
        Options {
            managers: vec![self.member.service_address.clone()],
            trust: Some(Trust::Authority(self.credentials.ca_pem.clone())),
            deadline: Duration::from_secs(20),
            first_retry: Duration::from_millis(50),
            max_retry: Duration::from_millis(500),
            ..Options::new(self.profile(profile))
        }
    }

    pub(crate) fn client(&self, profile: &str) -> Client {
        Client::open(self.options(profile)).unwrap()
    }

    /// Somebody registered and logged in, in a profile of that name.
    pub(crate) async fn person(&self, who: &str) -> Client {
        let client = self.client(who);
        client.register(&name(who), &password(PASSWORD)).await.unwrap();
        client.login(None, &password(PASSWORD)).await.unwrap();
        client
    }

    /// Somebody who is online as well.
    pub(crate) async fn online(&self, who: &str) -> Client {
        let client = self.person(who).await;
        client.go_online(anywhere(), None).await.unwrap();
        client
    }
}

pub(crate) fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

/// Whether any file below `directory` has `needle` in it.
pub(crate) fn contains(directory: &Path, needle: &[u8]) -> Option<PathBuf> {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = contains(&path, needle) {
                return Some(found);
            }
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle)
        {
            return Some(path);
        }
    }
    None
}

fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
