//! Commands, from many users at once.

use std::time::Duration;

use bytes::Bytes;
use raft_core::Node;

use crate::taken::{Taken, at_once};

/// Far beyond what any command takes; one that takes longer is a failure, not a figure.
const DEADLINE: Duration = Duration::from_secs(60);

/// Has each of `users` propose `rounds` commands to `node`, one after the other, each as `command`
/// makes it.
///
/// # Panics
///
/// When a command is not applied within a minute.
pub async fn propose<C>(node: &Node, users: u64, rounds: u64, command: C) -> Taken
where
    C: Fn() -> Bytes + Clone + Send + 'static,
{
    let node = node.clone();
    let act = move |_| {
        let (node, command) = (node.clone(), command());
        async move {
            let outcome = node.propose(command, DEADLINE).await;
            outcome.expect("a healthy cluster takes every command");
        }
    };
    at_once(users, rounds, act).await
}
