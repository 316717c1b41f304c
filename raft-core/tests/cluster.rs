//! Whole nodes over real sockets, real disks and real TLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cluster {
    pub(crate) mod certificates;
    pub(crate) mod fleet;
    pub(crate) mod gate;
    pub(crate) mod harness;
    pub(crate) mod journal;
    pub(crate) mod proxy;
    pub(crate) mod room;
    pub(crate) mod unanswered;

    mod assembly;
    mod bad_input;
    mod black_holes;
    mod dead_links;
    mod elections;
    mod events;
    mod identities;
    mod limits;
    mod low_disk;
    mod membership;
    mod metrics;
    mod no_space;
    mod operator;
    mod promises;
    mod reads;
    mod rejoining;
    mod restarts;
    mod sessions;
    mod snapshot_builds;
    mod snapshot_transfers;
    mod snapshots;
    mod strangers;
    mod streams;
    mod subscriptions;
    mod tls;
    mod typed;
}
