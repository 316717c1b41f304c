//! Password hashing: bcrypt off the async threads, with a bounded queue.
//!
//! What clients send for a password is itself derived with Argon2id, so that managers never see
//! what a person typed; but any program may speak REST, and whatever it sends is treated as the
//! password it might be.

use std::sync::Arc;
use telegraph_proto::rest::Secret;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Most bytes of a password. bcrypt reads 72 with its closing NUL, and silently ignores the rest;
/// we refuse instead.
pub(crate) const MAX_PASSWORD_BYTES: usize = 71;

/// Hashes that may wait beside those under way: at cost 12 a queue of 64 is some 15 seconds on one
/// core, longer than any client waits.
const MAX_WAITING: usize = 64;

/// What cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("the password is empty")]
    Empty,
    #[error("the password has {0} bytes; at most {MAX_PASSWORD_BYTES} are possible")]
    TooLong(usize),
    #[error("the password contains a NUL character")]
    Nul,
}

/// Why a password was neither hashed nor verified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("too many passwords are being checked")]
    Overloaded,
    #[error("bcrypt failed: {0}")]
    Bcrypt(#[from] bcrypt::BcryptError),
    #[error("the hashing thread failed")]
    Thread,
}

/// A password within bcrypt's bounds: 1 to 71 bytes, none of them NUL. Never printed, wiped after
/// use.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// Checks the bounds.
    pub(crate) fn parse(secret: Secret) -> Result<Self, PasswordError> {
        let text = Zeroizing::new(secret.0);
        match text.len() {
            0 => Err(PasswordError::Empty),
            bytes if bytes > MAX_PASSWORD_BYTES => Err(PasswordError::TooLong(bytes)),
            _ if text.contains('\0') => Err(PasswordError::Nul),
            _ => Ok(Self(text)),
        }
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, and here is a hash of the configured cost to replace the cheaper one.
    RightRehashed(String),
}

/// Hashes and verifies, as many at a time as the machine can spare.
///
/// - A check against no hash at all (an unknown user) costs what a check against a hash of the
///   configured cost does, and answers [`Verdict::Wrong`].
#[derive(Debug)]
pub(crate) struct Passwords {
    cost: u32,
    /// One permit per hash under way or waiting.
    admission: Arc<Semaphore>,
    /// How many that are in all.
    places: usize,
    /// One permit per hash under way.
    running: Arc<Semaphore>,
    decoy: Arc<str>,
}

impl Passwords {
    /// Makes the decoy hash, which takes as long as any; call it where blocking is allowed.
    ///
    /// `cost` is bcrypt's: 2^cost rounds; 4 to 31.
    pub(crate) fn new(cost: u32) -> Result<Self, bcrypt::BcryptError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // One core is left to consensus and requests, where there is more than one.
        let running = cores.saturating_sub(1).max(1);
        let decoy = bcrypt::non_truncating_hash("nobody's password", cost)?;
        let places = running + MAX_WAITING;
        Ok(Self {
            cost,
            admission: Arc::new(Semaphore::new(places)),
            places,
            running: Arc::new(Semaphore::new(running)),
            decoy: decoy.into(),
        })
    }

    /// The hash of a password, in modular crypt form.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, HashError> {
        let cost = self.cost;
        self.run(move || Ok(bcrypt::non_truncating_hash(password.0.as_bytes(), cost)?)).await
    }

    /// Whether a password is the one that was hashed; `None`: there is nobody whose it could be.
    pub(crate) async fn verify(
        &self,
        password: Password,
        hash: Option<&str>,
    ) -> Result<Verdict, HashError> {
        let known = hash.is_some();
        let hash = hash.map_or_else(|| Arc::clone(&self.decoy), Arc::from);
        let cost = self.cost;
        self.run(move || {
            let same = bcrypt::non_truncating_verify(password.0.as_bytes(), &hash)?;
            if !(same && known) {
                return Ok(Verdict::Wrong);
            }
            let cheaper = cost_of(&hash).is_some_and(|of_hash| of_hash < cost);
            if !cheaper {
                return Ok(Verdict::Right);
            }
            let better = bcrypt::non_truncating_hash(password.0.as_bytes(), cost)?;
            Ok(Verdict::RightRehashed(better))
        })
        .await
    }

    /// Hashes under way or waiting.
    pub(crate) fn queued(&self) -> usize {
        self.places.saturating_sub(self.admission.available_permits())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let admitted = Arc::clone(&self.admission).try_acquire_owned();
        let admitted = admitted.map_err(|_| HashError::Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|_| HashError::Overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the request: a client that hangs up frees no core.
            let _permits = (admitted, running);
            work()
        });
        done.await.map_err(|_| HashError::Thread)?
    }
}

