//! `telegraph-manager`: an identity manager, and what its operator needs.

mod cli;

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Program::parse()).await {
        Ok(code) => code,
        Err(error) => {
            cli::print::error(&error);
            cli::exit_code(&error)
        }
    }
}
