//! Remote client of any raft-core service; it does not link the consensus engine.
//!
//! It is for programs that hold a certificate of the cluster but are no member: tools, gateways,
//! and services whose state lives elsewhere. It sends commands to whoever leads and says truthfully
//! what became of them.
//!
//! # The life of a command
//!
//! 1. [`Client::propose`] (`client.rs`) picks the member that led last, or else the first address
//!    of its route (`route.rs`), which `raft-core-discovery` filled.
//! 2. A connection is made if there is none: TCP, mutual TLS 1.3 (`tls.rs`), and a `Hello` that
//!    tells which cluster and node is there (`connection.rs`). One connection is one TCP
//!    connection; it never comes back by itself, so that a call on a dead one is known not to have
//!    been sent.
//! 3. The command goes out once (`call.rs`). A member that does not lead answers with a hint, which
//!    is followed (`search.rs`); a member that cannot have proposed it is left for the next one;
//!    both until the deadline.
//! 4. Anything else that goes wrong after the command left ends in
//!    [`ClientError::OutcomeUnknown`], and the caller decides (`error.rs`).
//!
//! # What this crate does not do
//!
//! It never sends a command twice that may have happened: exactly-once needs a session, which the
//! wire has fields for and this version does not use. It does not read the state machine; a
//! [`Client::read_index`] is a position to wait for somewhere else. It decides nothing about trust
//! but what the cluster's certificate authority says.

mod applied;
mod call;
mod client;
mod config;
mod connection;
mod error;
mod route;
mod search;
mod tls;

pub use applied::{Applied, Position};
pub use client::Client;
pub use config::{ClientConfig, Tls};
pub use error::ClientError;
