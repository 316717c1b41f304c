//! An identity manager: the replicated directory of accounts, with presence, behind REST, gRPC and
//! UDP discovery. Managers never see a message.
//!
//! # The life of a request that changes something
//!
//! 1. A connection passes the door and TLS (`server.rs`, `edge/door.rs`, `tls.rs`).
//! 2. `edge/guard.rs` names the request, counts it and keeps it within its limits; the table of
//!    `edge/routes.rs` says who may call what.
//! 3. A handler of `edge/rest.rs` reads it (`edge/extract.rs`, `edge/convert.rs`) into validated
//!    values, or refuses it; a session is looked up first (`api/sessions.rs`).
//! 4. `api.rs` and its files check it once more against the newest state, hash what must be hashed
//!    (`passwords.rs`), build a command of identity-store and propose it to raft-core's node.
//! 5. The reply comes back the same way; a refusal becomes a problem document by the one table of
//!    `edge/problem.rs`.
//!
//! A heartbeat goes another way and writes nothing: see `presence.rs`.
//!
//! # What this crate does not do
//!
//! It decides nothing that replicas must agree on: `apply` of identity-store does, and checks again
//! what is checked here. It knows no message between people, keeps no secret of theirs but bcrypt
//! hashes, and trusts no clock but its own for leases and its own logs.

mod api;
pub mod certs;
mod clock;
mod config;
mod edge;
mod limiter;
mod metrics;
mod passwords;
mod presence;
pub mod probe;
mod server;
pub mod telemetry;
mod tls;
mod token;

pub use config::{ConfigError, ManagerConfig};
pub use edge::problem::Kind;
pub use edge::route::{Access, Route};
pub use edge::routes::routes;
pub use edge::schema::Schema;
pub use limiter::LoginLimit;
pub use server::{Manager, ManagerError};
pub use tls::TlsError;
