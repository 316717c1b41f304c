//! The directory of snapshots: building one, finding the newest, letting go of the others.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use telegraph_proto::raft::{Position, SnapshotMeta};

use super::file::{BLOCK_BYTES, SnapshotFile, encode_head};

/// A data directory's snapshots; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotDir {
    path: Arc<Path>,
}

impl SnapshotDir {
    /// Opens the directory, making it if need be, and removes what was never finished here.
    /// A half received snapshot stays, to be resumed.
    pub(crate) fn open(path: &Path) -> io::Result<SnapshotDir> {
        fs::create_dir_all(path)?;
        if let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        let directory = SnapshotDir { path: path.into() };
        for file in directory.files("tmp")? {
            fs::remove_file(file)?;
        }
        Ok(directory)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The sound snapshot that contains most. Reads every candidate whole, newest first, and
    /// sets aside those that are damaged.
    pub(crate) fn newest(&self) -> io::Result<Option<SnapshotFile>> {
        let mut names = self.files("snap")?;
        names.sort();
        for path in names.into_iter().rev() {
            let checked = SnapshotFile::open(&path).and_then(|file| {
                file.verify()?;
                Ok(file)
            });
            match checked {
                Ok(file) => return Ok(Some(file)),
                Err(error) if is_damage(&error) => {
                    let aside = path.with_extension("damaged");
                    tracing::error!(path = %path.display(), %error, "a snapshot is set aside");
                    fs::rename(&path, aside)?;
                    sync_dir(&self.path)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Builds a snapshot: `write` gives the body; length and checksum of `meta` are filled in.
    /// The file is durable and bears its final name when this returns.
    pub(crate) fn build<E: From<io::Error>>(
        &self,
        mut meta: SnapshotMeta,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<SnapshotFile, E> {
        let path = self.path.join(format!("building-{}.tmp", std::process::id()));
        // The longest these numbers can become, so that the head fits where room was kept.
        (meta.length, meta.checksum) = (u64::MAX, u32::MAX);
        let room = u32::try_from(meta.encoded_len()).unwrap_or(u32::MAX);
        let mut file = File::create(&path)?;
        file.write_all(&encode_head(&meta, room)?)?;
        let body = file.stream_position()?;
        let mut body_writer =
            Checked { inner: BufWriter::with_capacity(BLOCK_BYTES, file), length: 0, checksum: 0 };
        write(&mut body_writer)?;
        (meta.length, meta.checksum) = (body_writer.length, body_writer.checksum);
        let mut file = body_writer.inner.into_inner().map_err(io::Error::from)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&encode_head(&meta, room)?)?;
        file.sync_all()?;
        Ok(self.publish(SnapshotFile { path, meta, body })?)
    }

    /// Gives a complete, durable file its final name; one from elsewhere is copied.
    pub(crate) fn publish(&self, file: SnapshotFile) -> io::Result<SnapshotFile> {
        let Position { term, index } = file.meta.last_applied.unwrap_or_default();
        let name = format!("{index:020}-{term:020}.snap");
        let path = self.path.join(name);
        if file.path == path {
            return Ok(file);
        }
        let mut source = file.path;
        if source.parent() != Some(&*self.path) {
            let copy = self.path.join(format!("copying-{}.tmp", std::process::id()));
            fs::copy(&source, &copy)?;
            File::open(&copy)?.sync_all()?;
            source = copy;
        }
        fs::rename(&source, &path)?;
        sync_dir(&self.path)?;
        Ok(SnapshotFile { path, ..file })
    }

    /// Removes every snapshot older than `kept`; the transfer of one that is being sent goes on. A
    /// newer one stays: it was received while `kept` was built, and the log relies on it.
    pub(crate) fn retain(&self, kept: &SnapshotFile) -> io::Result<()> {
        for path in self.files("snap")? {
            // Names order as the positions in them do.
            if path < kept.path {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// All files whose names end so.
    pub(super) fn files(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new(extension)) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// Makes creations, renames and removals in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Counts and sums what passes.
struct Checked {
    inner: BufWriter<File>,
    length: u64,
    checksum: u32,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
