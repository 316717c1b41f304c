//! The replicated account directory: who has which name and key, who is logged in, who is there.
//!
//! # The life of a command
//!
//! 1. A manager fills a [`Command`] with everything that is random or secret, already hashed, and
//!    encodes it: `command.rs`, `command/wire.rs`. raft-core replicates the bytes.
//! 2. Every replica hands committed entries to [`IdentityStore`], a state machine: `store.rs`.
//! 3. The rules decode and judge each entry, by the state and by nothing else: `apply.rs`, and a
//!    file for each thing that may be done in `apply/`. Statements are believed by their signatures
//!    alone. What is refused is answered and changes nothing.
//! 4. They read and change records and their indexes through `directory.rs` and `lookup.rs`, on an
//!    overlay, so that each command of a batch sees those before it: `overlay.rs`. Records are
//!    `account.rs` and `session.rs`, and `record.rs` as bytes; `keys.rs` says where they are.
//! 5. The changes of the batch and the engine's records become one atomic batch of one tree:
//!    `view.rs`, `tree.rs`. Then the replies go back: `reply.rs`.
//! 6. Whoever asks reads the result through [`IdentityReader`]: `reader.rs`.
//!
//! # The view is never the truth
//!
//! The truth is raft-core's log and its snapshots. At start the view is read whole (`checksum.rs`,
//! `audit.rs`); one that does not open, lost something, contradicts itself or failed before is set
//! aside for an empty one (`place.rs`), and the engine rebuilds it. A snapshot's contents are
//! `image.rs`, written from one moment of the state while that moves on (`moment.rs`, `aside.rs`);
//! `digest.rs` is for comparing replicas.
//!
//! # What this crate does not do
//!
//! It reads no clock, makes no random number, hashes no password, opens no socket, and knows
//! neither HTTP nor gRPC. It never sees a password, a session's token, a secret key or a message.

mod account;
mod apply;
mod aside;
mod audit;
mod checksum;
mod command;
mod digest;
mod directory;
mod error;
mod image;
mod key_values;
mod keys;
mod lookup;
mod moment;
mod overlay;
mod password_hash;
mod place;
mod reader;
mod record;
mod reply;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod view;

pub use account::{Account, Device, MAX_ADDRESSES, MAX_DEVICE_NAME, Presence};
pub use command::{Command, EndWhich, MAX_TRANSITIONS, MalformedCommand, Transition};
pub use error::{ImageError, StoreError};
pub use lookup::Counts;
pub use password_hash::PasswordHash;
pub use reader::IdentityReader;
pub use reply::{MalformedReply, Reason, Rejection, Reply};
pub use session::{Session, SessionEnd};
pub use store::IdentityStore;
