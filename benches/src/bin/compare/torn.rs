//! What a cluster does when its leader is killed, and when all of its members come back.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, found};
use crate::cluster::{Cluster, Setup};
use crate::figures::Row;
use crate::keys::{Draw, Keys, key};
use crate::load;
use crate::options::Plan;
use crate::probe;
use crate::report::{Report, progress};
use crate::system::Program;

/// Writes before a kill, so that nothing is measured but the kill.
const SETTLING_WRITES: u64 = 50;
/// Pause after a member has come back.
const SETTLING: Duration = Duration::from_millis(300);

/// Kills leaders: in each round some of a new cluster of the one system, then as many of the other.
pub(crate) async fn kills(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut before = 0;
    for (round, kills) in (1..).zip(plan.kills_of_rounds()) {
        for program in Program::BOTH {
            let mut cluster = Cluster::start(setup, program, false).await?;
            let client = cluster.ways().roaming_client().await?;
            for kill in before + 1..=before + kills {
                let taken = fail_over(&mut cluster, &client, keys, u64::from(kill)).await?;
                progress(&format!("kill {kill:2}, {program:10} {taken:>9.1?}"));
                report.rows.push(timed(program, "failover", round, taken));
            }
        }
        before += kills;
    }
    Ok(())
}

/// Fills a cluster of each system and stops it, then has them come back in turn.
pub(crate) async fn restarts(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut filled = Vec::new();
    for program in Program::BOTH {
        filled.push((program, fill(setup, plan, keys, program).await?));
    }
    for round in 1..=plan.restarts {
        for (program, cluster) in &mut filled {
            let program = *program;
            // The files are read once before, for meanwhile it was the other's turn.
            cluster.start_all()?;
            cluster.ready().await?;
            let (read, write) = come_back(cluster, keys, u64::from(round)).await?;
            cluster.stop_all().await?;
            progress(&format!("restart {round}, {program:10} read {read:.1?} write {write:.1?}"));
            report.rows.push(timed(program, "restart, read", round, read));
            report.rows.push(timed(program, "restart, write", round, write));
        }
    }
    Ok(())
}

fn timed(program: Program, workload: &'static str, round: u32, taken: Duration) -> Row {
    let row = Row::new(program, workload, 1, round);
    Row { time_ms: Some(taken.as_secs_f64() * 1e3), ..row }
}

/// A cluster that has all entries, and is stopped.
async fn fill(
    setup: &Setup,
    plan: &Plan,
    keys: &Keys,
    program: Program,
) -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::start(setup, program, false).await?;
    let started = Instant::now();
    let client = cluster.client().await?;
    load::fill(&client, keys, plan.entries).await?;
    drop(client);
    cluster.ready().await?;
    let entries = plan.entries;
    progress(&format!("filled  {program:10} {entries} in {:.1?}", started.elapsed()));
    cluster.stop_all().await?;
    Ok(cluster)
}

/// From the kill of the leader to the next acknowledged write.
async fn fail_over(
    cluster: &mut Cluster,
    client: &Client,
    keys: &Keys,
    number: u64,
) -> anyhow::Result<Duration> {
    let mut draw = keys.draw(number, 0);
    for turn in 0..SETTLING_WRITES {
        client.put(turn as usize, draw.key(), draw.value()).await?;
    }
    let leader = cluster.ready().await?;
    let killed = Instant::now();
    cluster.kill_member(leader);
    let attempt = |turn| put(client, keys.draw(number, turn as u32), turn);
    let taken = probe::first(killed, attempt).await?;
    cluster.start_member(leader)?;
    cluster.ready().await?;
    sleep(SETTLING).await;
    Ok(taken)
}

/// From the start of all members, which were stopped in order, to the first read and the first
/// write.
async fn come_back(
    cluster: &mut Cluster,
    keys: &Keys,
    number: u64,
) -> anyhow::Result<(Duration, Duration)> {
    // Made before, and none the wiser about who leads.
    let client = cluster.ways().roaming_client().await?;
    let ways = cluster.ways().clone();
    cluster.stop_all().await?;
    let started = Instant::now();
    cluster.start_all()?;
    let read = probe::first(started, |turn| {
        let ways = ways.clone();
        async move { found(ways.get_once(turn, &key(0)).await?) }
    });
    let write = probe::first(started, |turn| put(&client, keys.draw(number, turn as u32), turn));
    let times = tokio::try_join!(read, write)?;
    cluster.ready().await?;
    Ok(times)
}

fn put(
    client: &Client,
    mut draw: Draw,
    turn: usize,
) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
    let client = client.clone();
    async move { client.put(turn, draw.key(), draw.value()).await }
}
