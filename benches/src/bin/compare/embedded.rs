//! Three members of raft-core in this process, as a program has them that embeds it: what
//! consensus and the log take when the caller has no connection, and applying costs nothing.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use telegraph_benches::{Cluster, Plan as Shape, start_counter, start_counter_in_memory};
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::cluster::Setup;
use crate::figures::Row;
use crate::keys::Keys;
use crate::load::{self, Load, Mix};
use crate::options::Plan;
use crate::report::{Report, progress};
use crate::system::System;

/// Measures the writes of a new cluster, on disk or with a log that keeps nothing.
pub(crate) async fn run(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    durable: bool,
    round: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let system = if durable { System::Embedded } else { System::EmbeddedMemory };
    // What earlier members wrote is not to be in the way of these.
    rustix::fs::sync();
    let threads = Threads::new()?;
    let directory = setup.directory.clone();
    let cluster = threads.run(async move { start(&directory, durable).await }).await?;
    for (number, clients) in (1..).zip(&plan.embedded_clients) {
        let load = Load {
            mix: Mix::Writes,
            clients: *clients,
            warming: plan.warming,
            window: plan.window,
            number: u64::from(round) << 16 | number,
        };
        let (client, keys) = (Client::Embedded(cluster.leader().clone()), keys.clone());
        let this = [std::process::id()];
        let running = async move { load::run(&client, &keys, &load, &this).await };
        let measured = threads.run(running).await?;
        progress(&format!("round {round}, {system} x {clients} {:.0}/s", measured.ops_per_s));
        let row = Row::new(system, "embedded", *clients, round).with(measured);
        // The callers' memory is in it, and what the disk is given without a log is not theirs.
        let disk_bytes_per_user_byte = row.disk_bytes_per_user_byte.filter(|_| durable);
        let row = Row { generator_cpu_s_per_1000_ops: None, memory_bytes: None, ..row };
        report.rows.push(Row { disk_bytes_per_user_byte, ..row });
    }
    let stopping = async move {
        cluster.shutdown().await;
        anyhow::Ok(())
    };
    threads.run(stopping).await
}

async fn start(parent: &Path, durable: bool) -> anyhow::Result<Cluster> {
    // As the processes are in this comparison: without TLS, and without a snapshot in the time.
    let shape = Shape { encrypted: false, snapshots: false, ..Shape::default() };
    let started = match durable {
        true => {
            let start = async |config, services| start_counter(config, services).await;
            Box::pin(Cluster::start_with(parent, shape, start)).await
        }
        false => {
            let start = async |config, services| start_counter_in_memory(config, services).await;
            Box::pin(Cluster::start_with(parent, shape, start)).await
        }
    };
    started.map_err(|error| anyhow!("{error}")).context("three members in this process")
}

/// Threads of the members and their callers: as many as there are processors, as such a program
/// would have them.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Threads {
    fn new() -> anyhow::Result<Threads> {
        Ok(Threads(Some(Runtime::new()?)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        let runtime = self.0.as_ref().context("they are there until they are dropped")?;
        runtime.spawn(work).await?
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // To wait for them is not allowed on a thread that drives futures, as this one is.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
