//! How a client is set up: what was typed or configured, laid over what the profile remembers.

use crate::{
    profile::{Profile, ProfileError, settings::Settings},
    trust::{Trust, TrustError},
};
use raft_core_discovery::{AddressRange, Discovery, DnsAlias, Sweep};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Port of the managers' REST service where none is named.
const DEFAULT_PORT: u16 = 8000;

/// Everything a [`crate::client::Client`] is told at its start.
///
/// An empty or absent value falls back to what the profile remembers.
#[derive(Debug, Clone)]
pub struct Options {
    /// The person's directory; made when it is not there.
    pub profile: PathBuf,
    /// Addresses of managers, host:port.
    pub managers: Vec<String>,
    /// Whom to believe to be a manager.
    pub trust: Option<Trust>,
    /// A name all managers answer to, `host` or `host:port`.
    pub dns: Option<String>,
    /// A range to ask by UDP, `10.0.0.0/24`, `FIRST-LAST`, either with `:port`.
    pub sweep: Option<String>,
    /// What lists of sessions call this device; at most 64 bytes.
    pub device_name: String,
    /// How long a request to the managers is tried in all.
    pub deadline: Duration,
    /// First pause before an undelivered message is tried again.
    pub first_retry: Duration,
    /// Longest such pause.
    pub max_retry: Duration,
}

/// Why the options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Nothing says how to tell a manager from an impostor.
    #[error(
        "nothing says whom to believe to be a manager: give --ca FILE or --ca-fingerprint HEX, as \
         `telegraph-manager` printed them"
    )]
    NoTrust,
    /// Nothing says where managers are.
    #[error(
        "nothing says where managers are: give --manager HOST:PORT, --dns NAME or --sweep RANGE"
    )]
    NoManager,
    /// What was given for trust is unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// An address, name or range that is none.
    #[error("{flag}: {reason}")]
    Address {
        /// Which flag it belongs to.
        flag: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The profile's own copy of these settings is unusable.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Options {
    /// Options with the usual timings for a profile, everything else from its memory.
    pub fn new(profile: impl Into<PathBuf>) -> Self {
        Self {
            profile: profile.into(),
            managers: Vec::new(),
            trust: None,
            dns: None,
            sweep: None,
            device_name: String::new(),
            deadline: Duration::from_secs(15),
            first_retry: Duration::from_millis(500),
            max_retry: Duration::from_secs(300),
        }
    }

    /// Where a profile is kept unless told otherwise: `~/.telegraph`, or below the working
    /// directory when there is no home.
    pub fn default_profile() -> PathBuf {
        let home = std::env::var_os("HOME").map_or_else(|| Path::new(".").into(), PathBuf::from);
        home.join(".telegraph")
    }

    /// Lays these options over the settings, for use and for keeping. An address that was given
    /// replaces all that were remembered.
    pub(crate) fn lay_over(&self, settings: &mut Settings) {
        if !self.managers.is_empty() {
            settings.managers.clone_from(&self.managers);
        }
        if self.dns.is_some() {
            settings.dns.clone_from(&self.dns);
        }
        if self.sweep.is_some() {
            settings.sweep.clone_from(&self.sweep);
        }
        match &self.trust {
            Some(Trust::Fingerprint(bytes)) => settings.ca_fingerprint = Some(hex::encode(bytes)),
            Some(Trust::Authority(_)) => settings.ca_fingerprint = None,
            None => {}
        }
    }

    /// Whom to believe: what was given, else what the profile keeps. Fails with
    /// [`OptionsError::NoTrust`] when neither says anything.
    pub(crate) fn trust(
        &self,
        settings: &Settings,
        profile: &Profile,
    ) -> Result<Trust, OptionsError> {
        if let Some(trust) = &self.trust {
            return Ok(trust.clone());
        }
        if let Some(fingerprint) = &settings.ca_fingerprint {
            return Ok(Trust::parse_fingerprint(fingerprint)?);
        }
        profile.authority()?.map(Trust::Authority).ok_or(OptionsError::NoTrust)
    }
}

