//! The examples, run as somebody who tries them out would run them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../examples/kv_service/change.rs"]
mod change;
#[path = "../examples/kv_service/recent.rs"]
mod recent;
#[path = "../examples/kv_service/store.rs"]
mod store;

mod examples {
    mod counter;
    mod kv_service;
    mod program;
    mod redb_store;
    mod upgrade;
}
