//! Everything a messenger keeps: people, messages both ways, what is not delivered, what was read.
//!
//! One file, one owner, one writing thread (`store/writer.rs`). `store/database.rs` alone knows
//! what kind of file it is; `store/table.rs` names the tables, `store/sealer.rs` hides what is in
//! them.

mod database;
pub(crate) mod error;
pub(crate) mod history;
pub(crate) mod inbox;
pub(crate) mod outbox;
pub(crate) mod peer;
pub(crate) mod receipt;
mod record;
mod sealer;
mod table;
pub(crate) mod tally;
pub(crate) mod view;
mod writer;

use crate::store::{
    database::{Database, Reading, Writing},
    error::StoreError,
    sealer::Sealer,
    table::{Change, Rows, Table},
    view::View,
    writer::{Asked, Operation, QUEUE, Slot, Writer},
};
use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// The format this program writes and reads.
const FORMAT: u32 = 1;
/// What lies sealed in the table `meta`, to tell a wrong key from a damaged file.
const CHECK: &[u8] = b"telegraph message store";

/// A change, as the writer's thread sees the rows.
pub(crate) type WriteView<'a, 'b> = View<'a, &'b Writing>;
/// The rows as they were at the last commit.
pub(crate) type ReadView<'a, 'b> = View<'a, &'b Reading>;

/// A messenger's memory: one file, sealed under one key. A clone is the same store.
///
/// - One owner: a second one, in this process or another, is refused.
/// - A change is on disk (fdatasync) before whoever asked for it is answered.
/// - Values are sealed with XChaCha20-Poly1305, names and ids in keys are keyed hashes. What can be
///   seen without the key: how many people, messages of which length, and how many wait.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Operation>>>>,
    slot: Slot,
    sealer: Arc<Sealer>,
    halted: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in the file `path`, or makes it. Blocks for as long as a repair takes after
    /// a crash.
    ///
    /// Fails with [`StoreError::InUse`] under another owner, [`StoreError::WrongKey`],
    /// [`StoreError::Version`], and when the file cannot be read or written.
    pub fn open(path: &Path, store_key: [u8; 32]) -> Result<Self, StoreError> {
        let store_key = zeroize::Zeroizing::new(store_key);
        let sealer = Arc::new(Sealer::new(&store_key));
        let database = Database::open(path)?;
        check(&database, &sealer)?;
        let slot: Slot = Arc::new(RwLock::new(Some(database)));
        let (sender, queue) = mpsc::channel(QUEUE);
        let halted = Arc::new(AtomicBool::new(false));
        let writer =
            Writer { queue, slot: slot.clone(), sealer: sealer.clone(), halted: halted.clone() };
        let thread = std::thread::Builder::new()
            .name("message-store".into())
            .spawn(move || writer.run())
            .map_err(StoreError::disk)?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self { inner: Arc::new(Inner { queue, slot, sealer, halted, thread }) })
    }

    /// Changes rows; durable when it returns. `change` may run more than once, and must not have
    /// effects besides. Fails with [`StoreError::Closed`] after the store was closed.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&WriteView<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    {
        let queue = self.inner.queue().clone().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let operation: Box<dyn Operation> = Box::new(Asked::new(change, reply));
        queue.send(operation).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads rows off the async threads.
    pub(crate) async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadView<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        let answer = tokio::task::spawn_blocking(move || store.read_now(question)).await;
        answer.map_err(|_| StoreError::Closed)?
    }

    /// Reads rows here and now: for a few rows that are in the cache.
    pub(crate) fn read_now<T>(
        &self,
        question: impl FnOnce(&ReadView<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let slot = self.inner.slot.read().unwrap_or_else(PoisonError::into_inner);
        let reading = slot.as_ref().ok_or(StoreError::Closed)?.read()?;
        question(&View::new(&reading, &self.inner.sealer))
    }

    /// Finishes what was asked for, and frees the file. Closing twice is no failure.
    pub(crate) async fn close(&self) {
        let inner = self.inner.clone();
        // The thread ends after the change it is at; nothing can be done about one that panicked.
        let _ = tokio::task::spawn_blocking(move || inner.end()).await;
    }

    /// Frees the file at once; what was asked for and is not on disk is dropped.
    pub(crate) async fn halt(&self) {
        self.inner.halted.store(true, Ordering::Release);
        self.close().await;
    }
}

impl Inner {
    fn queue(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Box<dyn Operation>>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        drop(self.queue().take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}

/// Makes a new file ours, or makes sure that an old one is.
fn check(database: &Database, sealer: &Sealer) -> Result<(), StoreError> {
    let writing = database.write()?;
    let (format, check) = (b"format".as_slice(), b"check".as_slice());
    match writing.get(Table::Meta, format)? {
        None => {
            writing.put(Table::Meta, format, &FORMAT.to_be_bytes())?;
            writing.put(Table::Meta, check, &sealer.seal(Table::Meta, check, CHECK)?)?;
            writing.commit()
        }
        Some(bytes) => {
            let bytes = bytes.as_slice().try_into();
            let found = u32::from_be_bytes(bytes.map_err(|_| StoreError::Damaged("format"))?);
            if found != FORMAT {
                return Err(StoreError::Version(found));
            }
            let sealed = writing.get(Table::Meta, check)?.ok_or(StoreError::Damaged("check"))?;
            let plain = sealer.open(Table::Meta, check, &sealed);
            if plain.is_ok_and(|plain| plain.as_slice() == CHECK) {
                Ok(())
            } else {
                Err(StoreError::WrongKey)
            }
        }
    }
}

impl WriteView<'_, '_> {
    /// Makes a new store `owner`'s. Fails with [`StoreError::Foreign`] when it is somebody else's.
    pub(crate) fn claim(&self, owner: &[u8]) -> Result<(), StoreError> {
        let key = b"owner".as_slice();
        match self.rows.get(Table::Meta, key)? {
            None => self.rows.put(Table::Meta, key, &self.sealer.seal(Table::Meta, key, owner)?),
            Some(sealed) => {
                let plain = self.sealer.open(Table::Meta, key, &sealed)?;
                if plain.as_slice() == owner { Ok(()) } else { Err(StoreError::Foreign) }
            }
        }
    }
}
