//! Whether a directory still belongs to the node that opened it.
//!
//! Writing a snapshot takes long, on a thread that nobody can stop. When the node ends meanwhile
//! its directory may be opened by the next one at once, and must not change under that one's hands.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The ownership of a directory, shared by whoever changes something in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ownership {
    ended: Arc<RwLock<bool>>,
}

/// Keeps the ownership from ending while one change is made.
pub(super) struct Held<'a> {
    _ended: RwLockReadGuard<'a, bool>,
}

impl Ownership {
    /// Holds on to it for one short change. Fails when it has ended.
    pub(super) fn hold(&self) -> io::Result<Held<'_>> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        match *ended {
            true => Err(io::Error::other("the node has ended")),
            false => Ok(Held { _ended: ended }),
        }
    }

    /// Waits for changes under way; nothing is changed any more when this returns.
    pub(super) fn end(&self) {
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}
