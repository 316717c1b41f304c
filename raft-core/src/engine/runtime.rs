//! The runtime openraft runs on: the one place where it is chosen.
//!
//! openraft spawns its tasks, sleeps and draws its election timeouts through this type, which must
//! be known when the crate is compiled. For a simulation of a whole cluster put
//! `openraft::async_runtime::deterministic_rng::DeterministicRng<TokioRuntime>` here: it takes its
//! random numbers from a seed kept by each task and passes everything else on. All of a node,
//! [`Engine::start`](crate::engine::Engine::start) first, must then be polled within
//! `Runtime::scope(seed, ..)`, because a task without a seed panics when it spawns another one.

// openraft names its tokio runtime through an alias it has deprecated in favour of a crate of its
// own; the alias spares another exact pin.
#![allow(deprecated, reason = "see above")]

/// Tasks, timers, channels and randomness of openraft.
pub(crate) type Runtime = openraft::impls::TokioRuntime;
