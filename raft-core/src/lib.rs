//! Raft consensus as a library: implement one trait, get a durable replicated service.
//!
//! An application implements [`StateMachine`], and starts a [`Node`] on every machine with the
//! same list of [`Member`]s. What it proposes through any of them is applied by all of them, in the
//! same order, once a majority has it on disk.
//!
//! # The life of a command
//!
//! 1. [`Node::propose`] (`node.rs`) gives it to `forward.rs`, which finds the leader: this node, or
//!    another one, reached over a kept connection (`channels.rs`).
//! 2. At the leader `proposer.rs` checks its size and how many others are under way, and
//!    `engine.rs` stamps it with the time and hands it to openraft.
//! 3. openraft appends it to the log: `engine/log.rs` encodes it, once and for all, and submits it
//!    to the write-ahead log (`log_store.rs` is the seam, `wal.rs` the implementation), which makes
//!    it durable together with whatever came at the same time.
//! 4. Meanwhile `engine/append_out.rs` streams the same bytes to every other member. There
//!    `listener.rs` and `credentials.rs` have authenticated the connection, `service.rs` checks who
//!    is calling (`roster.rs`), `engine/inbound.rs` checks what is said, and it goes into that
//!    member's log, which answers when it is durable.
//! 5. When a majority has it, it is committed. On each member `engine/applier.rs` waits until it is
//!    durable there too, and applies it on the state machine's own thread (`machine.rs`) in one
//!    transaction with the engine's facts (`engine/facts.rs`).
//! 6. The state machine's reply goes back the way the command came, as [`Applied`].
//!
//! # The life of a read
//!
//! [`Node::read_barrier`] (`forward.rs`) asks the leader for a read index, which a majority must
//! confirm after the call, and waits until this node has applied up to it. Then the application
//! reads its own state, on any member.
//!
//! # The life of a node
//!
//! [`Node::start`] (`node/start.rs`) locks the data directory and reads whose it is
//! (`identity.rs`), recovers the log, makes the state machine fit it (`engine/recovery.rs`),
//! listens and takes part. From time to time it writes a snapshot (`snapshot.rs`) and lets go of
//! the log before it; a member that fell behind is sent one (`engine/snapshot_out.rs`), and goes on
//! with it where a broken transfer ended (`engine/snapshot_in.rs`). It ends by [`Node::shutdown`],
//! by [`Node::halt`], or by itself when its disk or state machine fails (`node/ending.rs`): an
//! error of either is never retried, because the others have what was acknowledged.
//!
//! # What this crate does not do
//!
//! - It does not know what a command means; it moves bytes.
//! - It does not change the members of a cluster: the list is that of the first start.
//! - It does not deduplicate: a command whose outcome is unknown and which is proposed again may be
//!   applied twice, unless the application recognises it. The wire and the entries have room for
//!   sessions.
//! - It trusts the members: whoever holds a certificate of the cluster's authority can lie to it.
//!   What they send is checked so that it does not crash a node, not so that it is true.
//! - Applying waits while a snapshot of the state machine is written; consensus does not.
//! - No type of openraft, which decides what is committed, is in its API, on its wire or disk. That
//!   engine is an alpha release, pinned exactly.

mod applied;
mod channels;
mod config;
mod credentials;
mod disk;
mod engine;
mod error;
mod fault;
mod forward;
mod identity;
mod life;
mod listener;
mod log_store;
mod machine;
mod member;
#[cfg(test)]
mod memory_log;
mod metrics;
mod node;
mod position;
mod proposer;
mod roster;
mod service;
mod snapshot;
mod socket;
mod state_machine;
mod status;
mod throttle;
mod tls;
mod wal;

pub use applied::Applied;
pub use config::{Config, ConfigError};
pub use error::{BootstrapError, OperatorError, ProposeError, ReadError, StartError, StopReason};
pub use identity::prepare_data_dir;
pub use member::{Member, NodeId, cluster_id};
pub use node::Node;
pub use position::Position;
pub use state_machine::{Entry, MachineError, Records, StateMachine};
pub use status::{Role, Status};
pub use tls::Tls;
