//! Three members of one system, as processes on this machine.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::credentials::Credentials;
use crate::process::Process;
use crate::system::Program;
use crate::ways::{MEMBERS, Status, Ways};

/// How long a cluster may take until all of its members are up and as far as each other.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// How long a member may take to say how it is.
const STATUS_LIMIT: Duration = Duration::from_secs(1);
/// Pause before members are asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// Where programs are and where data goes.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) etcd: PathBuf,
    pub(crate) kv_service: PathBuf,
    /// Everything lies below it.
    pub(crate) directory: PathBuf,
    pub(crate) credentials: Credentials,
    /// That the callers of a client for load share.
    pub(crate) connections: usize,
}

/// Who leads. An election always ends with another term, whoever wins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lead {
    pub(crate) term: u64,
    /// The leader's id.
    pub(crate) leader: u64,
}

/// A cluster. Dropping it kills its processes and removes their data.
#[derive(Debug)]
pub(crate) struct Cluster {
    members: Vec<Process>,
    ways: Ways,
    /// Held for the sake of its end, which comes behind that of the members.
    _directory: TempDir,
}

impl Cluster {
    /// Starts a new cluster, and waits until all members are up.
    pub(crate) async fn start(
        setup: &Setup,
        program: Program,
        tls: bool,
    ) -> anyhow::Result<Cluster> {
        // What earlier members wrote is not to be in the way of these.
        rustix::fs::sync();
        let prefix = format!("{program}-");
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&setup.directory)?;
        let credentials = tls.then(|| setup.credentials.clone());
        let ways = Ways::new(program, credentials, setup.connections)?;
        let path = match program {
            Program::Etcd => &setup.etcd,
            Program::KvService => &setup.kv_service,
        };
        let member = |index: usize| {
            let data = directory.path().join(index.to_string());
            let log = directory.path().join(format!("{index}.log"));
            Process::new(path.clone(), ways.arguments(index, &data), log)
        };
        let members = (0..MEMBERS).map(member).collect();
        let mut cluster = Cluster { members, ways, _directory: directory };
        cluster.start_all()?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Starts all members, none of which is running.
    pub(crate) fn start_all(&mut self) -> anyhow::Result<()> {
        self.members.iter_mut().try_for_each(Process::start)
    }

    /// Asks all members to stop, and waits until they have.
    pub(crate) async fn stop_all(&mut self) -> anyhow::Result<()> {
        self.members.iter().try_for_each(Process::ask_to_stop)?;
        for member in &mut self.members {
            member.stopped().await?;
        }
        Ok(())
    }

    pub(crate) fn start_member(&mut self, index: usize) -> anyhow::Result<()> {
        self.members[index].start()
    }

    /// `kill -9`.
    pub(crate) fn kill_member(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// The ids of the processes that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.members.iter().filter_map(Process::id).collect()
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// A client for load, all of which goes to the leader.
    pub(crate) async fn client(&mut self) -> anyhow::Result<Client> {
        let leader = self.ready().await?;
        self.ways.client(leader).await
    }

    /// Waits until all members are up, agree on who leads, and have applied the same; says who
    /// leads.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<usize> {
        Ok(self.agreement().await?.0)
    }

    /// Waits for the same, and says who leads by the leader's id, and in which term.
    pub(crate) async fn lead(&mut self) -> anyhow::Result<Lead> {
        Ok(self.agreement().await?.1)
    }

    async fn agreement(&mut self) -> anyhow::Result<(usize, Lead)> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let found = self.look().await;
            if found.is_ok() {
                return found;
            }
            self.members.iter_mut().try_for_each(Process::check)?;
            if Instant::now() > deadline {
                return found.context("the cluster is not ready in two minutes");
            }
            sleep(PAUSE).await;
        }
    }

    async fn look(&self) -> anyhow::Result<(usize, Lead)> {
        let mut said = Vec::new();
        for index in 0..MEMBERS {
            said.push(timeout(STATUS_LIMIT, self.ways.status(index)).await.context("a member")??);
        }
        agreed(&said)
    }
}

/// Who leads, if all agree about it and have applied the same.
fn agreed(said: &[Status]) -> anyhow::Result<(usize, Lead)> {
    let leaders: HashSet<_> = said.iter().map(|status| (status.leader, status.term)).collect();
    let applied: HashSet<_> = said.iter().map(|status| status.applied).collect();
    if leaders.len() != 1 || applied.len() != 1 {
        bail!("the members do not agree: {said:?}");
    }
    let index = said.iter().position(|status| status.leads).context("nobody leads")?;
    let Status { leader, term, .. } = said[index];
    Ok((index, Lead { term, leader: leader.context("nobody leads")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_one_that_all_name() {
        let said = |leads, leader, applied| Status { leads, leader, term: 3, applied };
        let good = [said(false, Some(7), 5), said(true, Some(7), 5), said(false, Some(7), 5)];
        assert_eq!(agreed(&good).unwrap(), (1, Lead { term: 3, leader: 7 }));
        for (index, other) in [said(false, None, 5), said(false, Some(7), 4)].iter().enumerate() {
            let mut spoilt = good;
            spoilt[index * 2] = *other;
            assert!(agreed(&spoilt).is_err(), "{other:?}");
        }
        assert!(agreed(&[said(false, None, 5); 3]).is_err());
        let mut ahead = good;
        ahead[2].term = 4;
        assert!(agreed(&ahead).is_err(), "one stands for election");
    }
}
