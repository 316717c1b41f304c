//! The settings of `serve`: flags over environment over TOML file over defaults.

use super::members::MemberFlag;
use super::span::Span;
use clap::Args;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use telegraph_manager::ManagerConfig;
use telegraph_manager::certs::{CertificateError, Credentials, Files};
use telegraph_manager::telemetry::LogFormat;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("--{0} is missing")]
    Missing(&'static str),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Toml { path: PathBuf, source: Box<toml::de::Error> },
    #[error(transparent)]
    Credentials(#[from] CertificateError),
    #[error(transparent)]
    Config(#[from] telegraph_manager::ConfigError),
}

/// Every setting, each under the same name as flag, in the environment and in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// This manager's number in the list of members.
    #[arg(long, env = "TELEGRAPH_NODE_ID", value_name = "ID")]
    pub(crate) node_id: Option<u64>,
    /// Directory of everything this manager keeps.
    #[arg(long, env = "TELEGRAPH_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A manager of the cluster, this one included: ID=RAFT_HOST:PORT/REST_HOST:PORT. Repeatable;
    /// in the environment separated by commas, in the file a list named `members`. The same for
    /// every manager.
    #[arg(
        long = "member",
        env = "TELEGRAPH_MEMBERS",
        value_name = "ID=RAFT/REST",
        value_delimiter = ','
    )]
    pub(crate) members: Vec<MemberFlag>,
    /// Where other managers' calls are accepted [default: all interfaces, the port in the list].
    #[arg(long, env = "TELEGRAPH_RAFT_LISTEN", value_name = "IP:PORT")]
    pub(crate) raft_listen: Option<SocketAddr>,
    /// Where clients' HTTPS requests are accepted [default: 0.0.0.0:8000].
    #[arg(long, env = "TELEGRAPH_REST_LISTEN", value_name = "IP:PORT")]
    pub(crate) rest_listen: Option<SocketAddr>,
    /// Where UDP discovery is answered, or `off` [default: 0.0.0.0:5353].
    #[arg(long, env = "TELEGRAPH_DISCOVERY_LISTEN", value_name = "IP:PORT")]
    pub(crate) discovery_listen: Option<DiscoveryListen>,
    /// The authority's certificate.
    #[arg(long, env = "TELEGRAPH_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The managers' certificate.
    #[arg(long, env = "TELEGRAPH_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The managers' private key.
    #[arg(long, env = "TELEGRAPH_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Somebody silent for this long is offline [default: 15s].
    #[arg(long, env = "TELEGRAPH_LEASE", value_name = "TIME")]
    pub(crate) lease: Option<Span>,
    /// A session ends by itself after this [default: 30d].
    #[arg(long, env = "TELEGRAPH_SESSION_LIFETIME", value_name = "TIME")]
    pub(crate) session_lifetime: Option<Span>,
    /// bcrypt's cost, 2^COST rounds [default: 12].
    #[arg(long, env = "TELEGRAPH_BCRYPT_COST", value_name = "COST")]
    pub(crate) bcrypt_cost: Option<u32>,
    /// A snapshot is written, and the log before it let go, after this many entries
    /// [default: 50000].
    #[arg(long, env = "TELEGRAPH_SNAPSHOT_AFTER", value_name = "ENTRIES")]
    pub(crate) snapshot_after: Option<u64>,
    /// Logs as lines for people or as JSON [default: pretty].
    #[arg(long, env = "TELEGRAPH_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Which logs, for example `info,telegraph_manager=debug` [default: ours at info, others' at
    /// warn].
    #[arg(long, env = "TELEGRAPH_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// Where discovery is answered, or that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct DiscoveryListen(pub(crate) Option<SocketAddr>);

impl FromStr for DiscoveryListen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| format!("{text:?} is neither IP:PORT nor `off`"))?;
        Ok(Self(Some(address)))
    }
}

impl TryFrom<String> for DiscoveryListen {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Settings {
    /// Reads a TOML file; an unknown key is an error.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: path.into(), source })?;
        toml::from_str(&text)
            .map_err(|source| SettingsError::Toml { path: path.into(), source: Box::new(source) })
    }

