//! Small files that are replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Access to every file of a profile.
pub(crate) const MODE: u32 = 0o600;
/// Most bytes of a file that is read whole.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file; `None` when there is none. Fails on one above 1 MiB.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 1 MiB"));
    }
    Ok(Some(bytes))
}

/// Replaces a file: a crash leaves the old or the new one, whole, and durable at return.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // One left behind by a crash may have another's mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_leftover_of_a_crash_does_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.toml");
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, b"first, and longer").unwrap();
        fs::write(path.with_extension("new"), b"half").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"second");
        assert!(!path.with_extension("new").exists());
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.toml");
        replace(&path, b"old").unwrap();
        // A directory in the place of the temporary file cannot be written.
        fs::create_dir(path.with_extension("new")).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert_eq!(read(&path).unwrap().unwrap(), b"old");
    }

    #[test]
    fn an_absurdly_large_file_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(&path).is_err());
    }
}
