//! The laws every state machine must keep, tried on one.
//!
//! ```no_run
//! # use raft_core::OnDiskStateMachine;
//! # fn example<M: OnDiskStateMachine>(open: fn(&std::path::Path) -> M) {
//! use raft_core::testing::{MachineSuite, Random};
//!
//! let command = |random: &mut Random| format!("add {}", random.below(100));
//! MachineSuite::new(open, command).check().unwrap();
//! # }
//! ```
//!
//! What a suite cannot see is what its commands do not reach: let the generator make commands that
//! meet each other (few keys, many commands), that are refused, and that are no commands at all.

mod batch;
mod bench;
mod laws;

pub(crate) mod law;

use std::fmt;
use std::path::Path;

use crate::codec;
use crate::command::Command;
use crate::disk::sim::random::Random;
use crate::replicated::adapter::Adapter;
use crate::replicated::machine::StateMachine;
use crate::state_machine::OnDiskStateMachine;
use crate::testing::seed::{chosen_seed, print_seed};
use crate::testing::suite::batch::batches;
use crate::testing::suite::bench::{Bench, Canonical, Open};
use crate::testing::suite::law::BrokenLaw;
use crate::testing::suite::laws::laws;

/// Commands by default: enough for some to meet, few enough for a machine that syncs each batch.
const COMMANDS: usize = 120;

/// The laws, a machine to be tried, and the commands it is tried with.
pub struct MachineSuite {
    open: Open,
    command: Box<dyn FnMut(&mut Random) -> Command>,
    canonical: Canonical,
    commands: usize,
    seed: u64,
}

impl MachineSuite {
    /// A suite for the machine that `open` makes from what is in a directory: nothing at first, and
    /// later what an earlier machine in the same directory left there. `command` makes commands by
    /// chance.
    pub fn new<M: OnDiskStateMachine, C: Into<Command>>(
        mut open: impl FnMut(&Path) -> M + 'static,
        mut command: impl FnMut(&mut Random) -> C + 'static,
    ) -> MachineSuite {
        MachineSuite {
            open: Box::new(move |directory| Box::new(open(directory))),
            command: Box::new(move |random| command(random).into()),
            canonical: Box::new(<[u8]>::to_vec),
            commands: COMMANDS,
            seed: chosen_seed(),
        }
    }

    /// A suite for a machine of the simple tier, by what carries it there. Panics when a command
    /// has no encoding.
    pub fn typed<S: StateMachine>(
        mut command: impl FnMut(&mut Random) -> S::Command + 'static,
    ) -> MachineSuite {
        let encoded = move |random: &mut Random| match codec::encode(&command(random)) {
            Ok(bytes) => Command::new(bytes).with_version(S::VERSION),
            Err(error) => panic!("a command has no encoding: {error}"),
        };
        MachineSuite::new(|_| Adapter::<S>::new().0, encoded)
    }

    /// Tries so many commands; 120 by default.
    #[must_use]
    pub fn commands(self, commands: usize) -> MachineSuite {
        MachineSuite { commands, ..self }
    }

    /// Repeats a run; by default the seed is that of `RAFT_TEST_SEED`, or else a random one.
    #[must_use]
    pub fn seed(self, seed: u64) -> MachineSuite {
        MachineSuite { seed, ..self }
    }

    /// Compares images by what `canonical` makes of them: for a machine that writes equal states in
    /// different orders. By default images of equal states must be equal byte for byte.
    #[must_use]
    pub fn compare_images_by(self, canonical: impl Fn(&[u8]) -> Vec<u8> + 'static) -> MachineSuite {
        MachineSuite { canonical: Box::new(canonical), ..self }
    }

    /// Tries every law in turn. Fails with the first that is broken.
    pub fn check(mut self) -> Result<(), BrokenLaw> {
        print_seed(self.seed);
        let mut random = Random::new(self.seed);
        let commands: Vec<Command> =
            (0..self.commands).map(|_| (self.command)(&mut random)).collect();
        for (law, check) in laws() {
            let broken = |what| BrokenLaw { law, what, seed: self.seed };
            let batches = batches(&commands, &mut random);
            let mut bench =
                Bench::new(&mut self.open, &self.canonical, batches, Random::new(self.seed))
                    .map_err(broken)?;
            check(&mut bench).map_err(broken)?;
        }
        Ok(())
    }
}

impl fmt::Debug for MachineSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSuite").field("seed", &self.seed).finish_non_exhaustive()
    }
}
