//! A reader that comes back from the disk to a log that has moved on.

use std::sync::OnceLock;

use super::*;
use crate::disk::{DiskEntry, DiskFile, DiskLock};

type Hook = Box<dyn FnOnce() + Send>;

/// A disk on which something happens while a file is opened or read.
#[derive(Clone, Default)]
struct Hooked {
    disk: OnceLock<SimDisk>,
    on_open: Arc<Mutex<Option<Hook>>>,
    on_opened: Arc<Mutex<Option<Hook>>>,
    on_read: Arc<Mutex<Option<Hook>>>,
}

impl Hooked {
    fn new() -> Hooked {
        Hooked { disk: OnceLock::from(SimDisk::new(1)), ..Hooked::default() }
    }

    fn disk(&self) -> &SimDisk {
        self.disk.get().unwrap()
    }
}

fn run_hook(hook: &Mutex<Option<Hook>>) {
    let taken = hook.lock().unwrap().take();
    if let Some(hook) = taken {
        hook();
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Disk for Hooked {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk().create_dir(dir)
    }
    fn is_dir(&self, dir: &Path) -> bool {
        self.disk().is_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk().list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk().create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        run_hook(&self.on_open);
        let file = self.disk().open(path)?;
        run_hook(&self.on_opened);
        Ok(Arc::new(HookedFile { file, on_read: Arc::clone(&self.on_read) }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk().remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk().sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        self.disk().lock(path)
    }
    fn nonce(&self) -> u64 {
        self.disk().nonce()
    }
}

struct HookedFile {
    file: Arc<dyn DiskFile>,
    on_read: Arc<Mutex<Option<Hook>>>,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset);
        run_hook(&self.on_read);
        read
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

/// A log of 100 entries in several segments, of which the last twenty or so are cached.
fn hundred() -> (Hooked, Arc<Wal>) {
    let disk = Hooked::new();
    let config = WalConfig { cache_bytes: 4000, ..small() };
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), config).unwrap();
    for first in (1..=100).step_by(5) {
        append(&wal, entries(first..=first + 4, 1));
    }
    assert!(segments(disk.disk()).len() > 3);
    (disk, Arc::new(wal))
}

/// databend#19401: readers that raced.
#[test]
fn entries_of_two_histories_are_never_mixed() {
    for keep in [3, 40, 97] {
        let (disk, wal) = hundred();
        let writer = Arc::clone(&wal);
        *disk.on_read.lock().unwrap() = Some(Box::new(move || {
            writer.truncate_after(Some(keep), ticket().0);
            writer.append(entries(keep + 1..=120, 2), ticket().0);
            while writer.step() {}
        }));
        let read = wal.read(1, 200, usize::MAX).unwrap();
        assert!(!read.is_empty());
        assert!(entries(1..=100, 1).starts_with(&read), "kept {keep}: {}", read.len());
        let mut now = entries(1..=keep, 1);
        now.extend(entries(keep + 1..=120, 2));
        assert_eq!(wal.read(1, 200, usize::MAX).unwrap(), now);
    }
}

#[test]
fn a_purge_during_a_read_is_no_error_and_leaves_no_gap() {
    for upto in [3, 20, 60, 99, 100, 150] {
        for moment in 0..3 {
            let (disk, wal) = hundred();
            let writer = Arc::clone(&wal);
            let hook: Hook = Box::new(move || {
                writer.purge(at(upto, 1), ticket().0);
                while writer.step() {}
            });
            let place = [&disk.on_open, &disk.on_opened, &disk.on_read][moment];
            *place.lock().unwrap() = Some(hook);
            let read = wal.read(1, 200, usize::MAX).unwrap();
            for pair in read.windows(2) {
                assert_eq!(pair[0].index + 1, pair[1].index, "purged up to {upto}");
            }
            for record in &read {
                assert_eq!(*record, entries(record.index..=record.index, 1)[0]);
            }
            let oldest = wal.shared.lock().index.segments[0].number;
            let open = wal.shared.reader.open_segments();
            assert!(open.iter().all(|number| *number >= oldest), "{open:?} keeps removed files");
            let left = wal.read(1, 200, usize::MAX).unwrap();
            assert_eq!(left.len() as u64, 100_u64.saturating_sub(upto));
        }
    }
}
