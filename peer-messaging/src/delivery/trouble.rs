//! How a visit ends.

use crate::{link::LinkError, office::LookupError, store::error::StoreError};
use tonic::Status;

/// Why a courier has to come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Not reached at any address, or nobody knows one.
    #[error("not reached")]
    Unreachable(#[source] Option<LinkError>),
    /// A call failed.
    #[error("the call failed: {0}")]
    Call(Status),
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The other end asks for patience.
    #[error("the other side is busy")]
    Busy,
    /// The other end answers what makes no sense.
    #[error("the answer makes no sense")]
    Nonsense,
    /// The directory does not say.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Our own store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a visit ended without trouble.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Everything is told.
    Everything,
    /// A decision about a new key is awaited.
    Held,
}
