//! Telegraph client: one profile, one person, messages straight to the other side.
//!
//! # The life of a sent message, as far as this crate goes
//!
//! 1. `telegraph send bob hello` becomes arguments (`cli.rs`) and then a request (`request.rs`).
//!    If `telegraph run` holds the profile, the request goes through its socket (`control.rs`);
//!    otherwise this process opens the profile itself (`profile.rs`): locked, closed to others, its
//!    secrets sealed (`profile/vault.rs`).
//! 2. The password opens the account (`client/enrol.rs` → `account.rs`): the key that signs.
//! 3. [`client::Client::go_online`] (`client/presence.rs`) opens a door for the other side, signs
//!    the address and announces it to managers and people; heartbeats keep the lease (`online.rs`).
//! 4. [`client::Client::send`] (`client/mail.rs`) puts the message into the messenger's outbox;
//!    that is peer-messaging's part from here on.
//! 5. The messenger asks where bob is (`directory.rs`): whichever manager answers (`managers.rs`,
//!    one attempt is `managers/link.rs`) is believed only as far as bob signed it (`person.rs`),
//!    and at first contact only if enough managers say the same.
//! 6. A heartbeat's answer that bob came back makes the messenger try again.
//! 7. What came of it is printed (`output.rs`), text of others made harmless (`escape.rs`).
//!
//! # What this crate does not do
//!
//! It neither delivers nor stores messages (peer-messaging does), and knows no consensus. It
//! accepts no manager without the trusted authority ([`trust`]), takes no password from an argument
//! ([`password`]), and keeps no secret in the clear. `chat.rs` is a terminal, not an interface for
//! programs: those use `--json`, or this library.

mod account;
mod chat;
mod cli;
pub mod client;
mod control;
mod directory;
pub mod error;
mod escape;
pub mod event;
pub mod managers;
mod online;
pub mod options;
mod output;
pub mod password;
pub mod person;
pub mod profile;
pub mod program;
mod request;
mod row;
mod telemetry;
mod time;
pub mod trust;

/// What messages are made of: the messenger that [`client::Client::messenger`] returns speaks it.
pub use peer_messaging as messaging;
/// Names and replies in this crate's functions are of this crate.
pub use telegraph_proto as proto;
