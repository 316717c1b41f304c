//! The recovery code: the way back to an account whose password is forgotten.

use crate::{
    cipher::{self, Key},
    key::error::KeyError,
};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Crockford's base 32: no letter that looks like a digit, and no U.
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J',
    'K', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
];
/// Characters of a code: 128 bits of secret and 32 bits of checksum, five bits each.
const SYMBOLS: usize = 32;
/// Characters between two dashes.
const GROUP: usize = 4;

/// 128 random bits on paper, as eight groups of four characters. What is printed is this and a
/// checksum of 32 bits, so that a typing error is told from a wrong code.
///
/// - Wiped from memory when dropped; shown by `Display` alone, never by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode([u8; 16]);

impl RecoveryCode {
    /// A new code. Fails with [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = [0; 16];
        cipher::random(&mut secret)?;
        Ok(Self(secret))
    }

    /// Reads a code as people type it: in either case, with or without dashes and spaces, with O
    /// for 0 and I or L for 1. Fails with [`KeyError::RecoveryCode`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut bits: u128 = 0;
        let mut check: u32 = 0;
        let mut count = 0;
        for typed in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let symbol = symbol(typed).ok_or(KeyError::RecoveryCode)?;
            let value = u128::from(symbol);
            // Bits that leave the upper end of the checksum enter the secret at its lower end.
            bits = (bits << 5) | u128::from(check >> 27);
            check = (check << 5) | u32::try_from(value).unwrap_or(0);
            count += 1;
            if count > SYMBOLS {
                return Err(KeyError::RecoveryCode);
            }
        }
        let code = Self(bits.to_be_bytes());
        if count == SYMBOLS && check == code.checksum() {
            Ok(code)
        } else {
            Err(KeyError::RecoveryCode)
        }
    }

    /// The key that seals the account's key.
    pub(crate) fn seal_key(&self) -> Key {
        cipher::subkey(&self.0, "telegraph/recovery-code/v1 seal")
    }

    fn checksum(&self) -> u32 {
        let hash =
            Sha256::new().chain_update(b"telegraph/recovery-code/v1 check").chain_update(self.0);
        let hash: [u8; 32] = hash.finalize().into();
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }
}

fn symbol(typed: char) -> Option<u8> {
    let folded = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let at = ALPHABET.iter().position(|letter| *letter == folded)?;
    u8::try_from(at).ok()
}

impl fmt::Display for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = u128::from_be_bytes(self.0);
        let mut check = self.checksum();
        for at in 0..SYMBOLS {
            if at > 0 && at % GROUP == 0 {
                f.write_str("-")?;
            }
            let symbol = usize::try_from(bits >> 123).unwrap_or(0) % ALPHABET.len();
            write!(f, "{}", ALPHABET[symbol])?;
            bits = (bits << 5) | u128::from(check >> 27);
            check <<= 5;
        }
        Ok(())
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

impl FromStr for RecoveryCode {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_paper() {
        for _ in 0..50 {
            let code = RecoveryCode::generate().unwrap();
            let text = code.to_string();
            assert_eq!(text.len(), 39, "{text}");
            assert_eq!(RecoveryCode::parse(&text).unwrap().0, code.0);
            let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            assert_eq!(RecoveryCode::parse(&typed).unwrap().0, code.0);
        }
    }

    #[test]
    fn the_printed_form_is_pinned() {
        // A change here locks people out.
        let code = RecoveryCode(*b"0123456789abcdef");
        assert_eq!(code.to_string(), "60RK-4CSM-6MV3-EE1S-C5H6-6S35-CRZY-NTZW");
    }

    #[test]
    fn a_typing_error_is_noticed() {
        let text = RecoveryCode::generate().unwrap().to_string();
        for (at, was) in text.char_indices().filter(|(_, c)| *c != '-') {
            let other = if was == 'Z' { "Y" } else { "Z" };
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, other);
            assert_eq!(RecoveryCode::parse(&wrong).unwrap_err(), KeyError::RecoveryCode);
        }
        for bad in ["", "U", "ñ", "0000", &text[1..], &format!("{text}0"), &"0".repeat(9999)] {
            assert_eq!(RecoveryCode::parse(bad).unwrap_err(), KeyError::RecoveryCode, "{bad}");
        }
    }
}
