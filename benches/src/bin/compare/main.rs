//! raft-core's kv_service side by side with etcd: the same load on three processes of each, in
//! turn. What its figures mean stands in the README of this crate.
//!
//! # The life of a comparison
//!
//! 1. `options.rs` says how much there is to be, `kv_service.rs` builds our side, `etcd.rs` looks
//!    whether the other side is installed.
//! 2. In each round (`round.rs`) first the one system, then the other is alone on the machine: a
//!    new cluster (`cluster.rs`) of three processes (`process.rs`) is started, filled, put under
//!    load (`load.rs`) and looked at from outside (`usage.rs`,
//!    `disk.rs`, `trace.rs`).
//! 3. Then etcd takes turns with members in this process (`embedded.rs`).
//! 4. Then leaders are killed and all members restarted, of both in turn (`torn.rs`,
//!    `probe.rs`).
//! 5. `figures.rs` compares, round by round, and `report.rs` tells.

#[path = "../../../../raft-core/examples/kv_service/change.rs"]
#[allow(dead_code, reason = "nothing is deleted here, and no change is read")]
mod change;
mod client;
mod cluster;
mod credentials;
mod disk;
mod embedded;
mod etcd;
mod figures;
mod keys;
mod kv_service;
mod load;
mod options;
mod probe;
mod process;
mod report;
mod round;
mod system;
mod torn;
mod trace;
mod usage;
mod ways;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Setup;
use credentials::Credentials;
use keys::Keys;
use options::{Options, Part, Plan};
use report::Report;
use system::Program;

/// Threads of the load generator: it shares the machine with six processes, and the same for both
/// sides.
const WORKERS: usize = 2;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let etcd = etcd::version(&options.etcd)?;
    let kv_service = options.kv_service.clone().map_or_else(kv_service::build, Ok)?;
    let directory = tempfile::Builder::new().prefix("compare-").tempdir_in(data(&options)?)?;
    let credentials = Credentials::make(directory.path())?;
    let setup = Setup {
        etcd: options.etcd.clone(),
        kv_service,
        directory: directory.path().to_owned(),
        credentials,
        connections: options.connections as usize,
    };
    let plan = options.plan();
    let about = options.circumstances(etcd, &plan);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(WORKERS).enable_all().build()?;
    let mut report = Report::default();
    if let Some(path) = &options.json {
        // A place that cannot be written to is noticed before anything is measured.
        report.write_json(&about, path)?;
    }
    let began = Instant::now();
    let measured = runtime.block_on(async {
        // Ending early drops what runs, and with it every process.
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            measured = measure(&setup, &plan, &mut report) => measured,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminated.recv() => anyhow::bail!("terminated"),
        }
    });
    // Whatever ended it, what there is took long.
    report.took = began.elapsed();
    report.print(&about, &mut io::stdout().lock())?;
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(&about, path))?;
    measured
}

async fn measure(setup: &Setup, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let keys = Keys::new(plan.keys, plan.seed);
    let plain = [Part::Write, Part::Read, Part::Mixed, Part::Idle];
    let plain = plain.into_iter().any(|part| plan.has(part));
    for round in (1..=plan.rounds).filter(|_| plain) {
        for program in Program::BOTH {
            round::plain(setup, plan, &keys, program, round, report).await?;
        }
    }
    for round in (1..=plan.rounds).filter(|_| plan.has(Part::Tls)) {
        for program in Program::BOTH {
            round::over_tls(setup, plan, &keys, program, round, report).await?;
        }
    }
    for round in (1..=plan.rounds).filter(|_| plan.has(Part::Embedded)) {
        round::beside_embedded(setup, plan, &keys, round, report).await?;
        for durable in [true, false] {
            embedded::run(setup, plan, &keys, durable, round, report).await?;
        }
    }
    for round in (1..=plan.steady_rounds).filter(|_| plan.has(Part::Steady)) {
        for program in Program::BOTH {
            round::steady(setup, plan, &keys, program, round, report).await?;
        }
    }
    if plan.has(Part::Failover) {
        torn::kills(setup, plan, &keys, report).await?;
    }
    if plan.has(Part::Restart) {
        torn::restarts(setup, plan, &keys, report).await?;
    }
    Ok(())
}

/// Where data goes: on a real disk, where the system's temporary folder may be memory.
fn data(options: &Options) -> anyhow::Result<PathBuf> {
    let directory = match &options.data {
        Some(directory) => directory.clone(),
        None => {
            let this = std::env::current_exe()?;
            let target = this.ancestors().nth(2).context("this program lies in target/PROFILE")?;
            target.join("tmp")
        }
    };
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}
