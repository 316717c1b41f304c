//! One person's directory: locked against a second owner, closed to other users, written
//! atomically.

mod file;
pub mod settings;
pub mod vault;

use crate::profile::{
    settings::{Settings, SettingsError},
    vault::Vault,
};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The directory's own access, and that of everything in it.
const DIRECTORY_MODE: u32 = 0o700;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Another process has it. While `telegraph run` does, commands go through its socket.
    #[error("the profile {0} is in use by another process")]
    InUse(PathBuf),
    /// The operating system refuses.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Somebody else's directory, or open to others and not to be closed.
    #[error("{0} must belong to you and be closed to others (chmod 700)")]
    Exposed(PathBuf),
    /// `profile.toml` says what it may not.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `vault.json` is not one.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// A profile directory, held.
///
/// - One process has it at a time: the lock is of the kind that a crash releases.
/// - Whatever is written replaces the old file as a whole, or not at all.
#[derive(Debug)]
pub struct Profile {
    directory: PathBuf,
    /// Whoever replaces settings holds it.
    settings: Mutex<()>,
    _lock: File,
}

impl Profile {
    /// Takes a directory, made when it is not there. Fails with [`ProfileError::InUse`] when
    /// another process has it.
    pub fn open(directory: &Path) -> Result<Self, ProfileError> {
        let at = |doing, source| ProfileError::Io { doing, path: directory.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|e| at("create", e))?;
        let directory = fs::canonicalize(directory).map_err(|e| at("find", e))?;
        close_to_others(&directory)?;
        let path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(file::MODE)
            .open(&path)
            .map_err(|source| ProfileError::Io { doing: "open", path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory, settings: Mutex::default(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ProfileError::InUse(directory)),
            Err(TryLockError::Error(source)) => {
                Err(ProfileError::Io { doing: "lock", path, source })
            }
        }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where other commands reach the process that has `directory`.
    pub fn socket_of(directory: &Path) -> PathBuf {
        directory.join("control.sock")
    }

    /// Where the addresses of managers that worked are kept.
    pub fn managers_file(&self) -> PathBuf {
        self.directory.join("managers.json")
    }

    /// Where messages are kept, sealed.
    pub fn store_file(&self) -> PathBuf {
        self.directory.join("messages.redb")
    }

    /// The settings; those of a new profile when there are none yet.
    pub fn settings(&self) -> Result<Settings, ProfileError> {
        match self.read("profile.toml")? {
            Some(text) => Ok(Settings::parse(&text)?),
            None => Ok(Settings::fresh()?),
        }
    }

    /// Keeps the settings.
    pub fn save_settings(&self, settings: &Settings) -> Result<(), ProfileError> {
        let _one = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.write("profile.toml", settings.to_toml()?.as_bytes())
    }

    /// Remembers that the cluster has so many voters, unless it was known to have more.
    pub(crate) fn remember_voters(&self, voters: u32) -> Result<(), ProfileError> {
        let _one = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = self.settings()?;
        if settings.voters >= voters {
            return Ok(());
        }
        settings.voters = voters;
        self.write("profile.toml", settings.to_toml()?.as_bytes())
    }

    /// True when there was ever a person in `directory`. Makes nothing.
    pub(crate) fn exists(directory: &Path) -> bool {
        directory.join("profile.toml").exists()
    }

    /// The authority's certificates, if this profile was given them.
    pub fn authority(&self) -> Result<Option<Vec<u8>>, ProfileError> {
        self.read("ca.pem")
    }

    /// Keeps a copy of the authority's certificates: the file they came from may go away.
    pub fn save_authority(&self, pem: &[u8]) -> Result<(), ProfileError> {
        self.write("ca.pem", pem)
    }

    /// The sealed secrets, once there is an account.
    pub(crate) fn vault(&self) -> Result<Option<Vault>, ProfileError> {
        let Some(json) = self.read("vault.json")? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| ProfileError::Damaged {
            path: self.directory.join("vault.json"),
            reason: error.to_string(),
        })
    }

    /// Keeps the sealed secrets.
    pub(crate) fn save_vault(&self, vault: &Vault) -> Result<(), ProfileError> {
        let json = serde_json::to_vec_pretty(vault).map_err(|error| ProfileError::Damaged {
            path: self.directory.join("vault.json"),
            reason: error.to_string(),
        })?;
        self.write("vault.json", &json)
    }

    /// Removes account and messages, and keeps what leads to the managers.
    pub(crate) fn forget_account(&self) -> Result<(), ProfileError> {
        for name in ["vault.json", "messages.redb"] {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ProfileError::Io { doing: "remove", path, source: error });
                }
                _ => {}
            }
        }
        let settings = Settings { username: None, ..self.settings()? };
        self.save_settings(&settings)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ProfileError> {
        let path = self.directory.join(name);
        file::read(&path).map_err(|source| ProfileError::Io { doing: "read", path, source })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ProfileError> {
        let path = self.directory.join(name);
        file::replace(&path, bytes).map_err(|source| ProfileError::Io {
            doing: "write",
            path,
            source,
        })
    }
}

/// A directory that was there before may be open to others: it is closed, or not used.
fn close_to_others(directory: &Path) -> Result<(), ProfileError> {
    let exposed = |_| ProfileError::Exposed(directory.to_owned());
    let mode = fs::metadata(directory).map_err(exposed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let closed = fs::Permissions::from_mode(DIRECTORY_MODE);
        fs::set_permissions(directory, closed).map_err(exposed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_profile_has_one_owner_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let held = Profile::open(root.path()).unwrap();
        assert!(matches!(Profile::open(root.path()), Err(ProfileError::InUse(_))));
        drop(held);
        assert!(Profile::open(root.path()).is_ok());
    }

    #[test]
    fn directory_and_files_are_closed_to_others_even_if_the_directory_was_open() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("alice");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let profile = Profile::open(&directory).unwrap();
        profile.save_settings(&profile.settings().unwrap()).unwrap();
        profile.save_authority(b"pem").unwrap();
        assert_eq!(mode(&directory), 0o700);
        for name in ["lock", "profile.toml", "ca.pem"] {
            assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn settings_come_back_as_they_were_kept_and_a_new_profile_has_a_device_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let profile = Profile::open(root.path()).unwrap();
        let fresh = profile.settings().unwrap();
        assert_ne!(fresh.device_id, profile.settings().unwrap().device_id);
        profile.save_settings(&fresh).unwrap();
        assert_eq!(profile.settings().unwrap(), fresh);
    }

    #[test]
    fn damaged_files_are_told_apart_from_missing_ones() {
        let root = tempfile::tempdir().unwrap();
        let profile = Profile::open(root.path()).unwrap();
        assert!(profile.vault().unwrap().is_none());
        fs::write(root.path().join("vault.json"), b"{\"version\":").unwrap();
        assert!(matches!(profile.vault(), Err(ProfileError::Damaged { .. })));
        fs::write(root.path().join("profile.toml"), b"colour = \"red\"").unwrap();
        assert!(matches!(profile.settings(), Err(ProfileError::Settings(_))));
    }
}
