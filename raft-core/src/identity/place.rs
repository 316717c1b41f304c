//! The data directory itself: made so that neither it nor what leads to it is lost.

use std::fs::{DirBuilder, File};
use std::io;
use std::path::Path;

/// Makes the directory and the missing ones above it, open to their owner only. The name of each
/// is durable when this returns: whoever lost the directory would return as another node.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    make_with(path, &mut |parent| File::open(parent)?.sync_all())
}

/// The same; `sync` makes the names in a directory durable. The last name is synced also where it
/// was there already: the process that made it may have been killed before it could.
fn make_with(path: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        // A root has no name that could be lost.
        None => return Ok(()),
    };
    if !parent.is_dir() {
        make_with(parent, sync)?;
    }
    if !path.is_dir() {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(path) {
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
    }
    sync(parent)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Makes it, and tells which directories were synced, and whether each then held the name that
    /// it was synced for.
    fn synced(path: &Path) -> Vec<String> {
        let mut synced = Vec::new();
        make_with(path, &mut |parent| {
            let below = path.strip_prefix(parent).unwrap().iter().next().unwrap();
            assert!(parent.join(below).is_dir(), "{} is synced too early", parent.display());
            synced.push(parent.file_name().unwrap().to_str().unwrap().to_owned());
            Ok(())
        })
        .unwrap();
        synced
    }

    #[test]
    fn every_name_that_is_made_is_synced_in_the_directory_above_and_the_last_one_always() {
        let keep = tempfile::tempdir().unwrap();
        let top = keep.path().join("top");
        fs::create_dir(&top).unwrap();
        let data = top.join("one/two/data");
        assert_eq!(synced(&data), ["top", "one", "two"]);
        assert_eq!(synced(&data), ["two"]);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_name_that_cannot_be_made_durable_is_an_error_before_anything_below_is_made() {
        let keep = tempfile::tempdir().unwrap();
        let data = keep.path().join("one/data");
        make_with(&data, &mut |_| Err(io::Error::other("worn out"))).unwrap_err();
        assert!(!data.exists());
        fs::write(keep.path().join("file"), "").unwrap();
        make_dir(&keep.path().join("file")).unwrap_err();
        make_dir(&keep.path().join("file/data")).unwrap_err();
    }
}
