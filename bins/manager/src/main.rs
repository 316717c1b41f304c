//! `telegraph-manager`: an identity manager, and what its operator needs.

mod cli;

use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// What one thread receives another lets go, and the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
