//! Raft consensus as a library: implement one trait, get a durable replicated service.

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
mod machine;
mod member;
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
mod tls;
mod wal;

pub use config::{Config, ConfigError};
pub use error::{BootstrapError, OperatorError, ProposeError, ReadError, StartError, StopReason};
pub use identity::prepare_data_dir;
pub use member::{Member, NodeId, cluster_id};
pub use applied::Applied;
pub use node::Node;
pub use position::Position;
pub use state_machine::{Entry, MachineError, Records, StateMachine};
pub use status::{Role, Status};
pub use tls::Tls;

mod log_store;
#[cfg(test)]
mod memory_log;
