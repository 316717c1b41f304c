//! Raft consensus as a library: implement one trait, get a durable replicated service.
//!
//! Several processes, the *members*, each keep the same state. Whatever one of them is told to
//! change is applied by all, in the same order, once a majority has it on disk. A minority may be
//! killed, cut off or lost at any time, and nothing that was acknowledged is lost.
//!
//! # From nothing to a replicated service
//!
//! **1. The state machine** is a value, what can be done to it, and what that answers:
//!
//! ```
//! use std::collections::BTreeMap;
//! use raft_core::{Context, StateMachine};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Stock {
//!     items: BTreeMap<String, u64>,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Command {
//!     Add { item: String, count: u64 },
//!     Take { item: String, count: u64 },
//! }
//!
//! impl StateMachine for Stock {
//!     type Command = Command;
//!     /// What is left; or, refused, how much there is.
//!     type Reply = Result<u64, u64>;
//!
//!     fn apply(&mut self, command: Command, _: &Context) -> Result<u64, u64> {
//!         match command {
//!             Command::Add { item, count } => {
//!                 let left = self.items.entry(item).or_default();
//!                 *left = left.saturating_add(count);
//!                 Ok(*left)
//!             }
//!             Command::Take { item, count } => {
//!                 let left = self.items.entry(item).or_default();
//!                 *left = left.checked_sub(count).ok_or(*left)?;
//!                 Ok(*left)
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! It must be *deterministic*: the same commands leave the same state everywhere. What needs a
//! clock, a random number or a file is decided before it is proposed, and put into the command.
//!
//! **2. A member** is a node that runs it. One alone is enough to write the service against:
//!
//! ```
//! use std::time::Duration;
//! use raft_core::Node;
//! # use std::collections::BTreeMap;
//! # use raft_core::{Context, StateMachine};
//! # #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! # struct Stock { items: BTreeMap<String, u64> }
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # enum Command { Add { item: String, count: u64 } }
//! # impl StateMachine for Stock {
//! #     type Command = Command;
//! #     type Reply = Result<u64, u64>;
//! #     fn apply(&mut self, Command::Add { item, count }: Command, _: &Context) -> Self::Reply {
//! #         Ok(*self.items.entry(item).and_modify(|left| *left += count).or_insert(count))
//! #     }
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//!
//! let node = Node::builder(1)
//!     .data_dir(directory.path().join("node-1"))
//!     .member(1, "127.0.0.1:7001") // nobody calls it: see `listen` below
//!     .allow_plaintext()
//!     .start::<Stock>()
//!     .await?;
//! node.bootstrap().await?;
//!
//! let limit = Duration::from_secs(5);
//! let add = Command::Add { item: "apples".into(), count: 3 };
//! let answer = node.propose(&add, limit).await?;
//! assert_eq!(answer.value, Ok(3));
//!
//! let apples = node.read(limit, |stock| stock.items["apples"]).await?;
//! assert_eq!(apples.value, 3);
//!
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **3. A cluster** is the same program on three machines (or five, of which two may fail), each
//! with its own number and the same list, and an empty directory to begin with: a cluster of one
//! does not become one of three by a longer list. Every one of them takes commands and reads:
//!
//! ```no_run
//! use raft_core::{Node, NodeId, Replicated, Tls};
//! # #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! # struct Stock;
//! # impl raft_core::StateMachine for Stock {
//! #     type Command = ();
//! #     type Reply = ();
//! #     fn apply(&mut self, _: (), _: &raft_core::Context) {}
//! # }
//!
//! async fn start(id: NodeId) -> Result<Replicated<Stock>, Box<dyn std::error::Error>> {
//!     let node = Node::builder(id)
//!         .data_dir("/var/lib/stock")
//!         .listen(([0, 0, 0, 0], 7000))
//!         .member(1, "stock-1.internal:7000")
//!         .member(2, "stock-2.internal:7000")
//!         .member(3, "stock-3.internal:7000")
//!         .tls(Tls::from_files("ca.pem", "cert.pem", "key.pem", "stock.internal")?)
//!         .start::<Stock>()
//!         .await?;
//!     // Waits until all three have met, the first time; afterwards it returns at once.
//!     node.bootstrap().await?;
//!     Ok(node)
//! }
//! ```
//!
//! Members trust whoever has a certificate that `ca.pem` signed, and look for one DNS name in all
//! of them. A private authority made for this cluster alone gives them out (OpenSSL 3, in bash):
//!
//! ```text
//! ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
//! openssl req -x509 $ec -days 3650 -subj "/CN=stock" -keyout ca.key -out ca.pem
//! # once for each member; key.pem and cert.pem go to that member, ca.pem to all, ca.key to none
//! openssl req -x509 $ec -days 365 -subj "/CN=member" -CA ca.pem -CAkey ca.key \
//!     -addext "subjectAltName=DNS:stock.internal" -addext "basicConstraints=critical,CA:FALSE" \
//!     -keyout key.pem -out cert.pem
//! ```
//!
//! The list is that of the beginning. Later a node joins that was started with
//! [`NodeBuilder::cluster_id`] ([`Node::cluster_id`] of any member) and a list with itself in it,
//! when the leader is told [`Node::add_learner`] and [`Node::promote`], with more time than the ten
//! seconds for which it must keep up; others leave by [`Node::replace`] and [`Node::remove`]. These
//! are calls of [`Replicated::node`].
//!
//! **4. Without a list** the nodes find each other, when each is given the same [`Assembly`] but
//! for its name and address: where to look, and how many form the cluster. They form it once, when
//! all of them have met; later ones join it, and one that lost its disk takes its former place:
//!
//! ```no_run
//! use raft_core::discovery::{Discovery, DnsAlias};
//! use raft_core::{Assembly, Node};
//! # #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! # struct Stock;
//! # impl raft_core::StateMachine for Stock {
//! #     type Command = ();
//! #     type Reply = ();
//! #     fn apply(&mut self, _: (), _: &raft_core::Context) {}
//! # }
//! # async fn start(tls: raft_core::Tls) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let dns = Some(DnsAlias { name: "stock.internal".into(), port: 7000 });
//! let assembly = Assembly {
//!     name: "stock-1".into(),
//!     address: "stock-1.internal:7000".into(),
//!     discovery: Discovery { dns, ..Discovery::default() },
//!     bootstrap_expect: 3,
//!     ..Assembly::default()
//! };
//! let node = Node::assemble(assembly)
//!     .data_dir("/var/lib/stock")
//!     .listen(([0, 0, 0, 0], 7000))
//!     .tls(tls)
//!     .start::<Stock>()
//!     .await?;
//! // Waits until this node is a member; what it waits for is told as an `Event`.
//! node.bootstrap().await?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/counter.rs` has three members in one process; `examples/kv_service.rs` is a whole
//! service with HTTP in front and its state on disk, to be run as three processes, killed and
//! joined by a fourth. Callers reach a service through what stands in front of it, as there;
//! programs that hold a certificate of the cluster propose from outside with `raft-core-client`.
//!
//! # What there is to know before relying on it
//!
//! - **An error is no "no".** A command may have been applied although the call failed: its answer
//!   was lost, or its time was up. [`CommandError::may_have_happened`] and
//!   [`ProposeError::may_have_happened`] tell; only when they say false is it safe to propose
//!   again what must not happen twice. A [`TypedSession`] proposes again by itself
//!   ([`Replicated::open_session`]): what is proposed in one, or by [`Replicated::propose_once`],
//!   is applied once, and gets its first reply.
//! - **A refusal is a reply.** What the state does not permit is answered by `apply`; its errors
//!   and panics stop the node, and since all nodes apply the same, all of them.
//! - **Commands outlive builds.** They lie in logs, and members are updated one at a time. Whoever
//!   changes what commands look like or do, raises [`StateMachine::VERSION`] and goes on reading
//!   the older form.
//! - **Reads say how new they are.** [`Replicated::read`] contains everything that was acknowledged
//!   before it began, and needs a majority; [`Replicated::read_at`] takes less ([`ReadLevel`]), and
//!   [`Replicated::read_local`] needs nobody.
//! - **The data directory is the member.** One that lost it is another member, and must not come
//!   back under its old number.
//!
//! # Which tier
//!
//! | state | implement | start with |
//! |---|---|---|
//! | in memory, rebuilt at every start | [`StateMachine`] | [`NodeBuilder::start`] |
//! | on disk, with the engine's records | [`OnDiskStateMachine`] | [`NodeBuilder::start_on_disk`] |
//!
//! [`Replicated`] is the typed handle of the first, [`Replicated::node`] the [`Node`] underneath,
//! which is all there is in the second. A [`Config`] lies under the builder, with the reason beside
//! each default.
//!
//! # The life of a command
//!
//! 1. A typed one is encoded (`codec.rs`) with its version by [`Replicated::propose`]
//!    (`replicated/proposals.rs`). [`Node::propose`] (`node/proposals.rs`) gives it to
//!    `forward.rs`, which finds the leader: this node, or another one, reached over a kept stream
//!    (`courier.rs`) on a kept connection (`channels.rs`). In a [`Session`] (`node/session.rs`) it
//!    is numbered, and sent again when its reply is lost.
//! 2. At the leader `proposer.rs` checks its size, whether all voters read its version, and how
//!    many others are under way, and `engine/propose.rs` stamps it with the time and hands it to
//!    openraft.
//! 3. openraft appends it to the log: `engine/log.rs` encodes it, once and for all, and submits it
//!    to the write-ahead log (`log_store.rs` is the seam, `wal.rs` the implementation), which makes
//!    it durable together with whatever came at the same time.
//! 4. Meanwhile `engine/append_out.rs` streams the same bytes to every other member. There
//!    `listener.rs` and `credentials.rs` have authenticated the connection, `service.rs` checks who
//!    is calling (`roster.rs`), `engine/inbound.rs` checks what is said, and it goes into that
//!    member's log, which answers when it is durable.
//! 5. When a majority has it, it is committed. On each member `engine/applier.rs` waits until it is
//!    durable there too. If its session has not applied it before (`engine/batch.rs`,
//!    `engine/sessions.rs`), it is applied on the state machine's own thread (`machine.rs`) in one
//!    transaction with the engine's facts (`engine/facts.rs`); a typed one is decoded there, and
//!    changes the state in memory (`replicated/adapter.rs`).
//! 6. The state machine's reply, that of the first time if there was one, goes back the way the
//!    command came, as [`Applied`] or [`Answer`].
//!
//! # The life of a read
//!
//! [`Node::read`] (`reads.rs`) waits until this node's state is as new as a [`ReadLevel`] asks.
//! For a linearizable one it asks the leader for a read index, which a majority must confirm after
//! the call and which readers share (`rounds.rs`), and waits until this node has applied up to it.
//! Then the application reads its own state, on any member.
//!
//! Who wants to know what changes follows the log: [`Node::subscribe`] (`subscription.rs`) tells
//! each command once this node has applied it.
//!
//! # The life of a node
//!
//! [`Node::start`] (`node/start.rs`) locks the data directory and reads whose it is
//! (`identity.rs`), recovers the log, makes the state machine fit it (`engine/recovery.rs`),
//! listens and takes part. One that was not told its members finds them (`assembly.rs` tells how,
//! and why there is never a second cluster). From time to time it writes a snapshot
//! (`snapshot.rs`), while entries are applied as ever, and lets go of the log before it
//! (`engine/compaction.rs`). A member that fell behind is sent one (`engine/snapshot_out.rs`), and
//! goes on with it where a broken transfer ended (`engine/snapshot_in.rs`), also when a newer one
//! was written meanwhile (`snapshot/served.rs`). It ends by [`Node::shutdown`], by [`Node::halt`],
//! or by itself when its disk or state machine fails (`node/ending.rs`): an error of either is
//! never retried, because the others have what was acknowledged.
//!
//! # The life of a member
//!
//! [`Node::add_learner`] takes a node in without a vote, [`Node::promote`] gives it one once it has
//! kept up, [`Node::replace`] gives it another's place in one joint change, and [`Node::remove`]
//! removes one for ever (`node/membership.rs`, `engine/members.rs`). Every node follows the
//! membership in its log (`node/following.rs`): it tells whom to hear (`roster.rs`), whom to reach,
//! and where (`channels.rs`). A node that comes back at another address says so
//! (`node/announcing.rs`), and the leader notes it, as it notes who each member is, and ends
//! changes that were left half done (`node/upkeep.rs`). Whoever was wiped, copied or removed, and
//! whoever answers in another's place, is refused and told why (`identity/pins.rs`).
//!
//! # Relying on it, and operating it
//!
//! The [`guide`] has [what is guaranteed](guide::guarantees), [how it is run](guide::operations)
//! and [which test shows what](guide::features). [`offline`] looks into, backs up and restores the
//! files of a stopped node, and so does the program `raft-core` (feature `tools`); [`Node::backup`]
//! takes a backup of a running one.
//!
//! # What this crate does not do
//!
//! - The engine does not know what a command means; it moves bytes.
//! - Where it is told its members it does not decide who belongs to the cluster: the list of the
//!   first start does, and whoever calls [`Node::add_learner`], [`Node::promote`],
//!   [`Node::replace`] and [`Node::remove`]: it does not know whether a silent member will come
//!   back. With an [`Assembly`] it takes nodes in, up to the expected number of voters, and
//!   replaces one that came back wiped by its name; it promotes no standby in place of a member
//!   that is merely away, removes nobody, and does not bring back a cluster that has lost its
//!   majority for good.
//! - It does not deduplicate outside of sessions, and within one as long as it is remembered: a day
//!   of log time after its last command, less where more than 131,072 are open.
//! - It trusts the members: whoever holds a certificate of the cluster's authority can lie to it.
//!   What they send is checked so that it does not crash a node, not so that it is true.
//! - Applying waits while a state machine captures the moment of a snapshot, not while that is
//!   written; consensus waits for neither.
//! - No type of openraft, which decides what is committed, is in its API, on its wire or disk. That
//!   engine is an alpha release, pinned exactly.

