//! A state machine that is told whose history it holds, before anything depends on it.

use std::io::Read;

use bytes::Bytes;

use crate::identity::cluster_line::NO_CLUSTER;
use crate::state_machine::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};

/// Tells the machine its lineage id once it is known and needed. A node that finds its cluster
/// itself is started before it has one, and entries reach it only afterwards.
pub(crate) struct Placed<M, L> {
    machine: M,
    lineage: L,
    told: bool,
}

impl<M, L> Placed<M, L>
where
    M: OnDiskStateMachine,
    L: Fn() -> [u8; 16] + Send + 'static,
{
    /// A machine of the history that `lineage` gives; all zeros while that is not known.
    pub(crate) fn new(machine: M, lineage: L) -> Placed<M, L> {
        Placed { machine, lineage, told: false }
    }

    fn tell(&mut self) -> Result<(), MachineError> {
        if self.told {
            return Ok(());
        }
        let lineage = (self.lineage)();
        if lineage == NO_CLUSTER {
            return Err(MachineError::new("entries reached a node that belongs to no cluster"));
        }
        self.machine.belongs_to(lineage)?;
        self.told = true;
        Ok(())
    }
}

impl<M, L> OnDiskStateMachine for Placed<M, L>
where
    M: OnDiskStateMachine,
    L: Fn() -> [u8; 16] + Send + 'static,
{
    fn belongs_to(&mut self, lineage: [u8; 16]) -> Result<(), MachineError> {
        self.machine.belongs_to(lineage)
    }

    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        self.machine.records()
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        self.tell()?;
        self.machine.apply(entries, records)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        // Before there is a cluster there is nothing that could depend on it.
        if (self.lineage)() != NO_CLUSTER {
            self.tell()?;
        }
        self.machine.snapshot()
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        self.tell()?;
        self.machine.restore(from, records)
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.machine.reset()
    }

    fn is_volatile(&self) -> bool {
        self.machine.is_volatile()
    }
}
