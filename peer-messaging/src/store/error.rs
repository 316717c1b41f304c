//! Why the store did not do it.

use crate::cipher::CipherError;
use std::{error::Error, sync::Arc};

/// Why the store did not open, or did not keep something.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another messenger of this one, has it open.
    #[error("the message store is in use by another program")]
    InUse,
    /// The key does not open it: another password, or another profile.
    #[error("the message store does not open under this key")]
    WrongKey,
    /// It was made by another version of this program.
    #[error("the message store has format {0}, this program reads format 1")]
    Version(u32),
    /// It belongs to another account, device or cluster.
    #[error("the message store belongs to another account, device or cluster")]
    Foreign,
    /// What is in it does not make sense: the disk or a program damaged it.
    #[error("the message store is damaged: {0}")]
    Damaged(&'static str),
    /// The disk did not do it, or the file is damaged below what this program understands. What was
    /// to be written may or may not be there after a restart.
    #[error("the message store cannot be read or written")]
    Disk(#[source] Arc<dyn Error + Send + Sync>),
    /// It was closed.
    #[error("the message store is closed")]
    Closed,
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

impl StoreError {
    pub(crate) fn disk(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Disk(Arc::new(error))
    }
}

impl From<CipherError> for StoreError {
    fn from(error: CipherError) -> Self {
        match error {
            // The key was checked when the store was opened, so it is the value that is wrong.
            CipherError::Unopenable => Self::Damaged("a value does not open"),
            CipherError::Random => Self::Random,
        }
    }
}
