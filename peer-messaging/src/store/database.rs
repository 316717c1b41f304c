//! The file itself; the only place that names redb.

use crate::store::{
    error::StoreError,
    table::{Change, Order, Row, Rows, Table},
};
use redb::{
    DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction, backends::FileBackend,
};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Page cache of a store: a messenger is one of many programs of a person.
const CACHE_BYTES: usize = 16 << 20;

type Definition<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;
type Scanned<'a> = Result<
    (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>),
    redb::StorageError,
>;

/// An open file, locked against every other owner.
#[derive(Debug)]
pub(crate) struct Database(redb::Database);

/// What was committed when it began.
pub(crate) struct Reading(ReadTransaction);

/// A group of changes; dropped without [`Writing::commit`], it never was.
pub(crate) struct Writing(WriteTransaction);

impl Database {
    /// Opens `path`, or makes it, readable by its owner alone. After a crash it is repaired to its
    /// last commit. Fails with [`StoreError::InUse`] under another owner.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(StoreError::disk)?;
        let backend = FileBackend::new(file).map_err(unopened)?;
        let mut builder = redb::Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        // Reads the whole file once, and refuses a damaged one: redb may panic on one it trusted.
        builder.set_check_integrity_on_open(true);
        let database = builder.create_with_backend(backend).map_err(unopened)?;
        // The name must survive a crash as the contents do.
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(StoreError::disk)?;
        }
        let database = Self(database);
        let writing = database.write()?;
        for table in Table::ALL {
            writing.0.open_table(definition(table)).map_err(StoreError::disk)?;
        }
        writing.commit()?;
        Ok(database)
    }

    pub(crate) fn read(&self) -> Result<Reading, StoreError> {
        Ok(Reading(self.0.begin_read().map_err(StoreError::disk)?))
    }

    /// Waits for the writer before it.
    pub(crate) fn write(&self) -> Result<Writing, StoreError> {
        let mut transaction = self.0.begin_write().map_err(StoreError::disk)?;
        transaction.set_durability(Durability::Immediate).map_err(StoreError::disk)?;
        Ok(Writing(transaction))
    }
}

impl Writing {
    /// Returns when the group is on disk (fdatasync). After a failure nobody knows: it may be.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        self.0.commit().map_err(StoreError::disk)
    }
}

impl Rows for Reading {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.0.open_table(definition(table)).map_err(StoreError::disk)?;
        let found = table.get(key).map_err(StoreError::disk)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        first: &[u8],
        last: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let table = self.0.open_table(definition(table)).map_err(StoreError::disk)?;
        collect(&table, first, last, order, limit)
    }
}

impl Rows for Writing {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.0.open_table(definition(table)).map_err(StoreError::disk)?;
        let found = table.get(key).map_err(StoreError::disk)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(
        &self,
        table: Table,
        first: &[u8],
        last: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let table = self.0.open_table(definition(table)).map_err(StoreError::disk)?;
        collect(&table, first, last, order, limit)
    }
}

impl Change for Writing {
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut table = self.0.open_table(definition(table)).map_err(StoreError::disk)?;
        table.insert(key, value).map_err(StoreError::disk)?;
        Ok(())
    }

    fn remove(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        let mut table = self.0.open_table(definition(table)).map_err(StoreError::disk)?;
        table.remove(key).map_err(StoreError::disk)?;
        Ok(())
    }
}

fn unopened(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse,
        other => StoreError::disk(other),
    }
}

fn definition(table: Table) -> Definition<'static> {
    TableDefinition::new(table.name())
}

fn collect(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    first: &[u8],
    last: &[u8],
    order: Order,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    // redb takes a range that ends before it begins for a mistake.
    if first > last {
        return Ok(Vec::new());
    }
    let range = table.range(first..=last).map_err(StoreError::disk)?;
    let own = |row: Scanned<'_>| {
        let (key, value) = row.map_err(StoreError::disk)?;
        Ok((key.value().to_vec(), value.value().to_vec()))
    };
    match order {
        Order::Rising => range.take(limit).map(own).collect(),
        Order::Falling => range.rev().take(limit).map(own).collect(),
    }
}
