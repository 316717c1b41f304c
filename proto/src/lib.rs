//! Telegraph's wire contracts: what travels between managers, clients and peers.
//!
//! One feature per contract, so that a crate links what it speaks and nothing else:
//!
//! | feature | module | spoken by |
//! |---|---|---|
//! | `raft` | [`raft`] | raft-core, raft-core/client |
//! | `identity` | [`identity`], [`account`], [`statement`] | identity-store, managers, clients |
//! | `peer` | [`peer`] | peer-messaging |
//! | `rest` | [`rest`] | managers, clients |
//!
//! # The life of a signed statement
//!
//! 1. A client fills a body (`identity.proto`, for example `AddressBody`), encodes it once and
//!    signs it with the account's key: `statement.rs`, [`statement::sign`].
//! 2. It travels inside a REST body (`rest.rs`) or a knock between peers (`peer.proto`).
//! 3. A manager verifies it at its edge, and every replica verifies it again when it applies the
//!    command that carries it: [`statement::verify`].
//! 4. The record keeps it as it was signed, and every lookup hands it out, so that a client trusts
//!    the person's key and not the manager that answered.
//!
//! # What this crate does not do
//!
//! It opens no socket and reads no clock. Generated messages carry whatever a peer sent: the types
//! of [`account`] and the functions of [`statement`] are where bytes become trusted.

#[cfg(feature = "identity")]
pub mod account;
#[cfg(feature = "rest")]
pub mod rest;
#[cfg(feature = "identity")]
pub mod statement;

#[cfg(feature = "identity")]
pub use generated::identity::v1 as identity;
#[cfg(feature = "peer")]
pub use generated::peer::v1 as peer;
#[cfg(feature = "raft")]
pub use generated::raft::v1 as raft;

/// Nested as the packages are: the generated code of one refers to another by that path.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications, unreachable_pub)]
mod generated {
    #[cfg(feature = "raft")]
    pub mod raft {
        pub mod v1 {
            tonic::include_proto!("telegraph.raft.v1");
        }
    }
    #[cfg(feature = "identity")]
    pub mod identity {
        pub mod v1 {
            tonic::include_proto!("telegraph.identity.v1");
        }
    }
    #[cfg(feature = "peer")]
    pub mod peer {
        pub mod v1 {
            tonic::include_proto!("telegraph.peer.v1");
        }
    }
}

/// The descriptor set of every contract that was asked for, encoded: for tests that walk all
/// methods and for reflection.
#[cfg(any(feature = "raft", feature = "identity", feature = "peer"))]
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
