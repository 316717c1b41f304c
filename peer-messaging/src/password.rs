//! What a password becomes. The password itself stays in the room.

use crate::cipher::{Key, subkey};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256, Sha512};
use std::fmt;
use telegraph_proto::account::Username;
use zeroize::Zeroizing;

/// Memory of one derivation, in KiB: OWASP's first choice for Argon2id, 19 MiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes; one, so that the result does not depend on the machine.
const LANES: u32 = 1;

/// Three independent secrets from one password. None of them leads back to it or to another.
///
/// - Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct Derived {
    /// What managers are shown in the password's place: 64 hexadecimal digits, which bcrypt takes
    /// whole.
    pub auth: Zeroizing<String>,
    /// Seals the account's key for keeping by the managers.
    pub seal_key: Zeroizing<[u8; 32]>,
    /// Opens what lies on this machine.
    pub store_key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived(..)")
    }
}

/// Derives the secrets of `username` under `password`: Argon2id (RFC 9106) over SHA-512 of the
/// password, salted by the name, then HKDF-SHA256 (RFC 5869) once for each purpose.
///
/// Takes some 20 ms of one core and 19 MiB: not for an async thread. The same inputs give the same
/// secrets on every machine.
pub fn derive(password: &str, username: &Username) -> Derived {
    let salt = Sha256::new()
        .chain_update(b"telegraph/password-salt/v1\0")
        .chain_update(username.as_str())
        .finalize();
    // Argon2 refuses what is longer than 4 GiB; a hash of the password never is.
    let hashed = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(password.as_bytes())));
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32))
        .expect("19 MiB, two passes and one lane are within Argon2's bounds");
    let mut secret = Key::default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(hashed.as_slice(), &salt, secret.as_mut_slice())
        .expect("input, salt and output have lengths Argon2 takes, and 19 MiB can be had");
    let auth = subkey(secret.as_slice(), "telegraph/password/v1 auth");
    Derived {
        auth: Zeroizing::new(hex::encode(auth.as_slice())),
        seal_key: subkey(secret.as_slice(), "telegraph/password/v1 seal"),
        store_key: subkey(secret.as_slice(), "telegraph/password/v1 store"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_both_count_and_nothing_else_does() {
        let alice = Username::parse("alice").unwrap();
        let first = derive("correct horse", &alice);
        let again = derive("correct horse", &Username::parse("ALICE").unwrap());
        assert_eq!(first.auth, again.auth);
        assert_eq!(first.store_key, again.store_key);
        let other = derive("correct horse", &Username::parse("alicia").unwrap());
        assert_ne!(first.auth, other.auth);
        assert_ne!(first.seal_key, derive("correct horsf", &alice).seal_key);
    }

    #[test]
    fn the_derivation_is_pinned() {
        // A change here locks everybody out.
        let derived = derive("canary-password", &Username::parse("alice").unwrap());
        assert_eq!(derived.auth.len(), 64);
        assert_eq!(derived.auth.as_str(), PINNED_AUTH);
        assert_eq!(format!("{derived:?}"), "Derived(..)");
        assert_ne!(derived.seal_key, derived.store_key);
    }

    /// Computed once by this program; the inputs are in the test.
    const PINNED_AUTH: &str = "b5d0b80417da68c49f97c05d1ce5459240dbcf6d867b1578bfec5fa8d3ae76c3";
}