    /// These settings, and where they say nothing, those.
    pub(crate) fn or(self, other: Self) -> Self {
        let members = if self.members.is_empty() { other.members } else { self.members };
        Self {
            node_id: self.node_id.or(other.node_id),
            data_dir: self.data_dir.or(other.data_dir),
            members,
            raft_listen: self.raft_listen.or(other.raft_listen),
            rest_listen: self.rest_listen.or(other.rest_listen),
            discovery_listen: self.discovery_listen.or(other.discovery_listen),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            lease: self.lease.or(other.lease),
            session_lifetime: self.session_lifetime.or(other.session_lifetime),
            bcrypt_cost: self.bcrypt_cost.or(other.bcrypt_cost),
            snapshot_after: self.snapshot_after.or(other.snapshot_after),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
        }
    }

    /// The configuration they make, credentials read and all of it validated.
    pub(crate) fn configure(self) -> Result<ManagerConfig, SettingsError> {
        let credentials = self.credentials()?;
        let mut config = ManagerConfig::default();
        config.node.node_id = self.node_id.ok_or(SettingsError::Missing("node-id"))?;
        config.node.data_dir = self.data_dir.ok_or(SettingsError::Missing("data-dir"))?;
        if self.members.is_empty() {
            return Err(SettingsError::Missing("member"));
        }
        config.node.members = self.members.into_iter().map(|MemberFlag(member)| member).collect();
        config.node.tls = Some(credentials.into());
        let port = config.node.this_member().and_then(|member| {
            member.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
        });
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.unwrap_or(0)));
        config.node.listen = self.raft_listen.unwrap_or(everywhere);
        set(&mut config.rest_listen, self.rest_listen);
        set(&mut config.discovery_listen, self.discovery_listen.map(|DiscoveryListen(at)| at));
        set(&mut config.lease, self.lease.map(|Span(time)| time));
        set(&mut config.session_lifetime, self.session_lifetime.map(|Span(time)| time));
        set(&mut config.bcrypt_cost, self.bcrypt_cost);
        set(&mut config.node.snapshot_after_entries, self.snapshot_after);
        config.validate()?;
        Ok(config)
    }

    fn credentials(&self) -> Result<Credentials, SettingsError> {
        let given = |file: &Option<PathBuf>, flag| file.clone().ok_or(SettingsError::Missing(flag));
        let files = Files {
            ca: given(&self.ca, "ca")?,
            cert: given(&self.cert, "cert")?,
            key: given(&self.key, "key")?,
            ca_key: PathBuf::new(),
        };
        Ok(files.read()?)
    }
}

fn set<T>(field: &mut T, to: Option<T>) {
    if let Some(value) = to {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<Settings, SettingsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manager.toml");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path)
    }

    #[test]
    fn a_file_says_what_flags_say_and_flags_win() {
        let file = from_toml(
            "node-id = 1\nlease = \"20s\"\nmembers = [\"1=a:7000/a:8000\"]\n\
             discovery-listen = \"off\"\nlog-format = \"json\"\n",
        )
        .unwrap();
        let flags = Settings { node_id: Some(2), ..Settings::default() };
        let both = flags.or(file);
        assert_eq!(both.node_id, Some(2));
        assert_eq!(both.members.len(), 1);
        assert_eq!(both.discovery_listen, Some(DiscoveryListen(None)));
        assert_eq!(both.log_format, Some(LogFormat::Json));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_errors() {
        for text in ["node = 1", "lease = 20", "discovery-listen = \"on\"", "members = [\"a\"]"] {
            assert!(matches!(from_toml(text), Err(SettingsError::Toml { .. })), "{text}");
        }
    }

    #[test]
    fn the_first_missing_setting_is_named() {
        let error = Settings::default().configure().unwrap_err();
        assert_eq!(error.to_string(), "--ca is missing");
        let directory = tempfile::tempdir().unwrap();
        let files = Files::initialise(directory.path(), &[]).unwrap();
        let with_files = Settings {
            ca: Some(files.ca),
            cert: Some(files.cert),
            key: Some(files.key),
            node_id: Some(1),
            ..Settings::default()
        };
        let error = with_files.clone().configure().unwrap_err();
        assert_eq!(error.to_string(), "--data-dir is missing");
        let whole = Settings {
            data_dir: Some("data".into()),
            members: vec!["1=a:7123/a:8000".parse().unwrap()],
            ..with_files
        };
        let config = whole.configure().unwrap();
        assert_eq!(config.node.listen.port(), 7123, "the port of the list is listened at");
    }
}
