//! Who is there: leases in the leader's memory, changes in the log.
//!
//! # The life of a heartbeat
//!
//! 1. A client renews at any manager, which hears it (`presence/ear.rs`) and puts it in its inbox
//!    (`presence/inbox.rs`).
//! 2. Every `presence_interval` the worker (`presence/worker.rs`) empties the inbox. At a follower
//!    it passes the renewals on to the leader in one batch (`presence/forward.rs`); the leader's
//!    `Renew` service puts them in its own inbox.
//! 3. At the leader it renews leases (`presence/leases.rs`). Somebody offline who was heard comes
//!    online, somebody online whose lease ran out goes offline: such changes, and nothing else,
//!    are proposed, fenced to the leader's term.

pub(crate) mod ear;
mod forward;
mod inbox;
mod leases;
pub(crate) mod worker;
