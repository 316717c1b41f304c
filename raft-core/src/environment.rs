//! What a node takes from the world around it, in one place and replaceable.
//!
//! | seam | real | otherwise |
//! |---|---|---|
//! | [`Transport`], `transport.rs` | TCP | the network in memory of `testing/network.rs` |
//! | [`LogOpener`], `log_opener.rs` | the write-ahead log | the log in memory, `memory_log.rs` |
//! | `Disk`, `disk.rs`, below the write-ahead log | std's files | `disk/sim.rs` |
//! | [`WallClock`], `clock.rs` | the system's | one that is wrong, `testing/seeded.rs` |
//! | [`RandomSource`], `random.rs` | the system's | a seeded one, `testing/seeded.rs` |
//! | monotonic time | tokio's | tokio's, paused or simulated |
//! | openraft's runtime and randomness | tokio | one alias, `engine/runtime.rs` |
//!
//! # What is outside
//!
//! A whole cluster does not run deterministically by these seams alone. A simulation would still
//! have to deal with:
//!
//! - two threads of each node: the writer of the write-ahead log (`wal.rs`; `Wal::open_stepped`
//!   does without) and the state machine's (`machine.rs`);
//! - blocking calls on tokio's pool, whose order the runtime does not decide: opening and closing
//!   a data directory, reading old entries (`engine/log.rs`, `engine/changes.rs`), checking a
//!   caller for the first time (`service.rs`, `engine/peer.rs`, `node/bootstrap.rs`), looking after
//!   the disk (`node/disk_watch.rs`), copies (`node/backup.rs`), all that is done to snapshot
//!   files;
//! - files beside the log, which go through std and not through `Disk`: the lock, the identity, the
//!   key and the known peers (`identity.rs`), and snapshots (`snapshot/`). A simulated power loss
//!   leaves them whole;
//! - how long a disk takes, read from std's clock: for metrics (`wal/writer.rs`), and to warn of a
//!   slow one (`disk_check.rs`);
//! - TLS, which takes its randomness from its own library: simulate without it;
//! - hash maps of libraries, and the choices of tokio's `select!`, which follow the system's
//!   randomness unless the runtime is given a seed.

#![cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public with the feature `testing`")
)]

use std::sync::Arc;

use crate::clock::{SystemClock, WallClock};
use crate::disk::{Disk, RealDisk};
use crate::log_opener::{LogOpener, WalOpener};
use crate::random::{RandomSource, SystemRandom};
use crate::transport::{Tcp, Transport};

/// A node's surroundings; by default the real ones. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Connects and listens.
    pub transport: Arc<dyn Transport>,
    /// Holds the data directory: its room and its pace are looked at, its reserve is kept.
    pub disk: Arc<dyn Disk>,
    /// Opens the log.
    pub logs: Arc<dyn LogOpener>,
    /// Tells the time of day.
    pub clock: Arc<dyn WallClock>,
    /// Gives random bytes.
    pub random: Arc<dyn RandomSource>,
}

impl Default for Environment {
    fn default() -> Environment {
        Environment {
            transport: Arc::new(Tcp),
            disk: Arc::new(RealDisk),
            logs: Arc::new(WalOpener::new(Arc::new(RealDisk))),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        }
    }
}
