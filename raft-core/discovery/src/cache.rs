//! The addresses that worked last time, in a small file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::candidate;

/// The most addresses kept; the first ones given win.
pub(crate) const ENTRIES_MAX: usize = 64;
/// The most of a file that is read: 64 of the longest addresses fit several times.
const FILE_MAX_BYTES: u64 = 64 << 10;
/// Format of the file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    addresses: Vec<String>,
}

/// Reads the addresses. A cache is a convenience: a missing file is an empty one, and one that
/// cannot be read, or holds anything but addresses, is passed over with a warning.
pub(crate) fn read(path: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let outcome =
        File::open(path).and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes));
    match outcome {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            warn!(path = %path.display(), %error, "the address cache cannot be read");
            return Vec::new();
        }
    }
    match serde_json::from_slice::<Contents>(&bytes) {
        Ok(Contents { version: VERSION, addresses }) => sound(path, addresses),
        Ok(Contents { version, .. }) => {
            warn!(path = %path.display(), version, "the address cache is of another version");
            Vec::new()
        }
        Err(error) => {
            warn!(path = %path.display(), %error, "the address cache is damaged, ignoring it");
            Vec::new()
        }
    }
}

/// Replaces the file as a whole: a crash leaves the old one or the new one. Addresses beyond
/// [`ENTRIES_MAX`] are dropped. It has one owner; two writers at once may leave a file that
/// [`read`] passes over.
///
/// # Errors
///
/// What the operating system said; the old file is as it was, save that it may be the new one
/// already when only the sync of the directory failed.
pub(crate) fn write(path: &Path, addresses: &[String]) -> io::Result<()> {
    let kept = addresses.iter().take(ENTRIES_MAX).cloned().collect();
    let contents = Contents { version: VERSION, addresses: kept };
    let bytes = serde_json::to_vec_pretty(&contents)?;
    let temporary = temporary(path);
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn sound(path: &Path, addresses: Vec<String>) -> Vec<String> {
    let given = addresses.len();
    let kept: Vec<String> = addresses
        .into_iter()
        .filter(|address| candidate::check_address(address).is_ok())
        .take(ENTRIES_MAX)
        .collect();
    if kept.len() < given {
        warn!(path = %path.display(), dropped = given - kept.len(), "the address cache held junk");
    }
    kept
}
