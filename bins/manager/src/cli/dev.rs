//! `serve --dev`: one manager to try things with, all it needs made on the spot.

use super::members::MemberFlag;
use super::print;
use super::settings::{DiscoveryListen, Settings, SettingsError};
use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use telegraph_manager::Manager;
use telegraph_manager::certs::{self, CertificateError, Files};

/// The directory of a development manager, deleted with this value unless it was given.
#[derive(Debug)]
pub(crate) struct Development {
    directory: PathBuf,
    throw_away: bool,
    files: Files,
    fingerprint: String,
    rest_listen: SocketAddr,
}

impl Development {
    /// Makes directory and certificates, or takes those that are there.
    pub(crate) fn prepare(settings: &Settings) -> Result<Self, SettingsError> {
        let (directory, throw_away) = match &settings.data_dir {
            Some(directory) => (directory.clone(), false),
            None => (temporary()?, true),
        };
        let certificates = directory.join("certs");
        let files = match Files::initialise(&certificates, &[]) {
            Err(CertificateError::Exists(_)) => Files::of(&certificates),
            made => made?,
        };
        let fingerprint = certs::fingerprint(&files.read()?.ca_pem)?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
        let rest_listen = known_port(settings.rest_listen.unwrap_or(loopback));
        let rest_listen = rest_listen.map_err(|source| read_error(&directory, source))?;
        Ok(Self { directory, throw_away, files, fingerprint, rest_listen })
    }

    /// The given settings, and what they leave open.
    pub(crate) fn settings(&self, given: Settings) -> Settings {
        // Two development clusters must not believe each other's statements: the name of the one
        // member, which is all their cluster id is made of, is the authority's.
        let address = format!("{}.dev:1", self.fingerprint.get(..16).unwrap_or_default());
        let service_address = self.rest_listen.to_string();
        let member =
            raft_core::Member { id: 1, address, service_address, ..raft_core::Member::default() };
        let own = Settings {
            node_id: Some(1),
            data_dir: Some(self.directory.clone()),
            members: vec![MemberFlag(member)],
            raft_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            discovery_listen: Some(DiscoveryListen(None)),
            ca: Some(self.files.ca.clone()),
            cert: Some(self.files.cert.clone()),
            key: Some(self.files.key.clone()),
            ..Settings::default()
        };
        Settings { rest_listen: Some(self.rest_listen), ..given.or(own) }
    }

    /// Says what to type next.
    pub(crate) fn introduce(&self, manager: &Manager) {
        let (ca, rest) = (self.files.ca.display(), manager.rest_addr());
        print::line(&format!("manager      https://{rest}"));
        print::line(&format!("data         {}", self.directory.display()));
        print::line(&format!("authority    {ca}"));
        print::line(&format!("fingerprint  {}", self.fingerprint));
        print::line("try          in another terminal:");
        print::line(&format!(
            "  telegraph --profile alice --manager {rest} --ca {ca} register alice"
        ));
        print::line(&format!(
            "  curl --cacert {ca} 'https://localhost:{}/readyz?verbose'",
            rest.port()
        ));
    }
}

impl Drop for Development {
    fn drop(&mut self) {
        if self.throw_away
            && let Err(error) = std::fs::remove_dir_all(&self.directory)
        {
            tracing::warn!(%error, "the temporary directory is left behind");
        }
    }
}

fn temporary() -> Result<PathBuf, SettingsError> {
    let mut name = [0; 8];
    let base = std::env::temp_dir();
    getrandom::fill(&mut name)
        .map_err(|error| read_error(&base, std::io::Error::other(error.to_string())))?;
    let directory = base.join(format!("telegraph-dev-{}", hex::encode(name)));
    // Nobody else's files are ever taken for ours: it must be new.
    let made = DirBuilder::new().mode(0o700).create(&directory);
    made.map_err(|source| read_error(&directory, source))?;
    Ok(directory)
}

/// A port of 0 becomes a free one, as the member list must name it before it is listened at.
fn known_port(address: SocketAddr) -> std::io::Result<SocketAddr> {
    if address.port() != 0 { Ok(address) } else { TcpListener::bind(address)?.local_addr() }
}

fn read_error(path: &Path, source: std::io::Error) -> SettingsError {
    SettingsError::Read { path: path.into(), source }
}
