//! The directory of snapshots: building one, finding the newest, letting go of the others.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message as _;
use telegraph_proto::raft::{Position, SnapshotMeta};
use tokio::time::Instant;

use super::file::{BLOCK_BYTES, SnapshotFile, encode_head};
use super::ownership::Ownership;
use super::served::Served;
use crate::random::{RandomSource, SystemRandom};

/// Bytes of a body written between two syncs: so the disk gets it little by little, as it is made,
/// and not all at the end, when syncs of the log would have to wait for it.
const SYNC_BYTES: usize = 1 << 20;

/// Numbers the files of this process that have no name of their own yet.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A data directory's snapshots; cheap to clone.
///
/// - Once it is closed nothing in it is changed, whoever was at it.
/// - No two files being written have the same name, in this process or another one.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotDir {
    path: Arc<Path>,
    random: Arc<dyn RandomSource>,
    pub(super) ownership: Ownership,
}

impl SnapshotDir {
    /// Opens the directory, making it if need be, and removes what was never finished here.
    /// A half received snapshot stays, to be resumed.
    pub(crate) fn open(path: &Path) -> io::Result<SnapshotDir> {
        fs::create_dir_all(path)?;
        if let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        let directory = SnapshotDir {
            path: path.into(),
            random: Arc::new(SystemRandom),
            ownership: Ownership::default(),
        };
        for file in directory.files("tmp")? {
            fs::remove_file(file)?;
        }
        Ok(directory)
    }

    /// The same directory, naming its snapshots with the help of `random`.
    pub(crate) fn with_random(self, random: Arc<dyn RandomSource>) -> SnapshotDir {
        SnapshotDir { random, ..self }
    }

    /// Gives the directory up to its next owner: changes under way are finished or given up, and
    /// all later ones fail. Blocks for no longer than a write of a block, or a rename.
    pub(crate) fn close(&self) {
        self.ownership.end();
    }

    /// A name that no other snapshot has, here or on another node.
    pub(crate) fn new_id(&self, at: impl fmt::Display) -> io::Result<String> {
        let mut suffix = [0; 8];
        self.random.fill(&mut suffix)?;
        Ok(format!("{at}-{}", hex::encode(suffix)))
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
        let path = self.temporary("building");
        // The longest these numbers can become, so that the head fits where room was kept.
        (meta.length, meta.checksum) = (u64::MAX, u32::MAX);
        let room = u32::try_from(meta.encoded_len()).unwrap_or(u32::MAX);
        let mut file = {
            let _held = self.ownership.hold()?;
            File::create_new(&path)?
        };
        let unfinished = Unfinished { path: &path, ownership: &self.ownership };
        file.write_all(&encode_head(&meta, room)?)?;
        let body = file.stream_position()?;
        let mut body_writer = Checked {
            inner: BufWriter::with_capacity(BLOCK_BYTES, file),
            ownership: &self.ownership,
            length: 0,
            checksum: 0,
            unsynced_bytes: 0,
        };
        write(&mut body_writer)?;
        (meta.length, meta.checksum) = (body_writer.length, body_writer.checksum);
        let mut file = body_writer.inner.into_inner().map_err(io::Error::from)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&encode_head(&meta, room)?)?;
        file.sync_all()?;
        let built = self.publish(SnapshotFile { path: path.clone(), meta, body })?;
        std::mem::forget(unfinished);
        Ok(built)
    }

    fn temporary(&self, what: &str) -> PathBuf {
        let (process, number) = (std::process::id(), TEMPORARY.fetch_add(1, Ordering::Relaxed));
        self.path.join(format!("{what}-{process}-{number}.tmp"))
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
            let copy = self.temporary("copying");
            fs::copy(&source, &copy)?;
            File::open(&copy)?.sync_all()?;
            source = copy;
        }
        let _held = self.ownership.hold()?;
        fs::rename(&source, &path)?;
        sync_dir(&self.path)?;
        Ok(SnapshotFile { path, ..file })
    }

    /// Removes every snapshot older than the newest one, but the one that is being sent. A newer
    /// one stays: it was received meanwhile, and the log relies on it.
    pub(crate) fn retain_served(&self, served: &Served) -> io::Result<()> {
        let _held = self.ownership.hold()?;
        let files = self.files("snap")?;
        // Asked for when the files were found: what is not served now is not served later.
        let Some(newest) = served.newest() else { return Ok(()) };
        let sent = served.sent(Instant::now());
        for path in files {
            // Names order as the positions in them do.
            if path < newest.path && sent.as_ref().is_none_or(|sent| sent.path != path) {
                match fs::remove_file(path) {
                    // Somebody else came here at the same time, and was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
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
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// A file that will not be finished, unless this is forgotten: its room is given back.
struct Unfinished<'a> {
    path: &'a Path,
    ownership: &'a Ownership,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Ok(_held) = self.ownership.hold() {
            // What remains is removed at the next start.
            let _ = fs::remove_file(self.path);
        }
    }
}

/// Counts and sums what passes, until the directory is somebody else's.
struct Checked<'a> {
    inner: BufWriter<File>,
    ownership: &'a Ownership,
    length: u64,
    checksum: u32,
    unsynced_bytes: usize,
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held = self.ownership.hold()?;
        self.inner.write_all(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        self.unsynced_bytes = self.unsynced_bytes.saturating_add(bytes.len());
        if self.unsynced_bytes >= SYNC_BYTES {
            self.unsynced_bytes = 0;
            self.inner.flush()?;
            // It changes nothing, and takes long.
            drop(held);
            self.inner.get_ref().sync_data()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
