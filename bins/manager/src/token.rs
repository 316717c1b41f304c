//! Session tokens: what a client shows, and the only thing managers keep of it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use telegraph_proto::rest::Secret;

/// Ahead of every token, so that scanners for leaked secrets recognise one.
const PREFIX: &str = "tg_";

/// SHA-256 of a token's 32 bytes. Tokens are found by it, so that no comparison takes longer the
/// more of a guess is right.
pub(crate) type TokenHash = [u8; 32];

/// The randomness of the system failed; nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no random bytes: {0}")]
pub(crate) struct NoRandomness(#[from] getrandom::Error);

/// Makes a token of 256 random bits, with its hash.
pub(crate) fn generate() -> Result<(Secret, TokenHash), NoRandomness> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    Ok((Secret(text), Sha256::digest(bytes).into()))
}

/// The hash of what was shown as a token; `None` when it cannot be one.
pub(crate) fn hash(shown: &str) -> Option<TokenHash> {
    let encoded = shown.strip_prefix(PREFIX)?;
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(encoded).ok()?.try_into().ok()?;
    Some(Sha256::digest(bytes).into())
}

/// 16 random bytes, for names of sessions.
pub(crate) fn random_id() -> Result<[u8; 16], NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_again_by_its_hash() {
        let (token, kept) = generate().unwrap();
        assert_eq!(token.0.len(), 46);
        assert_eq!(hash(&token.0), Some(kept));
        assert_ne!(generate().unwrap().1, kept);
    }

    #[test]
    fn what_cannot_be_a_token_has_no_hash() {
        let (token, _) = generate().unwrap();
        let longer = format!("{}A", token.0);
        for bad in ["", "tg_", "tg_!", &token.0[3..], &token.0[..45], &longer, "Tg_AAAA"] {
            assert_eq!(hash(bad), None, "{bad:?}");
        }
    }
}
