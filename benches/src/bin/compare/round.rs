//! One turn of one system, under load and without.

use std::path::Path;

use tokio::time::sleep;

use crate::client::Client;
use crate::cluster::{Cluster, Setup};
use crate::figures::Row;
use crate::keys::Keys;
use crate::load::{self, Load, Mix};
use crate::options::{Part, Plan};
use crate::report::{Report, progress};
use crate::system::{Program, System};
use crate::trace::{Trace, Tracer};
use crate::usage::Usage;

/// Callers while syncs are counted: some, so that group commit has something to group.
const TRACED_CLIENTS: u32 = 64;

/// Measures a new cluster without TLS.
pub(crate) async fn plain(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    program: Program,
    round: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(setup, program, false).await?;
    if plan.has(Part::Idle) {
        sleep(plan.idle).await;
        let usage = Usage::of(&cluster.processes())?;
        let memory_bytes = Some(usage.resident_bytes as f64);
        report.rows.push(Row { memory_bytes, ..Row::new(program, "idle", 0, round) });
    }
    let workloads = [
        (Part::Read, Mix::Reads, "read", &plan.read_clients),
        (Part::Write, Mix::Writes, "write", &plan.write_clients),
        (Part::Mixed, Mix::Mixed, "mixed", &plan.mixed_clients),
    ];
    if !workloads.iter().any(|(part, ..)| plan.has(*part)) {
        return Ok(());
    }
    let mut turn = Turn::begin(&mut cluster, plan, keys, program, false, round).await?;
    for (_, mix, name, clients) in workloads.into_iter().filter(|(part, ..)| plan.has(*part)) {
        for clients in clients {
            turn.measure(mix, name, *clients, report).await?;
        }
    }
    turn.trace(&setup.directory, report).await
}

/// Measures the writes of a new cluster with TLS.
pub(crate) async fn over_tls(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    program: Program,
    round: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(setup, program, true).await?;
    let mut turn = Turn::begin(&mut cluster, plan, keys, program, true, round).await?;
    for clients in &plan.tls_clients {
        turn.measure(Mix::Writes, "write", *clients, report).await?;
    }
    turn.trace(&setup.directory, report).await
}

/// Measures what three members in one process are measured against: the writes of a new cluster
/// without TLS.
pub(crate) async fn beside_embedded(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    round: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let program = Program::Etcd;
    let mut cluster = Cluster::start(setup, program, false).await?;
    let mut turn = Turn::begin(&mut cluster, plan, keys, program, false, round).await?;
    for clients in &plan.embedded_clients {
        turn.measure(Mix::Writes, "embedded", *clients, report).await?;
    }
    Ok(())
}

/// Measures the writes of a new cluster without TLS for long, and looks whether the leader stays.
pub(crate) async fn steady(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    program: Program,
    round: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(setup, program, false).await?;
    let mut turn = Turn::begin(&mut cluster, plan, keys, program, false, round).await?;
    for clients in &plan.steady_clients {
        let lead_before = Some(cluster.lead().await?);
        let load = Load { window: plan.steady, ..turn.load(Mix::Writes, *clients) };
        let row = turn.run("steady", &load).await?;
        let lead_after = Some(cluster.lead().await?);
        report.rows.push(Row { lead_before, lead_after, ..row });
    }
    Ok(())
}

/// A cluster that has every key, and a client of it.
struct Turn<'a> {
    client: Client,
    processes: Vec<u32>,
    plan: &'a Plan,
    keys: &'a Keys,
    program: Program,
    tls: bool,
    round: u32,
    /// Measurements so far: each draws other keys.
    number: u64,
}

impl<'a> Turn<'a> {
    async fn begin(
        cluster: &mut Cluster,
        plan: &'a Plan,
        keys: &'a Keys,
        program: Program,
        tls: bool,
        round: u32,
    ) -> anyhow::Result<Turn<'a>> {
        let client = cluster.client().await?;
        load::fill(&client, keys, keys.count()).await?;
        // Who leads may have changed under that load, at worst.
        let client = cluster.client().await?;
        let processes = cluster.processes();
        let number = u64::from(round) << 16;
        Ok(Turn { client, processes, plan, keys, program, tls, round, number })
    }

    fn load(&mut self, mix: Mix, clients: u32) -> Load {
        self.number += 1;
        let (warming, window) = (self.plan.warming, self.plan.window);
        Load { mix, clients, warming, window, number: self.number }
    }

    async fn measure(
        &mut self,
        mix: Mix,
        workload: &'static str,
        clients: u32,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let load = self.load(mix, clients);
        let row = self.run(workload, &load).await?;
        report.rows.push(row);
        Ok(())
    }

    async fn run(&self, workload: &'static str, load: &Load) -> anyhow::Result<Row> {
        let clients = load.clients;
        let measured = load::run(&self.client, self.keys, load, &self.processes).await?;
        progress(&format!(
            "round {}, {:10} {workload:5} x {clients:<4} {:>9.0}/s{}",
            self.round,
            self.program,
            measured.ops_per_s,
            if self.tls { " over TLS" } else { "" },
        ));
        let row = Row::new(self.program, workload, clients, self.round).with(measured);
        Ok(Row { tls: self.tls, ..row })
    }

    /// Counts syncs in a measurement of its own, which they slow down and which is not shown.
    async fn trace(&mut self, directory: &Path, report: &mut Report) -> anyhow::Result<()> {
        let load = self.load(Mix::Writes, TRACED_CLIENTS);
        let tracer = Tracer::attach(&self.processes, directory);
        let measured = load::run(&self.client, self.keys, &load, &self.processes).await?;
        let counted = match tracer {
            Ok(tracer) => tracer.count().await,
            Err(why) => Err(why),
        };
        let (syncs, why) = match counted {
            Ok(syncs) => (Some(syncs), None),
            Err(why) => (None, Some(why)),
        };
        let system = System::from(self.program).name();
        let (tls, round, writes) = (self.tls, self.round, measured.all_writes);
        report.traces.push(Trace { system, tls, round, syncs, writes, why });
        Ok(())
    }
}
