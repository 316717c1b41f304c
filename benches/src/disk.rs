//! The physical limit: one file, written and synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::taken::Taken;

/// Bytes of the file: a multiple of what is written at once, and little to fill.
const FILE_BYTES: u64 = 64 << 20;

/// What is written at once where it does not matter how much that is: far more than a sync costs.
const PIECE_BYTES: u64 = 4 << 20;

/// A file on the disk that the members of a [`Cluster`](crate::Cluster) use.
///
/// - All its blocks are there before anything is measured, and writing begins anew at its start
///   when its end is reached: a sync has nothing to do but to bring the bytes to the disk.
#[derive(Debug)]
pub struct Disk {
    file: File,
    at: u64,
}

impl Disk {
    /// Makes a file in `directory`; it has no name and vanishes with this value.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn new(directory: &Path) -> io::Result<Disk> {
        let file = tempfile::tempfile_in(directory)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Disk { file, at: 0 })
    }

    /// Writes `bytes`, at most 64 MiB, behind the last ones, and waits until they survive power
    /// loss, as far as the system tells.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if self.at + length > FILE_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += length;
        self.file.sync_data()
    }

    /// Appends so many bytes in large pieces, each of them synced, and tells how many bytes a
    /// second that makes; 0 for no bytes.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn bytes_per_second(&mut self, bytes: u64) -> io::Result<f64> {
        let piece = vec![0x5a; PIECE_BYTES.min(bytes) as usize];
        let began = Instant::now();
        let mut left = bytes;
        while left > 0 {
            let part = left.min(PIECE_BYTES);
            self.append(&piece[..part as usize])?;
            left -= part;
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(if bytes > 0 && seconds > 0.0 { bytes as f64 / seconds } else { 0.0 })
    }

    /// Appends `bytes` so many times, one after the other.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn append_each(&mut self, bytes: &[u8], times: u64) -> io::Result<Taken> {
        let began = Instant::now();
        let mut each = Vec::new();
        for _ in 0..times {
            let began = Instant::now();
            self.append(bytes)?;
            each.push(began.elapsed());
        }
        Ok(Taken::new(began.elapsed(), each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pieces_come_to_as_many_bytes_as_they_should() {
        let directory = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(directory.path()).unwrap();
        assert_eq!(disk.bytes_per_second(0).unwrap(), 0.0);
        let odd = 2 * PIECE_BYTES + 1;
        assert!(disk.bytes_per_second(odd).unwrap() > 0.0);
        assert_eq!(disk.at, odd);
        let mut last = [0; 2];
        disk.file.read_exact_at(&mut last, odd - 1).unwrap();
        assert_eq!(last, [0x5a, 0]);
    }
}
