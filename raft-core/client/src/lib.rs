//! Remote client of any raft-core service; it does not link the consensus engine.
//!
//! It is for programs that hold a certificate of the cluster but are no member: tools, gateways,
//! and services whose state lives elsewhere. It sends commands to whoever leads and says truthfully
//! what became of them.
//!
//! # The life of a command
//!
//! 1. [`Client::propose`] (`client.rs`) has a call made (`caller.rs`): to the member that led last,
//!    or else to the first address of the route (`route.rs`), which `raft-core-discovery` filled.
//! 2. A connection is made if there is none: TCP, mutual TLS 1.3 (`tls.rs`), and a `Hello` that
//!    tells which cluster and node is there (`connection.rs`). One connection is one TCP
//!    connection; it never comes back by itself, so that a call on a dead one is known not to have
//!    been sent.
//! 3. The command goes out once (`call.rs`), with whatever else is proposed at the same time on the
//!    one kept stream of its connection (`pipe.rs`). A member that does not lead answers with a
//!    hint, which is followed (`search.rs`); a member that cannot have proposed it is left for the
//!    next one; both until the deadline.
//! 4. Anything else that goes wrong after the command left ends in
//!    [`ClientError::OutcomeUnknown`], and the caller decides (`error.rs`); unless the command
//!    belongs to a [`Session`] (`session.rs`): then it is sent again, and applied once.
//!
//! # What this crate does not do
//!
//! Outside of a session it never sends a command twice that may have happened. It does not read the
//! state machine; a [`Client::read_index`] is a position to wait for somewhere else. It decides
//! nothing about trust but what the cluster's certificate authority says.

mod applied;
mod call;
mod caller;
mod client;
mod command;
mod config;
mod connection;
mod error;
mod explain;
mod pipe;
mod route;
mod search;
mod session;
mod tls;

pub use applied::{Applied, Position};
pub use client::Client;
pub use command::Command;
pub use config::{ClientConfig, Tls};
pub use error::ClientError;
pub use session::Session;
