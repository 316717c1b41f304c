//! Snapshots as files (Raft paper §7): written whole, checked whole, or not there at all.
//!
//! # The format
//!
//! All numbers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `RAFTSNAP` |
//! | 8 | 4 | version of this format: 1 |
//! | 12 | 4 | room kept for the head, `r` |
//! | 16 | 4 | length of the head, `h` ≤ `r` |
//! | 20 | 4 | CRC32C of bytes 8 to 20 and of the head with its zeros |
//! | 24 | `h` | the head: an encoded `SnapshotMeta` of `raft.proto`, zeros up to `r` |
//! | 24 + `r` | as the head says | the open sessions: an encoded `SessionTable`; may be none |
//! | then | the rest | the state machine's image; the head has the CRC32C of both together |
//!
//! A file bears its final name, `<index>-<term>.snap`, only once it is durable: written under
//! another name, synced, renamed, directory synced. One that turns out damaged later is set aside
//! as `.damaged` and never used.

pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod incoming;
pub(crate) mod outgoing;
mod ownership;
pub(crate) mod pace;
pub(crate) mod served;

#[cfg(test)]
mod tests;
