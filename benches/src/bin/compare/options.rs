//! What the program is told on its command line, and what follows from it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Parser, ValueEnum};
use telegraph_benches::{Circumstances, Machine, commit, utc};

use crate::keys::{KEY_BYTES, VALUE_BYTES};

/// Three processes of etcd and three of raft-core's kv_service under the same load.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Ends within a minute: fewer clients, rounds, kills and entries.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Writes every figure to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measures these parts alone; all but `steady` unless said otherwise.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    pub(crate) only: Vec<Part>,
    /// Turns of each system; 3, or 1 when quick and for `steady`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,
    /// How many callers wait for a reply each, one measurement for each number.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: Vec<u32>,
    /// How long each measurement takes, after its warming up; 3, or 0.5 when quick, and 600, or 2
    /// when quick, for `steady`.
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,
    /// Connections to the leader that the callers of etcd, and the readers of kv_service, share.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// How often a leader is killed; 20, or 1 when quick.
    #[arg(long)]
    pub(crate) kills: Option<u32>,
    /// Turns of each system in which leaders are killed, each with a new cluster and as many of the
    /// kills as another; 4, or 1 when quick.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) kill_rounds: Option<u32>,
    /// How often all members are restarted, of the one system and of the other in turn; 3, or 1
    /// when quick.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) restarts: Option<u32>,
    /// How many entries are written before the restarts; 1,000,000, or 20,000 when quick.
    #[arg(long)]
    pub(crate) entries: Option<u64>,
    /// The program of etcd.
    #[arg(long, default_value = "etcd", value_name = "PROGRAM")]
    pub(crate) etcd: PathBuf,
    /// A kv_service that is built already; it is built otherwise.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) kv_service: Option<PathBuf>,
    /// Where the members keep their data; below the target directory unless said otherwise.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data: Option<PathBuf>,
    /// Decides which keys and values are drawn.
    #[arg(long, default_value = "1")]
    pub(crate) seed: u64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Single writes.
    Write,
    /// Linearizable reads.
    Read,
    /// Nine reads to a write.
    Mixed,
    /// Single writes over mutual TLS.
    Tls,
    /// From the death of the leader to the next acknowledged write.
    Failover,
    /// From the start of all members to the first answer.
    Restart,
    /// Memory of members that do nothing.
    Idle,
    /// Three members in one process: single writes, beside etcd's and beside a log in memory.
    Embedded,
    /// Single writes for long, and whether an election came to pass; only when it is named.
    Steady,
}

/// How much of everything there is to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: u32,
    pub(crate) write_clients: Vec<u32>,
    pub(crate) read_clients: Vec<u32>,
    pub(crate) mixed_clients: Vec<u32>,
    pub(crate) tls_clients: Vec<u32>,
    pub(crate) embedded_clients: Vec<u32>,
    pub(crate) steady_clients: Vec<u32>,
    /// Turns of each system under load for long.
    pub(crate) steady_rounds: u32,
    /// How long that load takes.
    pub(crate) steady: Duration,
    /// Load before each measurement that is not measured.
    pub(crate) warming: Duration,
    /// What is measured.
    pub(crate) window: Duration,
    /// How long members do nothing before their memory is looked at.
    pub(crate) idle: Duration,
    /// Keys that there are.
    pub(crate) keys: u64,
    pub(crate) kills: u32,
    /// Turns of each system that the kills are spread over.
    pub(crate) kill_rounds: u32,
    pub(crate) entries: u64,
    pub(crate) restarts: u32,
    pub(crate) seed: u64,
}

/// The numbers of callers that are of interest.
const CLIENTS: [u32; 5] = [1, 16, 64, 256, 1024];

/// Where one number is enough: what is called full load.
const MANY: [u32; 1] = [1024];

