//! `raft-core`: looks into, backs up and restores the files of a node that does not run.
//!
//! Data goes to standard output, messages to standard error. Exit codes: 0 all is sound, 1 an
//! error, 2 wrong arguments, 3 a file is damaged; the message names file and offset.

mod arguments;
mod commands;
mod line;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let (code, message) = match commands::run(arguments, &mut io::stdout().lock()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => (error.exit_code(), error.to_string()),
    };
    // Nobody listens to either stream any more when this fails.
    let _ = writeln!(io::stderr(), "raft-core: {message}");
    ExitCode::from(code)
}
