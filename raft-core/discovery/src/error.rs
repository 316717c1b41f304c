//! What can be wrong with a search before it starts, and with remembering its result.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a search was not set up, or its result not remembered. A search that finds nothing is not an
/// error: it returns no candidates.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// An address is not `host:port`. Correct the configuration.
    #[error("`{address}` is not an address of the form host:port: {reason}")]
    Address {
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A range of addresses to sweep cannot be used. Correct the configuration.
    #[error("`{range}` is not a range to sweep: {reason}")]
    Range {
        /// The range as it was given.
        range: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting is outside its bounds. Correct the configuration.
    #[error("{setting} {reason}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its bounds.
        reason: String,
    },
    /// The cache of addresses could not be written; the search itself is not affected.
    #[error("the address cache {} could not be written", path.display())]
    Cache {
        /// The file that was to be replaced; it is as it was.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}
