//! The person's password: from the terminal or a file, never from an argument.

use std::{fmt, fs::File, io::Read, path::Path};
use zeroize::Zeroizing;

/// Fewest bytes of a new password.
pub const MIN_PASSWORD_BYTES: usize = 8;
/// Most bytes of a password: far above any phrase, far below a mistaken file.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// A password, wiped from memory when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// No file was named and there is no terminal to ask.
    #[error(
        "no terminal to ask for the password: use --password-file FILE or TELEGRAPH_PASSWORD_FILE"
    )]
    NoTerminal(#[source] std::io::Error),
    /// The file cannot be read.
    #[error("the password file cannot be read")]
    File(#[source] std::io::Error),
    /// Empty, too long or not text.
    #[error(
        "a password is text of 1 to {MAX_PASSWORD_BYTES} bytes (a new one: at least \
         {MIN_PASSWORD_BYTES}), without a NUL"
    )]
    Unfit,
    /// Typed twice, differently.
    #[error("the two passwords differ")]
    Mismatch,
}

impl Password {
    /// Takes a password. Fails with [`PasswordError::Unfit`] on an empty one, one above
    /// [`MAX_PASSWORD_BYTES`] bytes or one with a NUL.
    pub fn new(text: &str) -> Result<Self, PasswordError> {
        let fits = (1..=MAX_PASSWORD_BYTES).contains(&text.len()) && !text.contains('\0');
        if fits { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(PasswordError::Unfit) }
    }

    /// Reads a file; one line break at its end is not part of the password.
    pub fn from_file(path: &Path) -> Result<Self, PasswordError> {
        let mut text = Zeroizing::new(String::new());
        let file = File::open(path).map_err(PasswordError::File)?;
        // Two more than allowed: a line break, and one byte by which a longer file is noticed.
        let limit = MAX_PASSWORD_BYTES as u64 + 3;
        file.take(limit).read_to_string(&mut text).map_err(PasswordError::File)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Self::new(line.strip_suffix('\r').unwrap_or(line))
    }

    /// Asks on the terminal, without echo.
    pub fn prompt(label: &str) -> Result<Self, PasswordError> {
        let typed = rpassword::prompt_password(label).map_err(PasswordError::NoTerminal)?;
        Self::new(&Zeroizing::new(typed))
    }

    /// Asks twice and refuses two different answers.
    pub fn prompt_new(label: &str) -> Result<Self, PasswordError> {
        let first = Self::prompt(label)?;
        let second = Self::prompt("The same again: ")?;
        if first == second { Ok(first) } else { Err(PasswordError::Mismatch) }
    }

    /// Refuses what is too short for a new password.
    pub fn check_new(&self) -> Result<(), PasswordError> {
        if self.0.len() < MIN_PASSWORD_BYTES { Err(PasswordError::Unfit) } else { Ok(()) }
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(bytes: &[u8]) -> Result<Password, PasswordError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, bytes).unwrap();
        Password::from_file(&path)
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_not_part_of_the_password() {
        assert_eq!(from(b"correct horse\n").unwrap().expose(), "correct horse");
        assert_eq!(from(b"correct horse\r\n").unwrap().expose(), "correct horse");
        assert_eq!(from(b"correct horse\n\n").unwrap().expose(), "correct horse\n");
        assert_eq!(from(b" spaces ").unwrap().expose(), " spaces ");
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        assert!(matches!(from(b""), Err(PasswordError::Unfit)));
        assert!(matches!(from(b"\n"), Err(PasswordError::Unfit)));
        assert!(matches!(from(b"a\0b"), Err(PasswordError::Unfit)));
        assert!(matches!(from(&[0xff, 0xfe]), Err(PasswordError::File(_))));
        assert!(matches!(from(&[b'a'; MAX_PASSWORD_BYTES + 1]), Err(PasswordError::Unfit)));
        assert!(from(&[b'a'; MAX_PASSWORD_BYTES]).is_ok());
        assert!(Password::new("short").unwrap().check_new().is_err());
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", Password::new("correct horse").unwrap()).contains("horse"));
    }
}
