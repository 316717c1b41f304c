//! What no single file shows: the order in which this crate asks things of the system.

mod replaced;
pub(crate) mod traced;
