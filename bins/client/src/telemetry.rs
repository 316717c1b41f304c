//! Logs, on stderr only: stdout is for data.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging with `filter`; one that cannot be read is replaced by `error`. A second call does
/// nothing.
pub(crate) fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("error"));
    // Failing means that somebody else is logging already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}
