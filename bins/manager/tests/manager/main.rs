//! Real managers, asked over real HTTPS and gRPC.
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without")]

mod cases;
mod cluster;
mod faults;
mod grpc;
mod harness;
mod person;
mod rest;
mod restored;
mod sealed;
