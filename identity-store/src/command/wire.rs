//! Commands as bytes: between [`Command`] and `identity.proto`.

use crate::account::is_device_name;
use crate::command::{Command, EndWhich, MAX_TRANSITIONS, MalformedCommand, Transition};
use bytes::Bytes;
use prost::Message as _;
use telegraph_proto::account::{AccountId, DeviceId};
use telegraph_proto::identity as proto;
use telegraph_proto::identity::command::Command as Wire;

impl Command {
    /// The bytes to be proposed.
    pub fn encode(&self) -> Bytes {
        proto::Command { command: Some(to_wire(self)) }.encode_to_vec().into()
    }

    /// Reads what [`encode`](Command::encode) made. Fails on anything that has not the shape of a
    /// command; whether it may be done is for the rules to say.
    pub fn decode(bytes: &[u8]) -> Result<Command, MalformedCommand> {
        let wire = proto::Command::decode(bytes);
        let wire = wire.map_err(|_| MalformedCommand("it does not decode"))?;
        from_wire(wire.command.ok_or(MalformedCommand("it is empty"))?)
    }
}

/// What travels for a command.
fn to_wire(command: &Command) -> Wire {
    match command.clone() {
        Command::Register { statement, password_hash, device_id, sealed_keys } => {
            Wire::Register(proto::Register {
                statement: Some(statement),
                password_hash,
                device_id: device_id.as_bytes().to_vec(),
                sealed_keys: Some(sealed_keys),
            })
        }
        Command::CreateSession {
            account_id,
            credential_version,
            token_hash,
            session_id,
            device_id,
            device_name,
            lifetime_ms,
            address,
            password_hash,
        } => Wire::CreateSession(proto::CreateSession {
            account_id: account_id.as_bytes().to_vec(),
            credential_version,
            token_hash: token_hash.to_vec(),
            session_id: session_id.to_vec(),
            device_id: device_id.as_bytes().to_vec(),
            device_name,
            lifetime_ms,
            address,
            password_hash: password_hash.unwrap_or_default(),
        }),
        Command::EndSession { account_id, which } => Wire::EndSession(proto::EndSession {
            account_id: account_id.as_bytes().to_vec(),
            which: Some(end_to_wire(which)),
        }),
        Command::ChangeAddress { statement, token_hash } => {
            Wire::ChangeAddress(proto::ChangeAddress {
                statement: Some(statement),
                token_hash: token_hash.to_vec(),
            })
        }
        Command::ChangePresence { term, transitions } => {
            let transitions = transitions.into_iter().map(transition_to_wire).collect();
            Wire::ChangePresence(proto::ChangePresence { term, transitions })
        }
        Command::ChangePassword { statement, password_hash, token_hash, sealed_keys } => {
            Wire::ChangePassword(proto::ChangePassword {
                statement: Some(statement),
                password_hash,
                token_hash: token_hash.to_vec(),
                sealed_keys: Some(sealed_keys),
            })
        }
        Command::DeleteAccount { statement } => {
            Wire::DeleteAccount(proto::DeleteAccount { statement: Some(statement) })
        }
    }
}

fn end_to_wire(which: EndWhich) -> proto::end_session::Which {
    match which {
        EndWhich::Token(hash) => proto::end_session::Which::TokenHash(hash.to_vec()),
        EndWhich::Session(id) => proto::end_session::Which::SessionId(id.to_vec()),
        EndWhich::AllBut(id) => proto::end_session::Which::AllButSessionId(id.to_vec()),
    }
}

fn transition_to_wire(transition: Transition) -> proto::PresenceTransition {
    proto::PresenceTransition {
        account_id: transition.account_id.as_bytes().to_vec(),
        to: match transition.online {
            true => proto::Presence::Online.into(),
            false => proto::Presence::Offline.into(),
        },
        presence_version: transition.presence_version,
        last_seen_unix_ms: transition.last_seen_unix_ms,
    }
}

