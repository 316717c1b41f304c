//! Whole nodes on a network in memory, and what happens to them there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod chaos {
    pub(crate) mod ledger;
    pub(crate) mod load;
    pub(crate) mod storm;
    pub(crate) mod witness;

    mod changing;
    mod clocks;
    mod leaders;
    mod overlap;
    mod partitions;
    mod power;
    mod quorum;
}
