//! What a profile remembers between commands: who, and how the managers are found.

use serde::{Deserialize, Serialize};
use telegraph_proto::account::{AccountError, DeviceId, Username};

/// Version of `profile.toml` this program writes and reads.
const VERSION: u32 = 1;

/// `profile.toml`. Nothing in it is secret; what is secret lies sealed in `vault.json`.
///
/// - Names and ids were parsed: whoever reads them need not look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Made with the profile, never changed.
    pub device_id: DeviceId,
    /// Whose profile this is; `None` before registration or the first login.
    pub username: Option<Username>,
    /// The cluster everything here is signed for; `None` before the first contact.
    pub cluster_id: Option<[u8; 16]>,
    /// Addresses of managers, host:port.
    pub managers: Vec<String>,
    /// A name all managers answer to, host or host:port.
    pub dns: Option<String>,
    /// IPv4 range that may be asked by UDP, as the command line takes it.
    pub sweep: Option<String>,
    /// SHA-256 of the authority's certificate, for a profile that was not given the certificate.
    pub ca_fingerprint: Option<String>,
    /// The most voters a manager ever claimed the cluster has; 0 before the first contact. A single
    /// manager cannot talk this down.
    pub voters: u32,
}

/// Why `profile.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or a key that is not known, or one that is missing.
    #[error("profile.toml cannot be read: {0}")]
    Syntax(String),
    /// Written by a newer program.
    #[error("profile.toml is of version {0}, this program reads {VERSION}")]
    Version(u32),
    /// A name or id that is none.
    #[error("profile.toml: {0}")]
    Account(#[from] AccountError),
    /// A cluster id that is none.
    #[error("profile.toml: a cluster id has 32 hexadecimal digits")]
    ClusterId,
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    device_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    #[serde(default)]
    managers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dns: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sweep: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_fingerprint: Option<String>,
    #[serde(default)]
    voters: u32,
}

impl Settings {
    /// Settings of a new profile, with a device id of its own. Fails without randomness.
    pub fn fresh() -> Result<Self, SettingsError> {
        let mut device = [0; 16];
        getrandom::fill(&mut device).map_err(|_| SettingsError::Random)?;
        Ok(Self {
            device_id: DeviceId::new(device),
            username: None,
            cluster_id: None,
            managers: Vec::new(),
            dns: None,
            sweep: None,
            ca_fingerprint: None,
            voters: 0,
        })
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, SettingsError> {
        let text = std::str::from_utf8(text).map_err(|e| SettingsError::Syntax(e.to_string()))?;
        let file: File =
            toml::from_str(text).map_err(|e| SettingsError::Syntax(e.message().to_owned()))?;
        if file.version != VERSION {
            return Err(SettingsError::Version(file.version));
        }
        Ok(Self {
            device_id: file.device_id.parse()?,
            username: file.username.as_deref().map(Username::parse).transpose()?,
            cluster_id: file.cluster_id.as_deref().map(parse_cluster_id).transpose()?,
            managers: file.managers,
            dns: file.dns,
            sweep: file.sweep,
            ca_fingerprint: file.ca_fingerprint,
            voters: file.voters,
        })
    }

    pub(crate) fn to_toml(&self) -> Result<String, SettingsError> {
        let file = File {
            version: VERSION,
            device_id: self.device_id.to_string(),
            username: self.username.as_ref().map(Username::to_string),
            cluster_id: self.cluster_id.map(hex::encode),
            managers: self.managers.clone(),
            dns: self.dns.clone(),
            sweep: self.sweep.clone(),
            ca_fingerprint: self.ca_fingerprint.clone(),
            voters: self.voters,
        };
        toml::to_string(&file).map_err(|e| SettingsError::Syntax(e.to_string()))
    }
}

/// Reads a cluster id. Fails with [`SettingsError::ClusterId`].
pub(crate) fn parse_cluster_id(text: &str) -> Result<[u8; 16], SettingsError> {
    let bytes = hex::decode(text).map_err(|_| SettingsError::ClusterId)?;
    bytes.try_into().map_err(|_| SettingsError::ClusterId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_text() {
        let mut settings = Settings::fresh().unwrap();
        assert_eq!(Settings::parse(settings.to_toml().unwrap().as_bytes()).unwrap(), settings);
        settings.username = Some(Username::parse("alice").unwrap());
        settings.cluster_id = Some([7; 16]);
        settings.managers = vec!["localhost:8000".into()];
        settings.dns = Some("identity-manager:8000".into());
        settings.sweep = Some("10.0.0.0/28".into());
        settings.ca_fingerprint = Some("ab".repeat(32));
        settings.voters = 5;
        assert_eq!(Settings::parse(settings.to_toml().unwrap().as_bytes()).unwrap(), settings);
    }

    #[test]
    fn unknown_keys_newer_versions_and_bad_ids_are_refused() {
        let good = Settings::fresh().unwrap().to_toml().unwrap();
        let parse = |text: String| Settings::parse(text.as_bytes());
        assert!(matches!(parse(format!("{good}more = 1\n")), Err(SettingsError::Syntax(_))));
        let newer = good.replace("version = 1", "version = 2");
        assert!(matches!(parse(newer), Err(SettingsError::Version(2))));
        let named = format!("{good}username = \"../etc\"\n");
        assert!(matches!(parse(named), Err(SettingsError::Account(_))));
        let foreign = format!("{good}cluster_id = \"12\"\n");
        assert!(matches!(parse(foreign), Err(SettingsError::ClusterId)));
        assert!(Settings::parse(&[0xff]).is_err());
    }
}