/// Discovery by `settings`, with `cache_file` for what worked. Fails when an address, name or range
/// is none, or when there is nothing to start from.
pub(crate) fn discovery(
    settings: &Settings,
    cache_file: PathBuf,
) -> Result<Discovery, OptionsError> {
    let dns = settings.dns.as_deref().map(parse_alias).transpose()?;
    let sweep = settings.sweep.as_deref().map(parse_sweep).transpose()?;
    let nothing = settings.managers.is_empty() && dns.is_none() && sweep.is_none();
    if nothing && !cache_file.exists() {
        return Err(OptionsError::NoManager);
    }
    let static_list = settings.managers.clone();
    let discovery = Discovery { static_list, dns, cache_file: Some(cache_file), sweep };
    discovery
        .validate()
        .map_err(|e| OptionsError::Address { flag: "--manager", reason: e.to_string() })?;
    Ok(discovery)
}

fn parse_alias(text: &str) -> Result<DnsAlias, OptionsError> {
    let (name, port) = with_port("--dns", text, DEFAULT_PORT)?;
    Ok(DnsAlias { name: name.to_owned(), port })
}

fn parse_sweep(text: &str) -> Result<Sweep, OptionsError> {
    let (range, port) = with_port("--sweep", text, Sweep::DEFAULT_PORT)?;
    let range: AddressRange = range
        .parse()
        .map_err(|e| OptionsError::Address { flag: "--sweep", reason: format!("{e}") })?;
    Ok(Sweep { port, ..Sweep::new(range, DEFAULT_PORT) })
}

fn with_port<'a>(
    flag: &'static str,
    text: &'a str,
    default: u16,
) -> Result<(&'a str, u16), OptionsError> {
    let Some((name, port)) = text.rsplit_once(':') else { return Ok((text, default)) };
    let reason = || format!("{port:?} is not a port");
    let port = port.parse().map_err(|_| OptionsError::Address { flag, reason: reason() })?;
    Ok((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::fresh().unwrap()
    }

    #[test]
    fn what_is_given_replaces_what_is_remembered_and_nothing_else() {
        let mut settings = settings();
        settings.managers = vec!["old:1".into()];
        settings.dns = Some("name".into());
        let mut options = Options::new("p");
        options.managers = vec!["new:2".into()];
        options.lay_over(&mut settings);
        assert_eq!(settings.managers, ["new:2"]);
        assert_eq!(settings.dns.as_deref(), Some("name"));
    }

    #[test]
    fn trust_comes_from_the_flags_then_from_the_profile_and_is_never_assumed() {
        let root = tempfile::tempdir().unwrap();
        let profile = Profile::open(root.path()).unwrap();
        let mut options = Options::new(root.path());
        let none = options.trust(&settings(), &profile);
        assert!(matches!(none, Err(OptionsError::NoTrust)));
        profile.save_authority(b"kept").unwrap();
        let kept = options.trust(&settings(), &profile).unwrap();
        assert_eq!(kept, Trust::Authority(b"kept".to_vec()));
        options.trust = Some(Trust::Fingerprint([1; 32]));
        let given = options.trust(&settings(), &profile).unwrap();
        assert_eq!(given, Trust::Fingerprint([1; 32]));
    }

    #[test]
    fn names_ranges_and_ports_are_read_as_typed() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("managers.json");
        let mut settings = settings();
        assert!(matches!(discovery(&settings, cache.clone()), Err(OptionsError::NoManager)));
        settings.dns = Some("identity-manager".into());
        settings.sweep = Some("10.0.0.0/28:5354".into());
        let found = discovery(&settings, cache.clone()).unwrap();
        assert_eq!(found.dns.unwrap().port, DEFAULT_PORT);
        assert_eq!(found.sweep.unwrap().port, 5354);
        for bad in ["10.0.0.0/8", "bob", "10.0.0.0/28:x"] {
            settings.sweep = Some(bad.into());
            assert!(discovery(&settings, cache.clone()).is_err(), "{bad}");
        }
    }
}
