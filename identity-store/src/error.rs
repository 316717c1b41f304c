//! Leaf: what can go wrong below the rules. What the rules refuse is a reply, never one of these.

use std::io;
use std::path::PathBuf;

/// Why accounts can be neither read nor changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another store of this one, has the directory. Stop that one first.
    #[error("the accounts in {} are open already", .0.display())]
    InUse(PathBuf),
    /// The directory cannot be made, locked, or cleared.
    #[error("the directory of the accounts: {0}")]
    Directory(#[source] io::Error),
    /// The view cannot be read or written. It is set aside and rebuilt at the next start.
    #[error("the view of the accounts: {0}")]
    View(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The view contradicts itself. It is set aside and rebuilt at the next start.
    #[error("the view of the accounts is damaged: {0}")]
    Damaged(&'static str),
    /// An image that is not believed; the state is what it was before.
    #[error("the image of the accounts is refused: {0}")]
    Image(#[from] ImageError),
    /// A command of a later version of this program. Going on without it would make this replica
    /// different from those that understand it: upgrade.
    #[error("a command has format {found}; this program reads formats up to {known}")]
    NewerCommand {
        /// The command's format.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// Another image was begun before this one was written.
    #[error("another image of the accounts was begun meanwhile")]
    Overtaken,
    /// The store was closed; its readers read nothing any more.
    #[error("the accounts are closed")]
    Closed,
}

impl StoreError {
    /// True when the view itself is to blame, and the next start should rebuild it.
    pub(crate) fn blames_the_view(&self) -> bool {
        matches!(self, StoreError::View(_) | StoreError::Damaged(_))
    }
}

/// Why an image of the accounts is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read or written; an image that ends too early is one of these.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not an image, or not a whole one.
    #[error("{0}")]
    Malformed(&'static str),
    /// It was made by a later version of this program.
    #[error("it has format {found}; this program reads format {known}")]
    NewerFormat {
        /// The image's format.
        found: u32,
        /// The one known here.
        known: u32,
    },
    /// It holds the accounts of another cluster.
    #[error("it belongs to another cluster")]
    OtherCluster,
    /// Its contents are not those it was closed with.
    #[error("its checksum does not match")]
    Checksum,
}
