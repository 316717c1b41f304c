//! The program before an upgrade: it reads commands and states of version 1.

use std::collections::BTreeSet;
use std::process::ExitCode;

use raft_core::{Context, StateMachine};
use serde::{Deserialize, Serialize};

mod program;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Ledger {
    numbers: BTreeSet<u64>,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Add(u64),
}

impl StateMachine for Ledger {
    type Command = Command;
    type Reply = usize;

    fn apply(&mut self, command: Command, _: &Context) -> usize {
        let Command::Add(number) = command;
        self.numbers.insert(number);
        self.numbers.len()
    }
}

impl program::Build for Ledger {
    fn command(words: &[&str]) -> Option<Command> {
        match words {
            ["add", number] => Some(Command::Add(number.parse().ok()?)),
            _ => None,
        }
    }

    fn numbers(&self) -> &BTreeSet<u64> {
        &self.numbers
    }
}

fn main() -> ExitCode {
    program::run::<Ledger>()
}
