//! People, their programs and a real manager, on loopback.
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without")]

mod account;
mod harness;
mod program;
mod talk;
