//! The physical limit: one file, written and synced.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// A file on the disk that the members of a [`Cluster`](crate::Cluster) use.
#[derive(Debug)]
pub struct Disk {
    file: File,
}

impl Disk {
    /// Makes a file in `directory`; it has no name and vanishes with this value.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn new(directory: &Path) -> io::Result<Disk> {
        Ok(Disk { file: tempfile::tempfile_in(directory)? })
    }

    /// Appends `bytes` and waits until they survive power loss, as far as the system tells.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }
}
