//! A typed machine in memory, as the engine wants to see it.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::codec::{self, Undecodable};
use crate::replicated::machine::{Context, StateMachine};
use crate::replicated::verdict::Verdict;
use crate::state_machine::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};

/// Format of the head of an image: this byte, the machine's version in 4 bytes, big-endian; the
/// encoded state follows.
const IMAGE_FORMAT: u8 = 1;

/// Bytes of an image's head.
const HEAD_BYTES: usize = 5;

/// Bytes of an image that are gathered before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// The state, seen by readers and changed by the adapter alone; cheap to clone.
///
/// - Only images hold further references to the state within: readers look at it under the lock.
#[derive(Debug)]
pub(crate) struct Shared<M>(Arc<RwLock<Arc<M>>>);

impl<M> Clone for Shared<M> {
    fn clone(&self) -> Shared<M> {
        Shared(Arc::clone(&self.0))
    }
}

impl<M: StateMachine> Shared<M> {
    /// Looks at the state; nothing is applied meanwhile. `None` once a command panicked: the state
    /// may be half changed then, and the node stops.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&M) -> T) -> Option<T> {
        let state = self.0.read().ok()?;
        Some(look(&state))
    }

    fn replace(&self, state: M) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        self.0.clear_poison();
    }
}

/// The typed machine with the engine's records, both in memory: they change together because
/// nothing of either survives the process.
#[derive(Debug)]
pub(crate) struct Adapter<M> {
    state: Shared<M>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<M: StateMachine> Adapter<M> {
    /// An empty machine, and its state for readers.
    pub(crate) fn new() -> (Adapter<M>, Shared<M>) {
        let state = Shared(Arc::new(RwLock::new(Arc::new(M::default()))));
        (Adapter { state: state.clone(), records: BTreeMap::new() }, state)
    }

    fn keep(&mut self, records: &Records) {
        for (key, value) in records {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
    }

    /// Leaves the state to the image that shares it, if there is one, and goes on with a copy.
    /// Readers go on meanwhile.
    fn unshare(&mut self) -> Result<(), MachineError> {
        let copy = {
            let state = self.state.0.read().map_err(|_| panicked())?;
            (Arc::strong_count(&state) > 1).then(|| M::clone(&state))
        };
        if let Some(copy) = copy {
            self.state.replace(copy);
        }
        Ok(())
    }

    fn apply_one(&self, entry: &Entry, decoded: Decoded<M>) -> Result<Bytes, MachineError> {
        let position = entry.position;
        let verdict = match decoded {
            Ok(command) => {
                let context = Context::new(position, entry.time_unix_ms, entry.version);
                let mut state = self.state.0.write().map_err(|_| panicked())?;
                Verdict::Reply(Arc::make_mut(&mut state).apply(command, &context))
            }
            Err(error) => {
                tracing::warn!(%position, version = entry.version, %error, "no command: refused");
                Verdict::Undecodable
            }
        };
        Ok(verdict.encode())
    }
}

/// A command, or why it is none.
type Decoded<M> = Result<<M as StateMachine>::Command, Undecodable>;

impl<M: StateMachine> OnDiskStateMachine for Adapter<M> {
    fn is_volatile(&self) -> bool {
        true
    }

    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.records.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        // All are read before the first is applied: a command of a newer version changes nothing.
        let decoded: Vec<Decoded<M>> =
            entries.iter().map(decode::<M>).collect::<Result<_, MachineError>>()?;
        if !entries.is_empty() {
            self.unshare()?;
        }
        let applied =
            entries.iter().zip(decoded).map(|(entry, decoded)| self.apply_one(entry, decoded));
        let replies = applied.collect::<Result<Vec<_>, MachineError>>()?;
        self.keep(&records(&replies));
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        let state = Arc::clone(&*self.state.0.read().map_err(|_| panicked())?);
        Ok(Box::new(move |to| {
            let mut to = BufWriter::with_capacity(BUFFER_BYTES, to);
            to.write_all(&[IMAGE_FORMAT])?;
            to.write_all(&M::VERSION.to_be_bytes())?;
            codec::encode_to(&*state, &mut to).map_err(MachineError::new)?;
            Ok(to.flush()?)
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let mut head = [0; HEAD_BYTES];
        from.read_exact(&mut head)?;
        let [format, version @ ..] = head;
        if format != IMAGE_FORMAT {
            return Err(MachineError::new(format!("a snapshot of format {format}")));
        }
        let version = readable::<M>(u32::from_be_bytes(version), "snapshot")?;
        let mut body = Vec::new();
        from.read_to_end(&mut body)?;
        let state = M::decode_state(version, &body).map_err(MachineError::new)?;
        self.state.replace(state);
        self.records.clear();
        self.keep(records);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.state.replace(M::default());
        self.records.clear();
        Ok(())
    }
}

fn decode<M: StateMachine>(entry: &Entry) -> Result<Decoded<M>, MachineError> {
    let version = readable::<M>(entry.version, "command")?;
    Ok(M::decode_command(version, &entry.payload))
}

fn readable<M: StateMachine>(version: u32, what: &str) -> Result<u32, MachineError> {
    if version <= M::VERSION {
        return Ok(version);
    }
    let newest = M::VERSION;
    let why = format!("a {what} of version {version}; this build reads up to version {newest}");
    Err(MachineError::new(why))
}

fn panicked() -> MachineError {
    MachineError::new("it panicked while it applied a command")
}

#[cfg(test)]
mod tests;
