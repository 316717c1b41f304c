//! Small text files that end with a checksum line, and are replaced whole: written aside, synced,
//! renamed, directory synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::StartError;

/// The lines of a file without its last, which is a checksum of the others; `None` if the file is
/// not there.
pub(crate) fn read_lines(path: &Path) -> Result<Option<Vec<String>>, StartError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => return Err(garbled(path)),
        Err(source) => return Err(StartError::Io { path: path.to_owned(), source }),
    };
    let body = text.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
    let (body, last) = text.split_at(body);
    if last.trim_end() != checksum_line(body) {
        return Err(garbled(path));
    }
    Ok(Some(body.lines().map(str::to_owned).collect()))
}

/// Replaces a file by these lines and a checksum of them: a crash leaves the old or the new one.
/// Only the owner may read it.
pub(crate) fn write_lines(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut body = lines.join("\n");
    body.push('\n');
    let aside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(body.as_bytes())?;
    writeln!(file, "{}", checksum_line(&body))?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// 16 bytes in hexadecimal.
pub(crate) fn read_id(text: &str) -> Option<[u8; 16]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// The error of a file that is not what was written.
pub(crate) fn garbled(path: &Path) -> StartError {
    StartError::Damaged(format!("{} is garbled", path.display()).into())
}

fn checksum_line(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}
