//! Registration: a key takes a name, for ever.

use crate::account::{Account, Device, Holder, Presence};
use crate::apply::context::Context;
use crate::apply::outcome::{Refusal, password_hash, refused, signed_for, stale_sequence};
use crate::directory::Directory;
use crate::reply::{Reason, Reply};
use prost::Message as _;
use telegraph_proto::account::{AccountId, DeviceId, PublicKey, Username};
use telegraph_proto::identity::{RegisterBody, SealedKeys, SignedStatement, StatementKind};
use telegraph_proto::statement;

/// What a believed registration says.
struct Registration {
    account_id: AccountId,
    username: Username,
    public_key: PublicKey,
    sealed_keys_hash: Vec<u8>,
}

/// Makes an account. Doing it again answers that it was done before, and leaves it as it is: the
/// proposer of a repetition need not know that the first attempt succeeded.
pub(super) fn register(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    statement: SignedStatement,
    hash: &str,
    device_id: DeviceId,
    sealed_keys: SealedKeys,
) -> Result<Reply, Refusal> {
    let password_hash = password_hash(hash)?;
    let believed = believe(&statement, context)?;
    signed_for(&believed.sealed_keys_hash, &sealed_keys)?;
    let account_id = believed.account_id;
    let holder_of_name = directory.look().id_of(&believed.username)?;
    let named = holder_of_name.map(|id| directory.look().holder(&id)).transpose()?.flatten();
    match named {
        Some(Holder::Retired(_)) => {
            return Err(refused(Reason::UsernameRetired, "the username is not given out again"));
        }
        Some(Holder::Living(other)) if other.account_id != account_id => {
            return Err(refused(Reason::UsernameTaken, "the username is taken"));
        }
        Some(Holder::Living(_)) => return Ok(Reply::Registered { account_id, repeated: true }),
        None => {}
    }
    if directory.look().holder(&account_id)?.is_some() {
        return Err(refused(Reason::KeyInUse, "the key belongs to another username"));
    }
    if statement.sequence == 0 {
        return Err(stale_sequence());
    }
    let now_unix_ms = context.now_unix_ms;
    directory.put_account(&Account {
        account_id,
        username: believed.username,
        public_key: believed.public_key,
        sequence: statement.sequence,
        register: statement,
        address: None,
        password_hash,
        credential_version: 1,
        sealed_keys,
        devices: vec![Device { device_id, name: String::new(), added_unix_ms: now_unix_ms }],
        active_device_id: None,
        presence: Presence::Offline,
        presence_version: 0,
        last_seen_unix_ms: 0,
        created_unix_ms: now_unix_ms,
    })?;
    Ok(Reply::Registered { account_id, repeated: false })
}

/// Believes a registration by the key that it names itself.
fn believe(statement: &SignedStatement, context: Context<'_>) -> Result<Registration, Refusal> {
    let bad = |detail| refused(Reason::BadStatement, detail);
    if statement.body.len() > statement::MAX_BODY {
        return Err(bad("the body is larger than 4,096 bytes"));
    }
    // Not believed yet: it only says which key to believe it by.
    let claimed = RegisterBody::decode(statement.body.as_slice())
        .map_err(|_| bad("the body does not decode"))?;
    let public_key = PublicKey::from_slice(&claimed.public_key)
        .map_err(|_| bad("the key is not an Ed25519 public key"))?;
    let kind = StatementKind::Register;
    let body: RegisterBody = statement::verify(statement, context.cluster_id, kind, &public_key)?;
    let username = Username::parse(&body.username).ok();
    // What was signed is shown to others as it is: it must be the name they ask for.
    let username = username.filter(|username| username.as_str() == body.username);
    let username = username.ok_or_else(|| bad("the username is not one, or not lower case"))?;
    let account_id = public_key.account_id();
    let sealed_keys_hash = body.sealed_keys_hash;
    Ok(Registration { account_id, username, public_key, sealed_keys_hash })
}