mod answer;
mod applied;
mod assembly;
mod backup;
mod builder;
mod change;
mod channels;
mod clock;
pub mod codec;
mod command;
mod config;
mod contact;
mod courier;
mod credentials;
mod disk;
mod disk_check;
mod engine;
mod environment;
mod error;
mod event;
mod fault;
mod formats;
mod forward;
pub mod guide;
mod histogram;
mod identity;
mod life;
mod listener;
mod listening;
mod log_opener;
mod log_store;
mod low_disk;
mod machine;
mod member;
mod members;
#[cfg(any(test, feature = "testing"))]
mod memory_log;
mod meters;
mod metrics;
mod node;
mod observer;
pub mod offline;
mod position;
mod proposer;
mod random;
mod reached;
mod read_level;
mod reads;
mod refusals;
mod replicated;
mod reserve;
mod roster;
mod rounds;
mod service;
mod snapshot;
mod socket;
mod state_machine;
mod status;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod throttle;
mod tls;
mod transport;
mod unsent;
mod wal;

pub use applied::Applied;
pub use assembly::settings::Assembly;
pub use builder::NodeBuilder;
pub use change::Change;
pub use command::Command;
pub use config::{Config, ConfigError};
pub use error::{
    BootstrapError, OperatorError, ProposeError, ReadError, StartError, StopReason,
    SubscriptionError,
};
pub use event::Event;
pub use identity::prepare_data_dir;
pub use member::{Member, NodeId, cluster_id};
pub use members::{ChangeError, MemberRecord, Members};
pub use node::Node;
pub use node::backup::BackupError;
pub use node::session::Session;
pub use position::Position;
pub use read_level::ReadLevel;
pub use replicated::Replicated;
pub use replicated::answer::{Answer, CommandError};
pub use replicated::machine::{Context, StateMachine};
pub use replicated::proposals::TypedSession;
pub use state_machine::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};
pub use status::{Role, Status};
pub use subscription::Subscription;
pub use tls::Tls;

/// Where to look for a cluster: part of [`Assembly`].
pub use raft_core_discovery as discovery;

/// The gRPC library of [`NodeBuilder::services`] and [`Node::channel`], in the version they take;
/// whoever offers no service of its own to the members needs it not.
#[doc(no_inline)]
pub use tonic;
