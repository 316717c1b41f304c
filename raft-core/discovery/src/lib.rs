//! Finding a cluster: where might a member be listening?
//!
//! # The life of a search
//!
//! 1. A program fills a [`Discovery`] (`discovery.rs`) and asks it for [`Stages`], or for
//!    everything at once with [`Discovery::find`].
//! 2. The first stage is the list the operator wrote, in the order it was written.
//! 3. The second asks the name service for an alias that every member answers to: one try, one
//!    second (`dns.rs`).
//! 4. The third reads the addresses that worked last time (`cache.rs`);
//!    [`Discovery::remember`] wrote them.
//! 5. The last asks every address of a configured range by UDP (`sweep.rs`, a range is parsed by
//!    `range.rs`). Members answer from a [`Responder`] (`responder.rs`), which keeps to the rates
//!    of `rate.rs`; both sides speak the datagrams of `datagram.rs`.
//! 6. Each stage hands out [`Candidate`]s (`candidate.rs`), none of them twice, and a later stage
//!    runs only if the caller was not satisfied by the earlier ones.
//!
//! # What this crate does not do
//!
//! It decides nothing. A candidate is a proposal that anybody on the network can have made, and
//! connecting with TLS is what tells a member from an impostor. It opens no connection, keeps no
//! background task on the searching side, and knows nothing of consensus or of any service.

mod cache;
mod candidate;
mod datagram;
mod discovery;
mod dns;
mod error;
mod range;
mod rate;
mod responder;
mod sweep;

pub use candidate::{Candidate, Source};
pub use datagram::Answer;
pub use discovery::{Discovery, Stages};
pub use dns::DnsAlias;
pub use error::DiscoveryError;
pub use range::AddressRange;
pub use responder::{Responder, ResponderStats};
pub use sweep::Sweep;
