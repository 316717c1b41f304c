//! The directory of a view: who has it, and whether it is to be trusted.
//!
//! | name | what |
//! |---|---|
//! | `view` | the view |
//! | `view.lock` | locked by whoever has the view open |
//! | `view.suspect` | present while the view is being opened, and after it failed somebody |
//! | `view.corrupt-N` | a view set aside, for whoever wants to know why |

use crate::error::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Views set aside that are kept: the last, and the one before it.
const KEPT_ASIDE: usize = 2;

/// Where a view is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    /// Makes the directory, if need be.
    pub(crate) fn new(dir: &Path) -> Result<Place, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::Directory)?;
        Ok(Place { dir: dir.to_owned() })
    }

    /// Takes the directory for as long as the file lives. Fails with [`StoreError::InUse`] when
    /// somebody has it.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        let path = self.dir.join("view.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(StoreError::Directory)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.dir.clone())),
            Err(TryLockError::Error(error)) => Err(StoreError::Directory(error)),
        }
    }

    /// The directory for the view itself, which nobody else may read: password hashes are in it.
    pub(crate) fn view(&self) -> Result<PathBuf, StoreError> {
        let path = self.path();
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        match builder.create(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
            Err(error) => Err(StoreError::Directory(error)),
        }
    }

    /// True when the view failed whoever opened it last.
    pub(crate) fn is_suspect(&self) -> bool {
        self.mark().exists() && self.path().exists()
    }

    /// Lets the next opening set the view aside.
    pub(crate) fn suspect(&self) -> Result<(), StoreError> {
        File::create(self.mark()).map(drop).map_err(StoreError::Directory)
    }

    /// The view is sound.
    pub(crate) fn trust(&self) -> Result<(), StoreError> {
        match fs::remove_file(self.mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Directory(error))
            }
            _ => Ok(()),
        }
    }

    /// Moves the view out of the way, and forgets the oldest of those moved before.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let mut aside = self.aside().map_err(StoreError::Directory)?;
        let next = aside.last().map_or(1, |last| last.saturating_add(1));
        let path = self.dir.join(format!("view.corrupt-{next}"));
        fs::rename(self.path(), &path).map_err(StoreError::Directory)?;
        aside.push(next);
        let surplus = aside.len().saturating_sub(KEPT_ASIDE);
        for old in aside.iter().take(surplus) {
            let old = self.dir.join(format!("view.corrupt-{old}"));
            fs::remove_dir_all(old).map_err(StoreError::Directory)?;
        }
        Ok(path)
    }

    /// The numbers of the views set aside, in order.
    fn aside(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("view.corrupt-"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("view")
    }

    fn mark(&self) -> PathBuf {
        self.dir.join("view.suspect")
    }
}
