//! `telegraph-demo`: three managers, two people, one story, every claim of it checked.

mod cli;
mod cluster;
mod narrator;
mod people;
mod report;
mod story;

use clap::Parser;
use cli::Options;
use narrator::Narrator;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    cli::start_logging(&options);
    let mut narrator = Narrator::new(options.json);
    match perform(&options, &mut narrator).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            narrator.broke_off(&error);
            ExitCode::FAILURE
        }
    }
}

/// Tells the story and cleans up; true when everything in it held.
async fn perform(options: &Options, narrator: &mut Narrator) -> anyhow::Result<bool> {
    let (report, mut cluster) = story::tell(narrator).await?;
    narrator.close(&report);
    if options.keep {
        // Before anybody is told that it can be interrupted.
        let mut interrupted = signal(SignalKind::interrupt())?;
        narrator.explain_keeping(&cluster);
        interrupted.recv().await;
    }
    cluster.shutdown().await?;
    Ok(report.holds())
}
