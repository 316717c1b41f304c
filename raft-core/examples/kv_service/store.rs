//! The state, on disk: one redb file with the pairs and, beside them, raft-core's records.
//!
//! What was acknowledged is safe in the log of a majority before it comes here. So the file need
//! not be written with every change: after a crash it is as it was when it was last written, says
//! so in its records, and raft-core applies the rest of the log again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use bytes::Bytes;
use raft_core::{Entry, Image, MachineError, OnDiskStateMachine, Records, RecordsFor};
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    StorageError, TableDefinition, WriteTransaction,
};

use super::change::{Change, Outcome};
use super::recent::{Changes, Layers, Recent};

const PAIRS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pairs");
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// Changes are gathered until what they leave of their keys has so many bytes: a key that many of
/// them change is written once. As many bytes again were gathered before, and are on their way to
/// the file, or in it and still at hand.
const GATHER_BYTES: usize = 64 << 20;

/// No more changes than this are gathered: few enough that they are applied again within seconds
/// after a crash.
const GATHER_CHANGES: usize = 500_000;

/// Bytes of the file that are held in memory, changed pages that are not yet written among them.
const CACHE_BYTES: usize = 128 << 20;

/// First bytes of an image: what it is, and its format.
const IMAGE_HEAD: [u8; 4] = *b"kv\0\x01";

/// Bytes read or written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The longest key or value an image may claim: more than any command holds.
const LENGTH_MAX: u32 = 16 << 20;

/// The pairs as a state machine of raft-core.
pub(crate) struct Store {
    reader: Reader,
    /// Writes what is leaving.
    writer: Option<JoinHandle<Result<(), redb::Error>>>,
    gather_bytes: usize,
    /// What was gathered is not whole, or what was to be written before it is not.
    failed: bool,
}

/// Reads pairs while the machine changes them; cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    database: Arc<Database>,
    recent: Recent,
}

impl Reader {
    /// The value of a key at this moment.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Bytes>, redb::Error> {
        if let Some(left) = self.recent.read().get(key.as_bytes()) {
            return Ok(left.as_deref().map(Bytes::copy_from_slice));
        }
        // What has been let go of meanwhile is in the file.
        let pairs = self.database.begin_read()?.open_table(PAIRS)?;
        Ok(pairs.get(key.as_bytes())?.map(|value| Bytes::copy_from_slice(value.value())))
    }
}

impl Store {
    /// Opens the file, or makes it. One that is damaged is set aside: raft-core fills a new one.
    pub(crate) fn open(path: &Path) -> Result<(Store, Reader), redb::Error> {
        let database = match create(path) {
            Err(error) if is_damage(&error) => {
                tracing::error!(%error, "the store is set aside");
                fs::rename(path, path.with_extension("damaged"))?;
                create(path)?
            }
            opened => opened?,
        };
        let database = Arc::new(database);
        // So that readers find the tables.
        let mut writing = database.begin_write()?;
        writing.set_quick_repair(true);
        writing.open_table(PAIRS)?;
        writing.open_table(RECORDS)?;
        writing.commit()?;
        let reader = Reader { database, recent: Recent::default() };
        let gather_bytes = GATHER_BYTES;
        Ok((Store { reader: reader.clone(), writer: None, gather_bytes, failed: false }, reader))
    }

    /// The same, gathering no more than so many bytes.
    #[cfg(test)]
    pub(crate) fn gathering(self, gather_bytes: usize) -> Store {
        let mut store = self;
        store.gather_bytes = gather_bytes;
        store
    }

    fn change(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, redb::Error> {
        let mut layers = self.reader.recent.write();
        // Nothing is let go of meanwhile, so that one look at the file is enough.
        let file = self.reader.database.begin_read()?.open_table(PAIRS)?;
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            let Ok(change) = Change::decode(&entry.payload) else {
                replies.push(Outcome::Refused.encode());
                continue;
            };
            let (key, left) = match change {
                Change::Put { key, value } => (key.as_bytes(), Some(value)),
                Change::Delete { key } => (key.as_bytes(), None),
            };
            let known = match layers.put(key, left) {
                Some(known) => known,
                None => file.get(key)?.is_some(),
            };
            replies.push(if known { Outcome::Known } else { Outcome::New }.encode());
        }
        layers.incoming.record(records(&replies));
        let incoming = &layers.incoming;
        let full = incoming.bytes() >= self.gather_bytes || incoming.count() >= GATHER_CHANGES;
        drop(layers);
        if full {
            self.write_aside()?;
        }
        Ok(replies)
    }

    /// Has what was gathered written to the file while more is gathered. Gives the file as it is
    /// then, before anything later. Fails when something that was to be written before is not: then
    /// nothing after it may be.
    fn write_aside(&mut self) -> Result<Receiver<ReadTransaction>, redb::Error> {
        self.written()?;
        if self.failed {
            return Err(io::Error::other("earlier changes were not written").into());
        }
        // Until they are on their way to the file.
        self.failed = true;
        let (leaving, before) = self.reader.recent.write().leave();
        let database = Arc::clone(&self.reader.database);
        let (written, moment) = mpsc::sync_channel(1);
        let write = move || {
            drop(before);
            write_out(&database, &leaving)?;
            // Mostly nobody waits for it.
            let _ = written.send(database.begin_read()?);
            Ok(())
        };
        self.writer = Some(std::thread::Builder::new().name("kv-store".into()).spawn(write)?);
        self.failed = false;
        Ok(moment)
    }

