//! Messages straight from one person to another.
//!
//! # The life of a message
//!
//! 1. [`Messenger::compose`] gives it a name for ever, the next number to that person, and the hash
//!    of the one before (`envelope.rs`), and seals it into the outbox; it returns when that is on
//!    disk: `messenger/mail.rs`, `store/outbox.rs`.
//! 2. The person's courier wakes: `delivery.rs`, `delivery/courier.rs`, `delivery/visitor.rs`.
//!    Where are they? Known, or asked of the directory; the key that was met first stays pinned:
//!    `directory.rs`, `store/peer.rs`.
//! 3. TLS 1.3 to that address, where the other end has to prove the pinned key before anything but
//!    a handshake leaves this machine: `tls.rs`, `link.rs`. Both exchange their newest addresses,
//!    then the message is handed over ("sent").
//! 4. The other side has checked who calls (`listener.rs`), checks every field (`service.rs`,
//!    `envelope.rs`), and keeps the message together with its name, so that it is shown once
//!    however often it comes: `store/inbox.rs`. Its receipt means that a disk has it ("delivered").
//! 5. [`Messenger::mark_shown`] raises a watermark, which travels back as durably as messages do:
//!    `store/receipt.rs` ("read").
//!
//! Not reached, the message stays in the outbox, over restarts. It is tried again when somebody
//! says the person is back ([`Messenger::kick`]), when they knock or call themselves, and by a
//! timer with jitter (`delivery/backoff.rs`). An address where somebody else answers gets nothing
//! of it.
//!
//! What lies on disk is sealed under a key from the person's password: `password.rs`,
//! `store/sealer.rs`.
//!
//! # What this crate does not do
//!
//! It does not know how people are found (that is a [`Directory`]), keeps no accounts, speaks no
//! HTTP besides what gRPC needs, and shows nothing to anybody. Nobody in the middle keeps a
//! message: when two people are never online together, it stays where it was written.

mod cipher;
mod clock;
mod delivery;
mod directory;
mod envelope;
mod event;
mod key;
mod link;
mod listener;
mod message;
mod messenger;
mod office;
mod password;
mod recovery;
mod service;
mod store;
mod tls;
mod watched;

pub use directory::{Contact, Directory, DirectoryError};
pub use envelope::MAX_TEXT_BYTES;
pub use event::Event;
pub use key::{AccountKey, error::KeyError};
pub use message::{Correspondent, Direction, Message, MessageId, NotAMessageId, Stage};
pub use messenger::{
    Messenger,
    config::MessengerConfig,
    error::{ComposeError, MessengerError},
};
pub use password::{Derived, derive};
pub use recovery::RecoveryCode;
pub use store::{Store, error::StoreError};

#[cfg(test)]
mod tests;
