//! The accounts as a state machine of raft-core.

use crate::apply::apply;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::image;
use crate::key_values::{Changes, KeyValues as _, Target};
use crate::keys::{self, Range};
use crate::lookup::{Clock, Lookup};
use crate::moment::Moment;
use crate::reader::IdentityReader;
use crate::view::View;
use bytes::Bytes;
use raft_core::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The replicated account directory.
///
/// - Data and the engine's records change in one batch: the records never say more, or less, than
///   what the state contains.
/// - It need not survive: a view that is damaged is set aside, and an empty one with empty records
///   makes the engine rebuild it.
/// - Whoever has it is the only one who writes; readers end when it is dropped.
pub struct IdentityStore {
    view: Arc<View>,
    cluster_id: [u8; 16],
}

impl IdentityStore {
    /// Opens the accounts of a cluster in `dir`, which is made if need be, and may hold other
    /// things besides (`place.rs` lists the names used). `cluster_id` is what people sign for: the
    /// lineage id, as far as it is known. The node tells it again before it is needed.
    ///
    /// A view that is damaged is no error: it is set aside, and [`IdentityReader::rebuilds`] tells.
    /// Fails with [`StoreError::InUse`] while another store has the directory, with
    /// [`StoreError::Directory`] or [`StoreError::View`] when the disk refuses.
    pub fn open(
        dir: &Path,
        cluster_id: [u8; 16],
    ) -> Result<(IdentityStore, IdentityReader), StoreError> {
        let view = Arc::new(View::open(dir)?);
        let reader = IdentityReader::new(Arc::clone(&view));
        Ok((IdentityStore { view, cluster_id }, reader))
    }

    /// Computes what entries change, and what they answer; changes nothing.
    fn decide(
        &self,
        entries: &[Entry],
    ) -> Result<(Changes, Vec<Bytes>, Option<Clock>), StoreError> {
        self.view.read(|tree| {
            let mut directory = Directory::new(tree);
            let replies = entries
                .iter()
                .map(|entry| Ok(apply(entry, &self.cluster_id, &mut directory)?.encode()))
                .collect::<Result<Vec<_>, StoreError>>()?;
            assert!(replies.len() == entries.len(), "every entry has its reply");
            let clock = match entries.is_empty() {
                true => None,
                false => Some(directory.look().clock()?),
            };
            Ok((directory.into_changes(), replies, clock))
        })
    }

    /// Fills a new state and puts it in the place of this one.
    fn replace(
        &self,
        records: &Records,
        fill: impl FnOnce(&mut dyn Target) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut successor = self.view.read(|tree| tree.successor())?;
        fill(&mut successor)?;
        let mut changes = Changes::new();
        put_records(&mut changes, records);
        successor.write(changes)?;
        let clock = Lookup(&successor).clock()?;
        self.view.replace(successor, clock)
    }
}

impl OnDiskStateMachine for IdentityStore {
    fn belongs_to(&mut self, lineage: [u8; 16]) -> Result<(), MachineError> {
        self.cluster_id = lineage;
        Ok(())
    }

    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        let pairs = self.view.read(|tree| tree.range(&Range::of(keys::RECORD), usize::MAX));
        let without_prefix = |(mut key, value): (Vec<u8>, Vec<u8>)| {
            key.drain(..1);
            (key, value)
        };
        Ok(pairs.map_err(MachineError::new)?.into_iter().map(without_prefix).collect())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        let (mut changes, replies, clock) = self.decide(entries).map_err(MachineError::new)?;
        put_records(&mut changes, &records(&replies));
        self.view.commit(changes, clock).map_err(MachineError::new)?;
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let moment = Moment::now(&self.view).map_err(MachineError::new)?;
        let (view, cluster_id) = (Arc::clone(&self.view), self.cluster_id);
        Ok(Box::new(move |to| {
            image::export(&moment, &cluster_id, to).map_err(MachineError::new)?;
            drop(moment);
            // The log may be purged up to here: from now on the view must not fall behind it when
            // the process is killed.
            view.flush().map_err(MachineError::new)
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let cluster_id = self.cluster_id;
        let restored = self.replace(records, |state| image::import(state, &cluster_id, from));
        restored.map_err(MachineError::new)
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.replace(&[], |_| Ok(())).map_err(MachineError::new)
    }
}

impl Drop for IdentityStore {
    fn drop(&mut self) {
        self.view.close();
    }
}

impl fmt::Debug for IdentityStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityStore").finish_non_exhaustive()
    }
}

fn put_records(changes: &mut Changes, records: &Records) {
    let records = records.iter().map(|(key, value)| (keys::record(key), value.clone()));
    changes.extend(records);
}

#[cfg(test)]
mod tests;
