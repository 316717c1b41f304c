//! Statements people sign about their own account, and the only code that believes them.

use crate::account::{AccountId, PublicKey};
use crate::identity::{SealedKeys, SignedStatement, StatementKind};
use ed25519_dalek::{Signature, Signer, SigningKey};
use prost::Message;
use sha2::{Digest as _, Sha256};

/// Ahead of every signed byte, so that a signature made here means nothing anywhere else.
const DOMAIN: &[u8] = b"telegraph/statement/v1\0";

/// Ahead of the hashed bytes of sealed keys, so that the hash means nothing anywhere else.
const SEALED_KEYS_DOMAIN: &[u8] = b"telegraph/sealed-keys/v1\0";

/// Most bytes of a statement's body: the longest one, of eight addresses, fits nine times.
pub const MAX_BODY: usize = 4096;

/// Bytes of a cluster id.
pub const CLUSTER_ID_BYTES: usize = 16;

/// Why a statement is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// A part has the wrong size or is missing.
    #[error("statement is malformed: {0}")]
    Malformed(&'static str),
    /// Signed for another cluster.
    #[error("statement was signed for another cluster")]
    WrongCluster,
    /// Signed as another kind of statement.
    #[error("statement is of kind {found}, expected {expected}")]
    WrongKind {
        /// What the receiver asked for.
        expected: i32,
        /// What arrived.
        found: i32,
    },
    /// Names an account that is not the key's.
    #[error("statement names an account that is not the key's")]
    WrongAccount,
    /// The signature does not verify, strictly (RFC 8032 with the small-order checks).
    #[error("signature does not verify")]
    BadSignature,
}

/// Signs `body` for `cluster_id` as the owner of `key`.
///
/// `sequence` must be above every number this account has used.
pub fn sign<B: Message>(
    key: &SigningKey,
    cluster_id: [u8; CLUSTER_ID_BYTES],
    kind: StatementKind,
    sequence: u64,
    body: &B,
) -> SignedStatement {
    let account_id = PublicKey::from(key.verifying_key()).account_id();
    let mut statement = SignedStatement {
        cluster_id: cluster_id.to_vec(),
        kind: kind.into(),
        account_id: account_id.as_bytes().to_vec(),
        sequence,
        body: body.encode_to_vec(),
        signature: Vec::new(),
    };
    statement.signature = key.sign(&signed_bytes(&statement)).to_bytes().to_vec();
    statement
}

/// Believes a statement of `kind` by the owner of `key` for `cluster_id`, and returns its body.
///
/// Whether its sequence is new is for the caller to judge. Fails with the first check that does not
/// hold; nothing of the body is returned then.
pub fn verify<B: Message + Default>(
    statement: &SignedStatement,
    cluster_id: &[u8],
    kind: StatementKind,
    key: &PublicKey,
) -> Result<B, StatementError> {
    let malformed = StatementError::Malformed;
    if statement.kind != i32::from(kind) {
        let (expected, found) = (kind.into(), statement.kind);
        return Err(StatementError::WrongKind { expected, found });
    }
    if cluster_id.len() != CLUSTER_ID_BYTES || statement.cluster_id.len() != CLUSTER_ID_BYTES {
        return Err(malformed("a cluster id has 16 bytes"));
    }
    if statement.cluster_id != cluster_id {
        return Err(StatementError::WrongCluster);
    }
    if statement.body.len() > MAX_BODY {
        return Err(malformed("the body is larger than 4,096 bytes"));
    }
    let account = AccountId::from_slice(&statement.account_id)
        .map_err(|_| malformed("an account id has 32 bytes"))?;
    if account != key.account_id() {
        return Err(StatementError::WrongAccount);
    }
    let signature = Signature::from_slice(&statement.signature)
        .map_err(|_| malformed("a signature has 64 bytes"))?;
    key.verifying_key()
        .verify_strict(&signed_bytes(statement), &signature)
        .map_err(|_| StatementError::BadSignature)?;
    B::decode(statement.body.as_slice()).map_err(|_| malformed("the body does not decode"))
}

/// What a statement says about sealed keys: enough to tell whether others were put in their place,
/// and of no use to somebody who wants to guess the password. The layout is part of the format
/// (`identity.proto`, `SealedKeys`).
///
/// Each sealed key has 24 random bytes in it, its nonce: the hash alone confirms no guess.
pub fn sealed_keys_hash(keys: &SealedKeys) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(SEALED_KEYS_DOMAIN);
    for sealed in [&keys.by_password, &keys.by_recovery_code] {
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        hash.update(length.to_be_bytes());
        hash.update(sealed);
    }
    hash.finalize().into()
}

