//! Why there is no key.

use crate::cipher::CipherError;

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The password or recovery code is another one, or the sealed key was changed: the two look
    /// alike.
    #[error("the account's key does not open: another password or recovery code, or changed bytes")]
    WrongKey,
    /// Not a sealed key of a version this program reads.
    #[error("not a sealed account key that this program can read")]
    Malformed,
    /// Text that is no recovery code; a typing error is noticed.
    #[error("not a recovery code: it has eight groups of four letters and digits")]
    RecoveryCode,
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

impl From<CipherError> for KeyError {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::Unopenable => Self::WrongKey,
            CipherError::Random => Self::Random,
        }
    }
}