/// The cost written in a hash in modular crypt form.
fn cost_of(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn password(text: &str) -> Password {
        Password::parse(Secret(text.into())).unwrap()
    }

    #[test]
    fn passwords_are_bounded_in_bytes_and_hold_no_nul() {
        assert!(Password::parse(Secret("x".repeat(71))).is_ok());
        let refused = |text: String| Password::parse(Secret(text)).unwrap_err();
        assert_eq!(refused("x".repeat(72)), PasswordError::TooLong(72));
        // 36 letters, 72 bytes.
        assert_eq!(refused("ñ".repeat(36)), PasswordError::TooLong(72));
        assert!(Password::parse(Secret("ñ".repeat(35))).is_ok());
        assert_eq!(refused("a\0b".into()), PasswordError::Nul);
        assert_eq!(refused(String::new()), PasswordError::Empty);
        assert_eq!(format!("{:?}", password("hunter2")), "Password(…)");
    }

    #[tokio::test]
    async fn the_last_of_71_bytes_counts() {
        let passwords = Passwords::new(4).unwrap();
        let long = "x".repeat(70);
        let hash = passwords.hash(password(&format!("{long}a"))).await.unwrap();
        let right = passwords.verify(password(&format!("{long}a")), Some(&hash)).await.unwrap();
        let wrong = passwords.verify(password(&format!("{long}b")), Some(&hash)).await.unwrap();
        assert_eq!((right, wrong), (Verdict::Right, Verdict::Wrong));
    }

    #[tokio::test]
    async fn a_cheaper_hash_is_replaced_when_the_password_was_right() {
        let cheap = Passwords::new(4).unwrap().hash(password("hunter2")).await.unwrap();
        let dearer = Passwords::new(5).unwrap();
        let verdict = dearer.verify(password("hunter2"), Some(&cheap)).await.unwrap();
        let Verdict::RightRehashed(better) = verdict else { panic!("{verdict:?}") };
        assert_eq!(cost_of(&better), Some(5));
        let verdict = dearer.verify(password("hunter2"), Some(&better)).await.unwrap();
        assert_eq!(verdict, Verdict::Right);
        let verdict = dearer.verify(password("hunter3"), Some(&cheap)).await.unwrap();
        assert_eq!(verdict, Verdict::Wrong);
    }

    #[tokio::test]
    async fn nobodys_password_is_wrong_and_costs_as_much() {
        let passwords = Passwords::new(9).unwrap();
        let hash = passwords.hash(password("hunter2")).await.unwrap();
        // The least of several: a busy machine only ever adds time, and then takes more of them.
        let mut least = [f64::INFINITY; 2];
        let alike = |least: [f64; 2]| (0.5..2.0).contains(&(least[0] / least[1]));
        for round in 0..100 {
            for (least, hash) in least.iter_mut().zip([Some(hash.as_str()), None]) {
                let begun = Instant::now();
                let verdict = passwords.verify(password("nobody's password"), hash).await.unwrap();
                assert_eq!(verdict, Verdict::Wrong);
                *least = least.min(begun.elapsed().as_secs_f64());
            }
            if round >= 4 && alike(least) {
                break;
            }
        }
        let [known, unknown] = least;
        assert!(alike(least), "{known} against {unknown}");
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let passwords = Passwords::new(4).unwrap();
        let all = passwords.admission.available_permits();
        let _held = Arc::clone(&passwords.admission).acquire_many_owned(all as u32).await.unwrap();
        let refused = passwords.hash(password("hunter2")).await;
        assert!(matches!(refused, Err(HashError::Overloaded)), "{refused:?}");
        assert_eq!(passwords.queued(), all);
    }
}
