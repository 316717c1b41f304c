//! The program after an upgrade: it has a new command, keeps more, and reads what its predecessor
//! wrote.

use std::collections::BTreeSet;
use std::process::ExitCode;

use raft_core::codec::{self, Undecodable};
use raft_core::{Context, StateMachine};
use serde::{Deserialize, Serialize};

mod program;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Ledger {
    numbers: BTreeSet<u64>,
    /// Since version 2.
    ranges: u64,
}

/// The state as version 1 wrote it.
#[derive(Deserialize)]
struct Before {
    numbers: BTreeSet<u64>,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Add(u64),
    /// Since version 2.
    AddRange {
        from: u64,
        to: u64,
    },
}

impl StateMachine for Ledger {
    type Command = Command;
    type Reply = usize;

    const VERSION: u32 = 2;

    fn apply(&mut self, command: Command, _: &Context) -> usize {
        match command {
            Command::Add(number) => {
                self.numbers.insert(number);
            }
            Command::AddRange { from, to } => {
                self.ranges += 1;
                self.numbers.extend(from..to);
            }
        }
        self.numbers.len()
    }

    fn version_of(command: &Command) -> u32 {
        match command {
            Command::Add(_) => 1,
            Command::AddRange { .. } => 2,
        }
    }

    fn decode_state(version: u32, bytes: &[u8]) -> Result<Ledger, Undecodable> {
        match version {
            1 => codec::decode(bytes).map(|Before { numbers }| Ledger { numbers, ranges: 0 }),
            _ => codec::decode(bytes),
        }
    }
}

impl program::Build for Ledger {
    fn command(words: &[&str]) -> Option<Command> {
        match words {
            ["add", number] => Some(Command::Add(number.parse().ok()?)),
            ["range", from, to] => {
                Some(Command::AddRange { from: from.parse().ok()?, to: to.parse().ok()? })
            }
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
