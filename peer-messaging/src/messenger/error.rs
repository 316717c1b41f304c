//! Why a messenger did not do what it was asked.

use crate::{envelope::MAX_TEXT_BYTES, store::error::StoreError};

/// Why a messenger did not start or did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessengerError {
    /// A setting cannot work.
    #[error("{0}")]
    Config(String),
    /// The address to listen at cannot be had.
    #[error("cannot listen at {address}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The account's key does not serve for TLS: a fault of this program.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// No message has that id.
    #[error("there is no such message")]
    UnknownMessage,
    /// Nobody of that name has written or been written to.
    #[error("{0} is not known here")]
    UnknownContact(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message was not taken. Nothing was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// There is nothing in it.
    #[error("a message needs some text")]
    Empty,
    /// It is longer than a message may be.
    #[error("a message has at most {MAX_TEXT_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// To oneself.
    #[error("a message to yourself goes nowhere")]
    ToYourself,
    /// Nobody has that name, and the directory is sure of it.
    #[error("nobody here is called {0}")]
    UnknownUser(String),
    /// The person was never met, and the directory cannot say who it is.
    #[error("it cannot be found out who that is: {0}")]
    DirectoryUnavailable(String),
    /// Too many messages wait already.
    #[error("{waiting} messages wait already, no more are taken")]
    OutboxFull {
        /// For this person, or in all.
        waiting: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
