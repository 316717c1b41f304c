//! A replicated counter. Unusual about it: its three nodes are in one process, talk without TLS,
//! and keep what they know in a directory that goes with them.
//!
//! ```text
//! cargo run -p raft-core --example counter
//! ```

#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use raft_core::{Context, Member, Node, Replicated, StateMachine};
use serde::{Deserialize, Serialize};

const LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Counter {
    total: u64,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Add(u64),
}

impl StateMachine for Counter {
    type Command = Command;
    type Reply = u64;

    fn apply(&mut self, command: Command, _: &Context) -> u64 {
        let Command::Add(amount) = command;
        self.total = self.total.saturating_add(amount);
        self.total
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let sockets: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut members = Vec::new();
    for (id, socket) in (1..).zip(&sockets) {
        members.push(Member::new(id, socket.local_addr()?.to_string()));
    }
    let mut nodes: Vec<Replicated<Counter>> = Vec::new();
    for (member, socket) in members.iter().zip(sockets) {
        let builder = Node::builder(member.id).members(members.clone()).listener(socket);
        let data_dir = directory.path().join(format!("node-{}", member.id));
        nodes.push(builder.data_dir(data_dir).allow_plaintext().start().await?);
    }
    nodes[0].bootstrap().await?;

    for (node, amount) in nodes.iter().zip([5, 30, 7]) {
        let answer = node.propose(&Command::Add(amount), LIMIT).await?;
        println!("added {amount} at {}: {}", answer.position, answer.value);
    }
    for node in &nodes {
        let total = node.read(LIMIT, |counter| counter.total).await?;
        println!("node {} reads {}", node.status().node_id, total.value);
    }
    for node in nodes {
        node.shutdown().await?;
    }
    Ok(())
}
