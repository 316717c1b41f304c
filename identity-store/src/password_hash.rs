//! Leaf: the hash of a password.

use std::fmt;

/// Characters of a bcrypt hash in modular crypt form: `$2b$12$`, 22 of salt, 31 of hash.
const LENGTH: usize = 60;

/// A bcrypt hash in modular crypt form. Never printed.
///
/// - `$2a$`, `$2b$` or `$2y$`, a cost from 04 to 31, `$`, and 53 characters of bcrypt's base 64.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Checks the shape; `None` when this is not a bcrypt hash.
    pub fn parse(text: &str) -> Option<PasswordHash> {
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|kind| text.strip_prefix(kind))?;
        let (cost, rest) = rest.split_once('$')?;
        let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        let cost_fits = digits && cost.parse().is_ok_and(|cost: u8| (4..=31).contains(&cost));
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
        let fits = text.len() == LENGTH && cost_fits && rest.bytes().all(base64);
        fits.then(|| PasswordHash(text.to_owned()))
    }

    /// The text, for verifying a password.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_in_modular_crypt_form_is_a_password_hash() {
        let salt_and_hash = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
        for kind in ["2a", "2b", "2y"] {
            assert!(PasswordHash::parse(&format!("${kind}$12${salt_and_hash}")).is_some());
        }
        let good = format!("$2b$12${salt_and_hash}");
        for bad in [
            String::new(),
            "hunter2".into(),
            format!("$2x$12${salt_and_hash}"),
            format!("$2b$03${salt_and_hash}"),
            format!("$2b$32${salt_and_hash}"),
            format!("$2b$+4${salt_and_hash}"),
            format!("$2b$012${}", &salt_and_hash[1..]),
            good.replace('N', "ñ"),
            good.replace('N', "$"),
            format!("{good}A"),
            good[..59].into(),
        ] {
            assert!(PasswordHash::parse(&bad).is_none(), "{bad}");
        }
        let printed = format!("{:?}", PasswordHash::parse(&good).unwrap());
        assert!(!printed.contains("N9qo"));
    }
}