    /// Waits for what is being written.
    fn written(&mut self) -> Result<(), redb::Error> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let panicked = |_| Err(io::Error::other("the writer of the store panicked").into());
        let written = writer.join().unwrap_or_else(panicked);
        self.failed |= written.is_err();
        written
    }

    /// Replaces everything in one transaction, synced.
    fn replace(
        &mut self,
        records: &Records,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), MachineError>,
    ) -> Result<(), MachineError> {
        self.written().map_err(failed)?;
        let mut writing = self.reader.database.begin_write().map_err(failed)?;
        writing.set_quick_repair(true);
        writing.delete_table(PAIRS).map_err(failed)?;
        writing.delete_table(RECORDS).map_err(failed)?;
        fill(&writing)?;
        let records = records.iter().map(|(key, value)| (key, value));
        put_records(&writing, records).map_err(failed)?;
        writing.open_table(PAIRS).map_err(failed)?;
        let mut layers = self.reader.recent.write();
        writing.commit().map_err(failed)?;
        *layers = Layers::default();
        self.failed = false;
        Ok(())
    }

    /// All records, those that are not in the file yet included.
    fn all_records(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, redb::Error> {
        let layers = self.reader.recent.read();
        let records = self.reader.database.begin_read()?.open_table(RECORDS)?;
        let mut found = BTreeMap::new();
        for record in records.iter()? {
            let (key, value) = record?;
            found.insert(key.value().to_vec(), value.value().to_vec());
        }
        for (key, value) in layers.left.records().iter().chain(layers.incoming.records()) {
            match value {
                Some(value) => drop(found.insert(key.clone(), value.clone())),
                None => drop(found.remove(key)),
            }
        }
        Ok(found)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A process that is killed comes back without this: the log has it all.
        if let Err(error) = self.write_aside().and_then(|_| self.written()) {
            tracing::error!(%error, "what was gathered could not be written");
        }
    }
}

impl OnDiskStateMachine for Store {
    fn records(&self) -> Result<Vec<Pair>, MachineError> {
        Ok(self.all_records().map_err(failed)?.into_iter().collect())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        let changed = self.change(entries, records);
        // Changes without the records that belong to them must not come into the file.
        self.failed |= changed.is_err();
        changed.map_err(failed)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        // The log may be let go up to here, for the file will not be older.
        let moment = self.write_aside().map_err(failed)?;
        Ok(Box::new(move |to| {
            let unwritten = |_| MachineError::new("what was gathered could not be written");
            // A read transaction sees its moment for as long as it lasts, and hinders nobody.
            write_image(&moment.recv().map_err(unwritten)?, to)
        }))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        self.replace(records, |writing| {
            let mut pairs = writing.open_table(PAIRS).map_err(failed)?;
            let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
            let mut head = [0; IMAGE_HEAD.len()];
            from.read_exact(&mut head)?;
            if head != IMAGE_HEAD {
                return Err(MachineError::new("a snapshot of another service, or another format"));
            }
            while let Some(key) = read_bytes(&mut from)? {
                let value = read_bytes(&mut from)?.ok_or(io::ErrorKind::UnexpectedEof);
                let value = value.map_err(io::Error::from)?;
                pairs.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
            }
            Ok(())
        })
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.replace(&[], |_| Ok(()))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

/// True when the file was read, and is no sound database.
fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Io(error)) => {
            error.kind() == io::ErrorKind::InvalidData
        }
        DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        _ => false,
    }
}

/// Writes changes in one transaction, synced.
fn write_out(database: &Database, changes: &Changes) -> Result<(), redb::Error> {
    let mut writing = database.begin_write()?;
    writing.set_quick_repair(true);
    {
        let mut pairs = writing.open_table(PAIRS)?;
        for (key, left) in changes.sorted() {
            match left {
                Some(value) => drop(pairs.insert(key, value)?),
                None => drop(pairs.remove(key)?),
            }
        }
    }
    put_records(&writing, changes.records())?;
    writing.commit()?;
    Ok(())
}

fn put_records<'a>(
    writing: &WriteTransaction,
    records: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
) -> Result<(), redb::Error> {
    let mut kept = writing.open_table(RECORDS)?;
    for (key, value) in records {
        match value {
            Some(value) => kept.insert(key.as_slice(), value.as_slice())?,
            None => kept.remove(key.as_slice())?,
        };
    }
    Ok(())
}

/// The head, then each key and value, in the order of the keys, behind its length.
fn write_image(moment: &ReadTransaction, to: &mut dyn Write) -> Result<(), MachineError> {
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, to);
    to.write_all(&IMAGE_HEAD)?;
    let pairs = moment.open_table(PAIRS).map_err(failed)?;
    for pair in pairs.iter().map_err(failed)? {
        let (key, value) = pair.map_err(failed)?;
        for bytes in [key.value(), value.value()] {
            let length = u32::try_from(bytes.len()).map_err(MachineError::new)?;
            to.write_all(&length.to_be_bytes())?;
            to.write_all(bytes)?;
        }
    }
    Ok(to.flush()?)
}

/// The next key or value of an image; none at its end.
fn read_bytes(from: &mut BufReader<&mut dyn Read>) -> io::Result<Option<Vec<u8>>> {
    use std::io::BufRead as _;
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LENGTH_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

fn failed(error: impl Into<redb::Error>) -> MachineError {
    MachineError::new(error.into())
}