/// The bytes under the signature; the layout is part of the format (`identity.proto`).
fn signed_bytes(statement: &SignedStatement) -> Vec<u8> {
    let kind = u8::try_from(statement.kind).unwrap_or(0);
    let length = u32::try_from(statement.body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(DOMAIN.len() + 61 + statement.body.len());
    bytes.extend_from_slice(DOMAIN);
    bytes.extend_from_slice(&statement.cluster_id);
    bytes.push(kind);
    bytes.extend_from_slice(&statement.account_id);
    bytes.extend_from_slice(&statement.sequence.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&statement.body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{AddressBody, DeleteBody};

    const CLUSTER: [u8; 16] = [3; 16];

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> PublicKey {
        PublicKey::from(key(seed).verifying_key())
    }

    fn address() -> SignedStatement {
        let body = AddressBody {
            addresses: vec!["127.0.0.1:9000".into()],
            device_id: vec![5; 16],
            issued_unix_ms: 7,
        };
        sign(&key(1), CLUSTER, StatementKind::Address, 42, &body)
    }

    fn check(statement: &SignedStatement) -> Result<AddressBody, StatementError> {
        verify(statement, &CLUSTER, StatementKind::Address, &public(1))
    }

    #[test]
    fn a_signed_statement_is_believed_with_its_body() {
        assert_eq!(check(&address()).unwrap().addresses, ["127.0.0.1:9000"]);
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let good = address().encode_to_vec();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            if let Ok(changed) = SignedStatement::decode(bytes.as_slice()) {
                assert!(check(&changed).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn another_kind_cluster_or_key_is_refused() {
        let good = address();
        let deleted: Result<DeleteBody, _> =
            verify(&good, &CLUSTER, StatementKind::Delete, &public(1));
        assert!(matches!(deleted, Err(StatementError::WrongKind { .. })));
        let foreign: Result<AddressBody, _> =
            verify(&good, &[4; 16], StatementKind::Address, &public(1));
        assert_eq!(foreign, Err(StatementError::WrongCluster));
        let other: Result<AddressBody, _> =
            verify(&good, &CLUSTER, StatementKind::Address, &public(2));
        assert_eq!(other, Err(StatementError::WrongAccount));
    }

    fn sealed(by_password: &[u8], by_recovery_code: &[u8]) -> SealedKeys {
        let (by_password, by_recovery_code) = (by_password.to_vec(), by_recovery_code.to_vec());
        SealedKeys { by_password, by_recovery_code }
    }

    #[test]
    fn the_hash_of_sealed_keys_is_pinned() {
        // A change here makes every registration and password change ever signed unbelievable.
        for (keys, expected) in [
            (
                sealed(&[1, 2, 3], &[4, 5]),
                "028346d21cdb2e0c97eb0c75681d9c7fa3b549f0b66925311c1d17a2f74103ca",
            ),
            (
                sealed(&[1; 60], &[2; 60]),
                "fbb400c868305b6f40f18fd97fff29acbbc5efa6680cd62c269f8ea65c22c0ae",
            ),
            (
                SealedKeys::default(),
                "7acc4cecb8147d83fd8b49d04834d9692b036fa4946244156aa9e61f98674cb7",
            ),
        ] {
            assert_eq!(hex::encode(sealed_keys_hash(&keys)), expected);
        }
    }

    #[test]
    fn sealed_keys_that_differ_anywhere_have_other_hashes() {
        let hash = sealed_keys_hash(&sealed(&[1, 2, 3], &[4, 5]));
        for other in [
            sealed(&[1, 2], &[3, 4, 5]),
            sealed(&[4, 5], &[1, 2, 3]),
            sealed(&[1, 2, 3, 4, 5], &[]),
            sealed(&[1, 2, 3, 0], &[4, 5]),
            sealed(&[1, 2, 2], &[4, 5]),
            sealed(&[1, 2, 3], &[4, 4]),
        ] {
            assert_ne!(sealed_keys_hash(&other), hash, "{other:?}");
        }
    }

    #[test]
    fn the_signed_layout_is_pinned() {
        // A change here breaks every signature ever made.
        let bytes = signed_bytes(&address());
        assert_eq!(&bytes[..23], b"telegraph/statement/v1\0");
        assert_eq!(bytes[23..39], CLUSTER);
        assert_eq!(bytes[39], 2);
        assert_eq!(bytes[40..72], *public(1).account_id().as_bytes());
        assert_eq!(bytes[72..80], 42u64.to_be_bytes());
        assert_eq!(bytes[80..84], (address().body.len() as u32).to_be_bytes());
        assert_eq!(bytes[84..], address().body);
    }
}
