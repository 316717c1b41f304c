//! Sealing: one cipher for the account's secret and for every value on disk.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of an XChaCha20 nonce: long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;

/// A key of 32 bytes, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Why sealing or opening did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CipherError {
    /// Another key, another place, or changed bytes: the three look alike.
    #[error("it was sealed under another key, or changed")]
    Unopenable,
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

/// `nonce | XChaCha20-Poly1305(key, nonce, about, plain)`. `about` is authenticated and not kept:
/// what was sealed for one place does not open in another. Fails without randomness.
pub(crate) fn seal(key: &[u8; 32], about: &[u8], plain: &[u8]) -> Result<Vec<u8>, CipherError> {
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce)?;
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: about })
        .map_err(|_| CipherError::Unopenable)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What was sealed under `key` about `about`. Fails with [`CipherError::Unopenable`].
pub(crate) fn open(
    key: &[u8; 32],
    about: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let (nonce, sealed) =
        sealed.split_first_chunk::<NONCE_BYTES>().ok_or(CipherError::Unopenable)?;
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: about })
        .map(Zeroizing::new)
        .map_err(|_| CipherError::Unopenable)
}

/// A key for one purpose from a secret that is already uniform (HKDF-SHA256, RFC 5869).
pub(crate) fn subkey(secret: &[u8], label: &str) -> Key {
    let mut key = Key::default();
    Hkdf::<Sha256>::new(None, secret)
        .expand(label.as_bytes(), key.as_mut_slice())
        .expect("32 bytes are below HKDF's bound of 255 hashes");
    key
}

/// Fills `bytes` from the system. Fails without randomness.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), CipherError> {
    getrandom::fill(bytes).map_err(|_| CipherError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_only_whole_in_place_and_under_their_key() {
        let sealed = seal(&[1; 32], b"here", b"plain").unwrap();
        assert_eq!(open(&[1; 32], b"here", &sealed).unwrap().as_slice(), b"plain");
        assert_eq!(open(&[2; 32], b"here", &sealed), Err(CipherError::Unopenable));
        assert_eq!(open(&[1; 32], b"there", &sealed), Err(CipherError::Unopenable));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&[1; 32], b"here", &changed), Err(CipherError::Unopenable), "{at}");
            assert_eq!(open(&[1; 32], b"here", &sealed[..at]), Err(CipherError::Unopenable));
        }
    }

    #[test]
    fn the_same_plain_text_is_never_sealed_the_same_way() {
        assert_ne!(seal(&[1; 32], b"", b"x").unwrap(), seal(&[1; 32], b"", b"x").unwrap());
    }
}
