//! A running node, as its handle has it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::assembly::gathering::Gathering;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::StopReason;
use crate::forward::Forward;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::metrics::Counters;
use crate::node::ending::Order;
use crate::observer::Observer;
use crate::random::RandomSource;
use crate::reads::Reads;
use crate::status::Status;

/// What a handle of a running node holds.
#[derive(Debug)]
pub(crate) struct Running {
    /// The configuration it was started with.
    pub(crate) config: Config,
    /// Consensus.
    pub(crate) engine: Engine,
    /// The state machine's thread, for its queue.
    pub(crate) machine: Machine,
    /// Finds the leader.
    pub(crate) forward: Forward,
    /// What reading takes.
    pub(crate) reads: Reads,
    /// The log, for its counters.
    pub(crate) log: Arc<dyn LogStore>,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
    /// What is measured, and told as it happens.
    pub(crate) observer: Observer,
    /// What it knows and has promised, if it finds its cluster itself.
    pub(crate) gathering: Option<Arc<Gathering>>,
    /// What the node says of itself.
    pub(crate) status: watch::Receiver<Status>,
    /// What names its sessions.
    pub(crate) random: Arc<dyn RandomSource>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Asks it to end.
    pub(crate) orders: mpsc::Sender<Order>,
    /// Tells that it has ended, and why.
    pub(crate) ended: watch::Receiver<Option<StopReason>>,
}
