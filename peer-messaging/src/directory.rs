//! Where somebody is: asked of whoever knows, believed only when signed.

use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use telegraph_proto::account::{AccountId, PublicKey, Username};

/// A person as a directory describes them.
///
/// - The owner of `public_key` signed that they are called `username` and are reached at
///   `addresses`: the directory has verified it.
/// - `account_id` is the hash of `public_key`; the messenger checks it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// Who it is.
    pub account_id: AccountId,
    /// What people call them.
    pub username: Username,
    /// What they prove in TLS.
    pub public_key: PublicKey,
    /// Where to try, in this order; at most 8 are used. Empty: not to be reached.
    pub addresses: Vec<SocketAddr>,
    /// The number of the statement that named the addresses; 0: none was ever made.
    pub address_sequence: u64,
    /// The directory's word, signed by nobody; nothing depends on it.
    pub online: bool,
}

/// Why nobody was found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// Nobody has that name or account, and the directory is sure of it.
    #[error("nobody is called that")]
    Unknown,
    /// The directory cannot say; later it may.
    #[error("the directory does not answer: {0}")]
    Unavailable(String),
}

/// Finds people. The messenger asks at first contact, and again when somebody is not where they
/// were.
///
/// An implementor returns only what the person signed themselves, verified; answers may be old, but
/// not invented. It limits the time of each question by itself.
pub trait Directory: Send + Sync + 'static {
    /// Who has this name, and where. Fails with [`DirectoryError::Unknown`] only when that is
    /// certain.
    fn lookup<'a>(
        &'a self,
        username: &'a Username,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>>;

    /// Who has this account: for messages from somebody never heard of. The name in the answer must
    /// lead back to the same account. Fails as [`Directory::lookup`] does.
    fn by_account<'a>(
        &'a self,
        account_id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>>;
}
