//! What the benches have in common.
//!
//! # The life of a figure
//!
//! 1. A [`Cluster`] (`cluster.rs`) starts members in this process, as a user would have them on
//!    machines of their own: each with its own directory, log and port, over mutual TLS.
//! 2. Commands go to its leader ([`propose`], `load.rs`) and are applied by a [`Counter`]
//!    (`counter.rs`), which costs nothing, so that what is measured is consensus; or by the
//!    directory of a [`Population`] (`population.rs`).
//! 3. [`Disk`] (`disk.rs`) and [`round_trips`] (`echo.rs`) do what no durable or replicated system
//!    can avoid, in the same run.
//! 4. How long each thing took goes into a [`Histogram`] (`histogram.rs`) of a [`Taken`]
//!    (`taken.rs`), of which criterion's warming up is no part ([`Samples`], `samples.rs`).
//! 5. A [`Summary`] (`summary.rs`) puts both beside each other, and beside what was aimed at;
//!    what `compare` and `plot` show carries its [`Circumstances`] (`circumstances.rs`).
//!
//! # What this crate does not do
//!
//! It tests nothing, and members in one process share processors and one disk: its figures compare
//! versions of this code on one machine, and are no promise about three.

mod certificates;
mod circumstances;
mod cluster;
mod counter;
mod date;
mod disk;
mod echo;
mod histogram;
mod load;
mod median;
mod population;
mod samples;
mod summary;
mod taken;

use mimalloc::MiMalloc;

pub use certificates::Certificates;
pub use circumstances::{Circumstances, Machine, commit};
pub use cluster::{Cluster, Plan, start_counter, start_counter_in_memory};
pub use counter::Counter;
pub use date::utc;
pub use disk::Disk;
pub use echo::round_trips;
pub use histogram::Histogram;
pub use load::propose;
pub use median::median;
pub use population::{Population, entries};
pub use samples::{SAMPLES, Samples};
pub use summary::{Bound, Summary};
pub use taken::{Taken, at_once};

/// That of the managers, for all benches and programs here.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