impl Options {
    /// What is to be done.
    pub(crate) fn plan(&self) -> Plan {
        let quick = self.quick;
        let clients = |quick_ones: &[u32]| match (self.clients.is_empty(), quick) {
            (false, _) => self.clients.clone(),
            (true, true) => quick_ones.to_vec(),
            (true, false) => CLIENTS.to_vec(),
        };
        let many = || if self.clients.is_empty() { MANY.to_vec() } else { self.clients.clone() };
        let parts = match self.only.is_empty() {
            true => Part::every_time().collect(),
            false => self.only.clone(),
        };
        let millis = |quick_ones, thorough| match quick {
            true => Duration::from_millis(quick_ones),
            false => Duration::from_millis(thorough),
        };
        Plan {
            parts,
            rounds: self.rounds.unwrap_or(if quick { 1 } else { 3 }),
            write_clients: clients(&[1, 64, 256]),
            read_clients: clients(&[64]),
            mixed_clients: clients(&[64]),
            tls_clients: clients(&[64]),
            embedded_clients: many(),
            steady_clients: many(),
            steady_rounds: self.rounds.unwrap_or(1),
            steady: self.seconds.unwrap_or(millis(2000, 600_000)),
            warming: millis(150, 700),
            window: self.seconds.unwrap_or(millis(500, 3000)),
            idle: millis(300, 3000),
            keys: if quick { 10_000 } else { 100_000 },
            kills: self.kills.unwrap_or(if quick { 1 } else { 20 }),
            kill_rounds: self.kill_rounds.unwrap_or(if quick { 1 } else { 4 }),
            entries: self.entries.unwrap_or(if quick { 20_000 } else { 1_000_000 }),
            restarts: self.restarts.unwrap_or(if quick { 1 } else { 3 }),
            seed: self.seed,
        }
    }

    /// What it is done with, beginning now.
    pub(crate) fn circumstances(&self, etcd: String, plan: &Plan) -> Circumstances {
        Circumstances {
            date: Some(utc(SystemTime::now())),
            commit: commit(Path::new(env!("CARGO_MANIFEST_DIR"))),
            etcd,
            machine: Machine::here(),
            quick: self.quick,
            key_bytes: KEY_BYTES,
            value_bytes: VALUE_BYTES,
            keys: plan.keys,
            entries: plan.entries,
            window_s: plan.window.as_secs_f64(),
            seed: plan.seed,
        }
    }
}

impl Part {
    /// What is measured unless parts are named.
    fn every_time() -> impl Iterator<Item = Part> {
        Part::value_variants().iter().copied().filter(|part| *part != Part::Steady)
    }
}

impl Plan {
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// How many kills of a system each round has: no round has none, and none has two more than
    /// another.
    pub(crate) fn kills_of_rounds(&self) -> impl Iterator<Item = u32> + use<> {
        let (kills, rounds) = (self.kills, self.kill_rounds.min(self.kills));
        (0..rounds).map(move |round| kills / rounds + u32::from(round < kills % rounds))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    match seconds > 0.0 && seconds <= 3600.0 {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("more than 0 and at most 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn plan(arguments: &[&str]) -> Plan {
        let all = ["compare"].iter().chain(arguments);
        Options::try_parse_from(all).unwrap().plan()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn all_is_measured_unless_something_is_named() {
        let thorough = plan(&[]);
        assert_eq!(thorough.parts.len(), Part::value_variants().len() - 1);
        assert!(!thorough.has(Part::Steady));
        assert_eq!(thorough.write_clients, CLIENTS);
        assert_eq!(thorough.embedded_clients, MANY);
        assert!(thorough.kills >= 20 && thorough.entries == 1_000_000);
        let named = plan(&["--only", "write,failover", "--clients", "8", "--seconds", "0.5"]);
        assert!(named.has(Part::Failover) && !named.has(Part::Read));
        assert_eq!((named.write_clients, named.window), (vec![8], Duration::from_millis(500)));
        assert_eq!(named.embedded_clients, [8]);
        assert!(plan(&["--quick"]).window < thorough.window);
    }

    #[test]
    fn what_takes_long_is_measured_when_it_is_named() {
        let steady = plan(&["--only", "steady", "--seconds", "60"]);
        assert!(steady.has(Part::Steady) && !steady.has(Part::Write));
        assert_eq!((steady.steady, steady.steady_rounds), (Duration::from_secs(60), 1));
        assert_eq!(plan(&["--only", "steady"]).steady, Duration::from_secs(600));
        assert_eq!(steady.steady_clients, MANY);
    }

    #[test]
    fn kills_are_spread_over_the_rounds() {
        let spread = |arguments: &[&str]| plan(arguments).kills_of_rounds().collect::<Vec<u32>>();
        assert_eq!(spread(&[]), [5, 5, 5, 5]);
        assert_eq!(spread(&["--quick"]), [1]);
        assert_eq!(spread(&["--kills", "7", "--kill-rounds", "3"]), [3, 2, 2]);
        assert_eq!(spread(&["--kills", "2"]), [1, 1]);
        assert_eq!(spread(&["--kills", "0"]), [0; 0]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for wrong in [
            ["--kill-rounds", "0"],
            ["--restarts", "0"],
            ["--rounds", "0"],
            ["--clients", "0"],
            ["--seconds", "0"],
            ["--only", "x"],
        ] {
            assert!(
                Options::try_parse_from(["compare"].iter().chain(&wrong)).is_err(),
                "{wrong:?}"
            );
        }
    }
}
