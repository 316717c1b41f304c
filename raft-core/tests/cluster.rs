//! Whole nodes over real sockets, real disks and real TLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cluster {
    pub(crate) mod certificates;
    pub(crate) mod harness;
    pub(crate) mod journal;
    pub(crate) mod proxy;

    mod elections;
    mod limits;
    mod restarts;
    mod snapshots;
    mod strangers;
    mod tls;
}
