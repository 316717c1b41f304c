//! What the benches measure against.
//!
//! # The life of a bench
//!
//! 1. A [`Cluster`] (`cluster.rs`) starts three members in this process, as a user would have them
//!    on three machines: each with its own directory, log and port, over mutual TLS.
//! 2. Commands go to its leader and are applied by a [`Counter`] (`counter.rs`), which costs
//!    nothing, so that what is measured is consensus.
//! 3. [`Disk`] (`disk.rs`) does what no durable system can avoid, and is measured beside it.
//!
//! # What this crate does not do
//!
//! It tests nothing, and three members in one process share processors and one disk: its figures
//! compare versions of this code on one machine, and are no promise about three.

mod cluster;
mod counter;
mod disk;

pub use cluster::Cluster;
pub use counter::Counter;
pub use disk::Disk;
