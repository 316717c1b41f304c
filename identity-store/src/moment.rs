//! One moment of the state, while the state moves on: what an image is written from.
//!
//! The first change of a key after the moment puts aside what the key held then (its pre-image).
//! Reading the moment is reading the state as it is now, with what was put aside in place of what
//! has changed. So the moment is had at once, whatever the size of the state, and changes do not
//! wait for its reader: what was put aside before the state changed is found by whoever reads the
//! state first and then what was put aside, between whichever commits.
//!
//! It is read once, in the order of the keys. What the reader has passed is put aside no more, and
//! let go of. What it has not is kept in memory (`aside.rs`) up to a limit, because a second write
//! to the tree would cost a command almost as much as the first; and beyond that limit on disk
//! beside the state. So the memory it takes is bounded, however slow its reader is and however much
//! changes meanwhile. The disk must have room for as much as changes, at most the state once more.

use crate::error::StoreError;
use crate::key_values::{KeyValues, Pair};
use crate::keys::Range;
use crate::view::View;
use std::sync::Arc;

/// A moment of the state, records and indexes excepted. What was put aside for it is thrown away
/// when it is dropped.
///
/// - It is read in the order of the keys, each once; going back panics.
/// - It goes on over a restore and a reset.
/// - It fails with [`StoreError::Closed`] when its store is gone, and does not keep its directory.
pub(crate) struct Moment {
    view: Arc<View>,
    number: u64,
}

impl Moment {
    /// This moment. There is one at a time: an earlier one that is still wanted fails from now on.
    pub(crate) fn now(view: &Arc<View>) -> Result<Moment, StoreError> {
        let number = view.hold_moment()?;
        Ok(Moment { view: Arc::clone(view), number })
    }
}

impl KeyValues for Moment {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let only = Range { from: key.to_vec(), to: [key, &[0]].concat() };
        Ok(self.range(&only, 1)?.pop().map(|(_, value)| value))
    }

    fn range(&self, range: &Range, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.view.read_moment(self.number, |held| held.range(range, limit))
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.view.let_go_of_moment(self.number);
    }
}