/// What arrived, if it has the shape of a command.
fn from_wire(wire: Wire) -> Result<Command, MalformedCommand> {
    Ok(match wire {
        Wire::Register(wire) => Command::Register {
            statement: statement(wire.statement)?,
            password_hash: wire.password_hash,
            device_id: device(&wire.device_id)?,
            sealed_keys: sealed_keys(wire.sealed_keys)?,
        },
        Wire::CreateSession(wire) => create_session(wire)?,
        Wire::EndSession(wire) => Command::EndSession {
            account_id: account(&wire.account_id)?,
            which: end_which(wire.which)?,
        },
        Wire::ChangeAddress(wire) => Command::ChangeAddress {
            statement: statement(wire.statement)?,
            token_hash: token_hash(wire.token_hash)?,
        },
        Wire::ChangePresence(wire) => {
            if wire.transitions.len() > MAX_TRANSITIONS {
                return Err(MalformedCommand("more than 4,096 transitions"));
            }
            let transitions = wire.transitions.into_iter().map(transition);
            let transitions = transitions.collect::<Result<_, _>>()?;
            Command::ChangePresence { term: wire.term, transitions }
        }
        Wire::ChangePassword(wire) => Command::ChangePassword {
            statement: statement(wire.statement)?,
            password_hash: wire.password_hash,
            token_hash: token_hash(wire.token_hash)?,
            sealed_keys: sealed_keys(wire.sealed_keys)?,
        },
        Wire::DeleteAccount(wire) => {
            Command::DeleteAccount { statement: statement(wire.statement)? }
        }
    })
}

fn create_session(wire: proto::CreateSession) -> Result<Command, MalformedCommand> {
    if !is_device_name(&wire.device_name) {
        return Err(MalformedCommand("a device's name has at most 64 bytes, none for control"));
    }
    Ok(Command::CreateSession {
        account_id: account(&wire.account_id)?,
        credential_version: wire.credential_version,
        token_hash: token_hash(wire.token_hash)?,
        session_id: session_id(wire.session_id)?,
        device_id: device(&wire.device_id)?,
        device_name: wire.device_name,
        lifetime_ms: wire.lifetime_ms,
        address: wire.address,
        password_hash: Some(wire.password_hash).filter(|hash| !hash.is_empty()),
    })
}

fn end_which(wire: Option<proto::end_session::Which>) -> Result<EndWhich, MalformedCommand> {
    Ok(match wire.ok_or(MalformedCommand("no session is named"))? {
        proto::end_session::Which::TokenHash(hash) => EndWhich::Token(token_hash(hash)?),
        proto::end_session::Which::SessionId(id) => EndWhich::Session(session_id(id)?),
        proto::end_session::Which::AllButSessionId(id) => EndWhich::AllBut(session_id(id)?),
    })
}

fn transition(wire: proto::PresenceTransition) -> Result<Transition, MalformedCommand> {
    let online = match proto::Presence::try_from(wire.to) {
        Ok(proto::Presence::Online) => true,
        Ok(proto::Presence::Offline) => false,
        Ok(proto::Presence::Unspecified) | Err(_) => {
            return Err(MalformedCommand("somebody neither came nor went"));
        }
    };
    Ok(Transition {
        account_id: account(&wire.account_id)?,
        online,
        presence_version: wire.presence_version,
        last_seen_unix_ms: wire.last_seen_unix_ms,
    })
}

fn statement(
    wire: Option<proto::SignedStatement>,
) -> Result<proto::SignedStatement, MalformedCommand> {
    wire.ok_or(MalformedCommand("the statement is missing"))
}

fn sealed_keys(wire: Option<proto::SealedKeys>) -> Result<proto::SealedKeys, MalformedCommand> {
    wire.ok_or(MalformedCommand("the sealed keys are missing"))
}

fn account(bytes: &[u8]) -> Result<AccountId, MalformedCommand> {
    AccountId::from_slice(bytes).map_err(|_| MalformedCommand("an account id has 32 bytes"))
}

fn device(bytes: &[u8]) -> Result<DeviceId, MalformedCommand> {
    DeviceId::from_slice(bytes).map_err(|_| MalformedCommand("a device id has 16 bytes"))
}

fn token_hash(bytes: Vec<u8>) -> Result<[u8; 32], MalformedCommand> {
    bytes.try_into().map_err(|_| MalformedCommand("a token's hash has 32 bytes"))
}

fn session_id(bytes: Vec<u8>) -> Result<[u8; 16], MalformedCommand> {
    bytes.try_into().map_err(|_| MalformedCommand("a session's name has 16 bytes"))
}
