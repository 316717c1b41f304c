//! The suite that every state machine must pass, tried on one that does and on many that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod laws {
    pub(crate) mod shelf;

    mod broken;
    mod typed;
}
