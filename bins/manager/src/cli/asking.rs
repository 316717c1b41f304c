//! `health` and `status`: asking a manager that runs.

use super::print;
use super::span::Span;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use telegraph_manager::probe::Probe;

/// Not ready.
const NOT_READY: u8 = 3;

#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// Whom to ask.
    #[arg(
        long,
        env = "TELEGRAPH_MANAGER",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8000"
    )]
    manager: String,
    /// The authority to believe.
    #[arg(long, env = "TELEGRAPH_CA", value_name = "FILE")]
    ca: PathBuf,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "3s")]
    timeout: Span,
}

impl Asking {
    async fn probe(&self) -> anyhow::Result<Probe> {
        let ca = std::fs::read(&self.ca)
            .map_err(|error| anyhow::anyhow!("{}: {error}", self.ca.display()))?;
        Ok(Probe::new(&self.manager, &ca, self.timeout.0).await?)
    }
}

/// Whether a manager is ready, or alive.
pub(crate) async fn health(asking: &Asking, live: bool) -> anyhow::Result<ExitCode> {
    let probe = asking.probe().await?;
    let well = match live {
        true => probe.live().await?,
        false => {
            let readiness = probe.ready().await?;
            print::line(&readiness.detail);
            readiness.ready
        }
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

/// What a manager knows of itself and its cluster.
pub(crate) async fn status(asking: &Asking, as_json: bool) -> anyhow::Result<ExitCode> {
    let probe = asking.probe().await?;
    let (readiness, cluster) = (probe.ready().await?, probe.cluster().await?);
    if as_json {
        let checks: Vec<&str> = readiness.detail.lines().collect();
        let all = json!({ "ready": readiness.ready, "checks": checks, "cluster": cluster });
        print::line(&all.to_string());
    } else {
        print::line(&readiness.detail);
        print::line(&format!("cluster   {}", cluster.cluster_id));
        print::line(&format!("node      {}, version {}", cluster.node_id, cluster.version));
        print::line(&match cluster.leader {
            0 => "leader    none known".to_owned(),
            leader => format!("leader    node {leader}"),
        });
        print::line(&format!("managers  {}", cluster.managers.join(", ")));
    }
    Ok(if readiness.ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}
