//! `serve`: a manager from its settings, until it is told to stop.

use super::dev::Development;
use super::settings::Settings;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use telegraph_manager::{Manager, telemetry};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
    /// A TOML file with settings of the same names.
    #[arg(long, env = "TELEGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A throw-away single manager on loopback with its own certificates: prints what to type
    /// next. With --data-dir it is kept, without it is deleted at the end.
    #[arg(long)]
    dev: bool,
}

/// Runs a manager until SIGTERM, SIGINT or its own failure.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let file = args.config.as_deref().map(Settings::read).transpose()?;
    let settings = args.settings.or(file.unwrap_or_default());
    let filter = settings.log.clone().unwrap_or_else(|| telemetry::DEFAULT_FILTER.into());
    telemetry::start(settings.log_format.unwrap_or_default(), &filter)?;
    // From here on a signal is a wish to stop in order, also while starting.
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let development = match args.dev {
        true => Some(Development::prepare(&settings)?),
        false => None,
    };
    let config = match &development {
        Some(development) => development.settings(settings).configure()?,
        None => settings.configure()?,
    };
    let manager = Manager::bind(config).await?;
    if let Some(development) = &development {
        development.introduce(&manager);
    }
    let failed = tokio::select! {
        reason = manager.join() => Some(reason),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    tracing::info!("stopping");
    let stopped = manager.shutdown().await;
    drop(manager);
    drop(development);
    match failed {
        Some(reason) => Err(anyhow::Error::new(reason)),
        None => Ok(stopped.map(|()| ExitCode::SUCCESS)?),
    }
}
