//! For operators: the files of a node that does not run, looked at, backed up and restored.
//!
//! The `raft-core` program (feature `tools`) is these functions on a command line. All but
//! [`backup`](backup::backup) and [`restore`](restore::restore) read only: they change no byte,
//! work on a disk mounted read-only, and are refused while a node has the files open
//! ([`OfflineError::InUse`](error::OfflineError::InUse)); a node does not start meanwhile. All of
//! them block.
//!
//! # From disaster to a cluster
//!
//! 1. Take backups while all is well: [`Node::backup`](crate::Node::backup) of a running node, or
//!    [`backup`](backup::backup) of a stopped one's directory. Each is one checksummed file.
//! 2. When the cluster is lost, make one data directory per new member by
//!    [`restore`](restore::restore), all **from the same file, with the same members**.
//! 3. Start the nodes with that member list. They form another cluster, with another id: what is
//!    left of the old one is refused by it, and refuses it. Everything up to the backup is there;
//!    what was acknowledged later is lost.
//!
//! To take over a state that is at hand on one stopped node, make the backup from that node's
//! directory.

pub mod backup;
pub mod error;
pub mod identity;
pub mod log;
mod place;
pub mod restore;
pub mod snapshot;
