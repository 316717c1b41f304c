//! The first thing that went wrong for good.

use std::error::Error;
use std::sync::{Arc, OnceLock};

/// Why a node cannot go on; kept where openraft would keep only a text.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;

/// Where the parts of a node leave the reason of its end; the first one stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault(Arc<OnceLock<Cause>>);

impl Fault {
    /// Leaves a reason, unless there is one.
    pub(crate) fn record(&self, cause: Cause) {
        let _ = self.0.set(cause);
    }

    /// The reason, if there is one.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.0.get().cloned()
    }
}
