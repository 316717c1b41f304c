//! What the disks of this machine were given to write.
//!
//! The kernel's account of a process will not do: a write of a few hundred bytes is charged with
//! all of the page cache's folio that it changes, which may be of any size up to megabytes, while
//! the disk is given the blocks that have changed.

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of a sector in `/sys/block`, whatever the disk's are.
const SECTOR_BYTES: u64 = 512;

/// Has everything written that is to be, and tells how many bytes all disks have been given since
/// the machine was started, journals and other programs included. None where there is no disk to
/// be seen.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn written_bytes() -> io::Result<Option<u64>> {
    rustix::fs::sync();
    written_below(Path::new("/sys/block"))
}

fn written_below(blocks: &Path) -> io::Result<Option<u64>> {
    let mut sum = None;
    for block in fs::read_dir(blocks)? {
        let block = block?.path();
        // What has no device is made of others, which count already, or is memory.
        if !block.join("device").exists() {
            continue;
        }
        if let Some(sectors) = sectors(&fs::read_to_string(block.join("stat"))?) {
            *sum.get_or_insert(0) += sectors * SECTOR_BYTES;
        }
    }
    Ok(sum)
}

/// The seventh field: sectors written.
fn sectors(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_added_up_and_what_is_made_of_them_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let blocks = directory.path();
        assert_eq!(written_below(blocks).unwrap(), None);
        for (name, sectors, device) in [("a", 3, true), ("b", 4, true), ("md0", 7, false)] {
            let block = blocks.join(name);
            fs::create_dir(&block).unwrap();
            fs::write(block.join("stat"), format!("  1 2 3 4 5 6 {sectors} 8 9 10 11\n")).unwrap();
            if device {
                fs::write(block.join("device"), "").unwrap();
            }
        }
        assert_eq!(written_below(blocks).unwrap(), Some(7 * SECTOR_BYTES));
    }
}
