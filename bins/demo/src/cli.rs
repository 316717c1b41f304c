//! The demo's few switches.

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Brings up three identity managers and two people in one process, and tells what happens.
///
/// Exit code 0: everything the story claims was checked and held. 1: something did not hold.
#[derive(Debug, Parser)]
#[command(name = "telegraph-demo", version)]
pub(crate) struct Options {
    /// Print the result as one JSON object on stdout; the story goes to stderr.
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave the managers running afterwards, until Ctrl-C, for `telegraph` in another terminal.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Show the programs' own logs on stderr, with this filter.
    #[arg(long, value_name = "FILTER", env = "TELEGRAPH_LOG")]
    pub(crate) log: Option<String>,
}

/// Logs only where they were asked for: the story is the output.
pub(crate) fn start_logging(options: &Options) {
    let Some(filter) = &options.log else { return };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .init();
}
