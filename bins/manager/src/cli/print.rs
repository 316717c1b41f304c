//! Data on stdout, errors on stderr. A reader that went away (`| head`) is no failure.

use std::io::{self, Write};

/// A line of data.
pub(crate) fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Why the program fails, with what was beneath it.
pub(crate) fn error(error: &anyhow::Error) {
    let _ = writeln!(io::stderr().lock(), "telegraph-manager: {error:#}");
}
