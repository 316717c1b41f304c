//! The view of the accounts: one that writes, many that read.

use crate::audit::audit;
use crate::checksum::verify;
use crate::error::StoreError;
use crate::key_values::Changes;
use crate::lookup::{Clock, Lookup};
use crate::place::Place;
use crate::tree::{Held, Successor, Tree};
use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// A view that is open, until it is closed.
///
/// - What one read sees is the state between two commits, or between two replacements.
/// - The clock is never ahead of the state that a later read sees.
/// - `commits` is taken under `opened`, never the other way round.
pub(crate) struct View {
    place: Place,
    /// Written to when the tree is replaced or closed, or a moment begins or ends.
    opened: RwLock<Option<Opened>>,
    /// Written to by what else changes the tree.
    commits: RwLock<()>,
    clock: Mutex<Clock>,
    rebuilds: u64,
}

/// The tree is dropped ahead of the lock.
struct Opened {
    tree: Tree,
    _lock: File,
}

impl View {
    /// Opens the view of a directory. One that does not open, contradicts itself, or failed
    /// whoever used it last is set aside for an empty one.
    ///
    /// A mark is on disk meanwhile: should the process end right here, as one does that aborts on
    /// panics, the next one starts with an empty view instead of ending likewise.
    pub(crate) fn open(dir: &Path) -> Result<View, StoreError> {
        let place = Place::new(dir)?;
        let lock = place.lock()?;
        let mut rebuilds = 0;
        if place.is_suspect() {
            set_aside(&place, "it failed whoever used it last")?;
            rebuilds += 1;
        }
        place.suspect()?;
        let tree = match attempt(&place) {
            Ok(tree) => tree,
            Err(error) if error.blames_the_view() => {
                set_aside(&place, &error.to_string())?;
                rebuilds += 1;
                attempt(&place)?
            }
            Err(error) => {
                place.trust()?;
                return Err(error);
            }
        };
        place.trust()?;
        let clock = Mutex::new(Lookup(&tree).clock()?);
        let opened = RwLock::new(Some(Opened { tree, _lock: lock }));
        Ok(View { place, opened, commits: RwLock::default(), clock, rebuilds })
    }

    /// Reads one state. Commits wait meanwhile.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Tree) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.share(|tree| {
            // A panic under the lock leaves a tree that is whole, for its commits are atomic.
            let _between_commits = self.commits.read().unwrap_or_else(PoisonError::into_inner);
            read(tree)
        })
    }

    /// Reads the moment of that number, while commits go on. Fails with
    /// [`StoreError::Overtaken`] when another is held.
    pub(crate) fn read_moment<T>(
        &self,
        number: u64,
        read: impl FnOnce(&Held) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.share(|tree| read(tree.held(number)?))
    }

    /// Makes changes, that bring the state up to `clock`.
    pub(crate) fn commit(&self, changes: Changes, clock: Option<Clock>) -> Result<(), StoreError> {
        self.share(|tree| {
            let _alone = self.commits.write().unwrap_or_else(PoisonError::into_inner);
            tree.commit(changes)?;
            self.set_clock(clock);
            Ok(())
        })
    }

    /// Replaces the state.
    pub(crate) fn replace(&self, successor: Successor, clock: Clock) -> Result<(), StoreError> {
        self.write(|tree| tree.succeed(successor), Some(clock))
    }

    /// Holds on to the state as it is now, under the number that is returned.
    pub(crate) fn hold_moment(&self) -> Result<u64, StoreError> {
        self.write(|tree| tree.hold(), None)
    }

    /// Throws away what was put aside for a moment; nothing, if the view is closed or holds on to
    /// another one.
    pub(crate) fn let_go_of_moment(&self, number: u64) {
        match self.write(|tree| tree.let_go(number), None) {
            Ok(()) | Err(StoreError::Closed) => {}
            // It is in the way of nothing, and gone with the next moment or start.
            Err(error) => tracing::warn!(%error, "what was put aside for an image remains"),
        }
    }

    /// Hands what was committed to the operating system, while commits go on.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let flush = self.read(|tree| Ok(tree.flusher()))?;
        self.remember(flush())
    }

    /// Uses the tree beside others who do.
    fn share<T>(
        &self,
        using: impl FnOnce(&Tree) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.as_ref().ok_or(StoreError::Closed)?;
        self.remember(using(&opened.tree))
    }

    /// Has the tree alone.
    fn write<T>(
        &self,
        write: impl FnOnce(&mut Tree) -> Result<T, StoreError>,
        clock: Option<Clock>,
    ) -> Result<T, StoreError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.as_mut().ok_or(StoreError::Closed)?;
        let written = self.remember(write(&mut opened.tree))?;
        self.set_clock(clock);
        Ok(written)
    }

    fn set_clock(&self, clock: Option<Clock>) {
        if let Some(clock) = clock {
            *self.lock_clock() = clock;
        }
    }

    /// How far the state is, or was when it was closed.
    pub(crate) fn clock(&self) -> Clock {
        *self.lock_clock()
    }

    /// How often a view was set aside when this one was opened.
    pub(crate) fn rebuilds(&self) -> u64 {
        self.rebuilds
    }

    /// Ends all reading, and gives the directory free.
    pub(crate) fn close(&self) {
        let opened = self.opened.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(opened) = opened else { return };
        if let Err(error) = self.remember(opened.tree.flush()) {
            tracing::warn!(%error, "the view of the accounts was not flushed");
        }
    }

    /// Lets the next start set aside what failed now.
    fn remember<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if outcome.as_ref().is_err_and(StoreError::blames_the_view)
            && let Err(error) = self.place.suspect()
        {
            tracing::warn!(%error, "a failing view of the accounts could not be marked");
        }
        outcome
    }

    fn lock_clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the tree and reads all of it.
fn attempt(place: &Place) -> Result<Tree, StoreError> {
    let path = place.view()?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let tree = Tree::open(&path)?;
        verify(&tree)?;
        audit(&tree)?;
        Ok(tree)
    }));
    opened.unwrap_or_else(|panic| Err(StoreError::View(said(panic.as_ref()).into())))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default())
}

fn set_aside(place: &Place, why: &str) -> Result<(), StoreError> {
    let path = place.set_aside()?;
    let kept = path.display();
    tracing::error!(why, %kept, "the view of the accounts is set aside; it will be rebuilt");
    Ok(())
}
