//! Logs of the program: on stderr, as text for people or JSON for collectors.
//!
//! No password, token or message text is ever a field. Requests log their route as it stands in the
//! table of routes, and an account as the first digits of its id.

use clap::ValueEnum;
use serde::Deserialize;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What is logged unless a filter is given: what we say, and others' warnings. openraft warns of
/// every heartbeat that a stopped member misses, thousands a minute: only its errors are shown.
pub const DEFAULT_FILTER: &str = "warn,telegraph_manager=info,raft_core=info,\
    raft_core_discovery=info,identity_store=info,openraft=error";

/// Directives that are always added: what the HTTP and TLS libraries tell at finer levels may hold
/// headers, and with them tokens.
const QUIET: [&str; 4] = ["h2=info", "hyper=info", "hyper_util=info", "rustls=info"];

/// Starts logging with a filter as `tracing_subscriber::EnvFilter` reads it, for example
/// `info,telegraph_manager=debug`. Fails when the filter is malformed or logging was started
/// before.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let mut directives = filter.to_owned();
    for quiet in QUIET {
        directives = format!("{directives},{quiet}");
    }
    let filter = EnvFilter::try_new(directives)?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    match format {
        LogFormat::Pretty => logs.finish().try_init()?,
        LogFormat::Json => logs.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
