//! Between what travels and what is kept, in both directions.

use super::extract::parse;
use super::problem::{Failure, Kind};
use crate::api::accounts::{PasswordChange, Registration};
use crate::api::addresses::Address;
use crate::api::caller::Caller;
use crate::api::sessions::{Begun, Login};
use crate::clock;
use crate::passwords::Password;
use identity_store::{Account, IdentityReader, MAX_DEVICE_NAME, Session};
use std::net::{IpAddr, SocketAddr};
use telegraph_proto::account::{DeviceId, PublicKey};
use telegraph_proto::identity::{SealedKeys, SignedStatement};
use telegraph_proto::rest::{self, Base64, Secret};

/// A registration as it was asked for.
pub(super) fn registration(request: rest::RegisterRequest) -> Result<Registration, Failure> {
    let public_key = PublicKey::from_slice(&request.public_key.0)
        .map_err(|error| Failure::new(Kind::Malformed, format!("public_key: {error}")))?;
    Ok(Registration {
        username: parse("username", &request.username)?,
        password: password("password", request.password)?,
        public_key,
        sealed_keys: sealed_keys(request.sealed_by_password, request.sealed_by_recovery_code),
        statement: statement("statement", &request.statement)?,
        device_id: parse("device_id", &request.device_id)?,
    })
}

fn sealed_keys(by_password: Base64, by_recovery_code: Base64) -> SealedKeys {
    SealedKeys { by_password: by_password.0, by_recovery_code: by_recovery_code.0 }
}

/// A login as it was asked for.
pub(super) fn login(request: rest::LoginRequest, from: IpAddr) -> Result<Login, Failure> {
    let address = match (&request.ip, request.port, &request.address_statement) {
        (None, None, None) => None,
        (Some(ip), Some(port), Some(text)) => Some(address(ip, port, text)?),
        _ => {
            let detail = "ip, port and address_statement are given together, or none of them";
            return Err(Failure::new(Kind::Malformed, detail));
        }
    };
    Ok(Login {
        username: parse("username", &request.username)?,
        password: password("password", request.password)?,
        device_id: parse::<DeviceId>("device_id", &request.device_id)?,
        device_name: device_name(request.device_name)?,
        address,
        from,
    })
}

fn device_name(name: String) -> Result<String, Failure> {
    if name.len() > MAX_DEVICE_NAME || name.chars().any(char::is_control) {
        let detail = format!("device_name: at most {MAX_DEVICE_NAME} bytes, nothing unprintable");
        return Err(Failure::new(Kind::Malformed, detail));
    }
    Ok(name)
}

/// An address and the statement that is to name it.
pub(super) fn address(ip: &str, port: u16, text: &Base64) -> Result<Address, Failure> {
    let ip: IpAddr = parse("ip", ip)?;
    if port == 0 || ip.is_unspecified() || ip.is_multicast() {
        let detail = "an address names one host and a port above 0";
        return Err(Failure::new(Kind::Malformed, detail));
    }
    let statement = statement("address_statement", text)?;
    Ok(Address { address: SocketAddr::new(ip, port), statement })
}

/// A password change as it was asked for.
pub(super) fn password_change(request: rest::PasswordRequest) -> Result<PasswordChange, Failure> {
    Ok(PasswordChange {
        old: password("old_password", request.old_password)?,
        new: password("new_password", request.new_password)?,
        sealed_keys: sealed_keys(request.sealed_by_password, request.sealed_by_recovery_code),
        statement: statement("statement", &request.statement)?,
    })
}

/// A password within its bounds.
pub(super) fn password(what: &str, secret: Secret) -> Result<Password, Failure> {
    Password::parse(secret)
        .map_err(|error| Failure::new(Kind::Malformed, format!("{what}: {error}")))
}

/// A statement, believed by nobody yet.
pub(super) fn statement(what: &str, text: &Base64) -> Result<SignedStatement, Failure> {
    text.to_statement().ok_or_else(|| {
        Failure::new(Kind::BadStatement, format!("{what}: the bytes are not a signed statement"))
    })
}

/// 16 bytes of a session's name.
pub(super) fn session_id(text: &str) -> Result<[u8; 16], Failure> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Failure::new(Kind::Malformed, "a session id has 32 hexadecimal digits"))
}

/// What everybody sees of an account.
pub(super) fn peer(account: &Account, reader: &IdentityReader) -> rest::Peer {
    let position = reader.position();
    let first = account.addresses().into_iter().next();
    rest::Peer {
        username: account.username.to_string(),
        account_id: account.account_id.to_string(),
        public_key: Base64(account.public_key.as_bytes().to_vec()),
        register_statement: Base64::statement(&account.register),
        ip: first.map(|address| address.ip().to_string()),
        port: first.map(|address| address.port()),
        address_statement: account.address.as_ref().map(Base64::statement),
        status: match account.is_online() {
            true => rest::Status::Online,
            false => rest::Status::Offline,
        },
        last_seen: match account.last_seen_unix_ms {
            0 => None,
            seen => Some(clock::rfc3339(seen)),
        },
        term: position.term,
        index: position.index,
    }
}

/// What only the owner sees.
pub(super) fn own_account(account: &Account, reader: &IdentityReader) -> rest::OwnAccount {
    rest::OwnAccount {
        public: peer(account, reader),
        sealed_by_password: Base64(account.sealed_keys.by_password.clone()),
        sealed_by_recovery_code: Base64(account.sealed_keys.by_recovery_code.clone()),
        sequence: account.sequence,
        credential_version: account.credential_version,
    }
}

/// A session that began.
pub(super) fn logged_in(begun: Begun, reader: &IdentityReader) -> rest::LoggedIn {
    rest::LoggedIn {
        account: own_account(&begun.account, reader),
        token: begun.token,
        session_id: hex::encode(begun.session_id),
        expires_unix_ms: begun.expires_unix_ms,
    }
}

/// One of the caller's sessions.
pub(super) fn session(session: &Session, caller: &Caller) -> rest::Session {
    rest::Session {
        session_id: hex::encode(session.session_id),
        device_id: session.device_id.to_string(),
        device_name: session.device_name.clone(),
        created_unix_ms: session.created_unix_ms,
        expires_unix_ms: session.expires_unix_ms,
        current: session.session_id == caller.session_id,
    }
}
