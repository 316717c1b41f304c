//! What a node signs with: an Ed25519 key, made with its data directory and registered in the
//! membership, so that its answers can be told from others' later.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use crate::error::StartError;
use crate::identity::lines::{garbled, read_lines, write_lines};
use crate::random::RandomSource;

/// A node's signing key.
#[derive(Debug)]
pub(crate) struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads the key, or makes one where there is none.
    pub(crate) fn open(path: &Path, random: &dyn RandomSource) -> Result<SigningKey, StartError> {
        let seed = match read_lines(path)? {
            Some(lines) => parse(&lines).ok_or_else(|| garbled(path))?,
            None => {
                let mut seed = [0; 32];
                random
                    .fill(&mut seed)
                    .and_then(|()| write_lines(path, &[format!("ed25519 {}", hex::encode(seed))]))
                    .map_err(|source| StartError::Io { path: path.to_owned(), source })?;
                seed
            }
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| garbled(path))?;
        Ok(SigningKey(pair))
    }

    /// What is registered of it.
    pub(crate) fn public(&self) -> Option<[u8; 32]> {
        self.0.public_key().as_ref().try_into().ok()
    }
}

fn parse(lines: &[String]) -> Option<[u8; 32]> {
    let [line] = lines else { return None };
    hex::decode(line.strip_prefix("ed25519 ")?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::random::SystemRandom;

    /// The seed 0 to 31, and its public key by RFC 8032.
    const KEY: &str = "ed25519 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\
                       crc32c d0921cea\n";
    const PUBLIC: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

    #[derive(Debug)]
    struct Counting;

    impl RandomSource for Counting {
        fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
            (0..).zip(bytes).for_each(|(number, byte)| *byte = number);
            Ok(())
        }
    }

    #[test]
    fn a_change_of_how_a_key_is_kept_loses_every_key_made_so_far() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("signing-key");
        let made = SigningKey::open(&path, &Counting).unwrap();
        assert_eq!(hex::encode(made.public().unwrap()), PUBLIC);
        assert_eq!(fs::read_to_string(&path).unwrap(), KEY);
        let read = SigningKey::open(&path, &SystemRandom).unwrap();
        assert_eq!(read.public(), made.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
