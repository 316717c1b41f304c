//! The commands of `telegraph-manager`.

mod asking;
mod dev;
mod members;
pub(crate) mod print;
mod serve;
mod settings;
mod span;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use telegraph_manager::certs::{self, Files};
use telegraph_manager::probe::ProbeError;

/// Identity manager of Telegraph: accounts, keys, addresses and presence, replicated.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage or settings; 3 not ready; 69 no manager answers.
///
/// Every flag of `serve` may also be given as TELEGRAPH_… in the environment, or in a TOML file
/// (`--config`) under its own name; flags win over the environment, that over the file.
#[derive(Debug, Parser)]
#[command(name = "telegraph-manager", version)]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a manager until SIGTERM or Ctrl-C.
    Serve(Box<serve::ServeArgs>),
    /// Make and look at certificates.
    #[command(subcommand)]
    Certs(CertsCommand),
    /// Exit with 0 when a manager is ready (or, with --live, alive), with 3 when it is not.
    Health {
        #[command(flatten)]
        asking: asking::Asking,
        /// Ask only whether the process answers: what a container's health check should ask.
        #[arg(long)]
        live: bool,
    },
    /// Show what a manager knows of itself and its cluster.
    Status {
        #[command(flatten)]
        asking: asking::Asking,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum CertsCommand {
    /// Make an authority and the managers' certificate: ca.pem, ca.key, manager.pem, manager.key.
    Init(InitArgs),
    /// Print the SHA-256 fingerprint of an authority.
    Fingerprint {
        /// The authority's certificate.
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
    },
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Where to write them; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Further names and addresses of managers, for clients that check them; clients of ours ask
    /// for `telegraph-manager`, which is always in. Repeatable.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
}

/// Runs a command.
pub(crate) async fn run(program: Program) -> anyhow::Result<ExitCode> {
    match program.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Certs(CertsCommand::Init(args)) => init(&args),
        Command::Certs(CertsCommand::Fingerprint { ca }) => {
            print::line(&certs::fingerprint(&std::fs::read(ca)?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Health { asking, live } => asking::health(&asking, live).await,
        Command::Status { asking, json } => asking::status(&asking, json).await,
    }
}

fn init(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let files = Files::initialise(&args.dir, &args.host)?;
    let fingerprint = certs::fingerprint(&files.read()?.ca_pem)?;
    print::line(&format!("{}  for managers and clients", files.ca.display()));
    print::line(&format!("{}  for nobody: keep it off the managers", files.ca_key.display()));
    print::line(&format!("{}  for managers", files.cert.display()));
    print::line(&format!("{}  for managers", files.key.display()));
    print::line(&format!("fingerprint {fingerprint}"));
    Ok(ExitCode::SUCCESS)
}

/// The exit code of a failure.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<settings::SettingsError>() {
        return ExitCode::from(2);
    }
    match error.downcast_ref::<ProbeError>() {
        Some(ProbeError::Unreachable(_) | ProbeError::Address { .. }) => ExitCode::from(69),
        _ => ExitCode::FAILURE,
    }
}
