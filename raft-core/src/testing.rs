//! The test kit for those who build on this crate; only with the cargo feature `testing`, which
//! belongs into `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! raft-core = { path = "../telegraph/raft-core", features = ["testing"] }
//! ```
//!
//! - [`MachineSuite`] tries the laws that every state machine must keep on yours. Begin here: a
//!   machine that breaks one makes replicas differ, and nothing else will tell you.
//! - [`Cluster`] runs real nodes in one process, on a [`Network`] in memory that can be cut,
//!   delayed and healed, and crashes and restarts them. [`ClusterPlan::start_typed`] does so for a
//!   machine of the simple tier.
//! - [`History`] remembers what callers were told, and checks it against the log: nothing lost,
//!   nothing twice, nothing stale.
//! - [`Environment`] is what a node takes from the world; with it, and [`start`], a test can
//!   replace the network, the log, the disk below it, the clock and the randomness by its own.
//!
//! What chance decides follows from a seed, which is printed; `RAFT_TEST_SEED` repeats it.
//!
//! Tools for tests panic where a test cannot go on, and say why. Everything in this module may
//! change from version to version more freely than the rest of the crate.

pub use crate::clock::{SystemClock, WallClock};
pub use crate::disk::sim::random::Random;
pub use crate::disk::sim::state::{DiskOp, Fault};
pub use crate::disk::sim::{Crash, SimDisk};
pub use crate::disk::{Disk, DiskEntry, DiskFile, DiskLock, Space};
pub use crate::environment::Environment;
pub use crate::log_opener::{LogOpener, OpenedLog, WalOpener};
pub use crate::log_store::{
    Durable, LogPosition, LogState, LogStats, LogStore, PAYLOAD_MAX_BYTES, POINTER_MAX_BYTES,
    Record, SYNC_BUCKET_MICROS,
};
pub use crate::random::{RandomSource, SystemRandom};
pub use crate::testing::cluster::Cluster;
pub use crate::testing::cluster::plan::{ClusterPlan, LogKind};
pub use crate::testing::cluster::typed::TypedCluster;
pub use crate::testing::history::anomaly::{Anomaly, Shown};
pub use crate::testing::history::{Call, Done, History, Model, Summary};
pub use crate::testing::memory_logs::MemoryLogs;
pub use crate::testing::network::Network;
pub use crate::testing::seeded::{SeededRandom, ShiftedClock};
pub use crate::testing::suite::MachineSuite;
pub use crate::testing::suite::law::{BrokenLaw, Law};
pub use crate::transport::{Acceptor, AnyConnection, Connection, Tcp, Transport};

mod cluster;
mod history;
mod memory_logs;
mod network;
mod seed;
mod seeded;
mod suite;

use tonic::service::Routes;

use crate::config::Config;
use crate::error::StartError;
use crate::node::Node;
use crate::state_machine::OnDiskStateMachine;

/// Starts a member as [`Node::start`] does, in surroundings of the caller's choice.
pub async fn start<M: OnDiskStateMachine>(
    config: Config,
    machine: M,
    services: Routes,
    environment: Environment,
) -> Result<Node, StartError> {
    Node::start_with(config, machine, services, environment).await
}
