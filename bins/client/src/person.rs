//! What a manager says about somebody, believed only as far as that somebody signed it.

use std::net::SocketAddr;
use telegraph_proto::{
    account::{AccountId, PublicKey, Username},
    identity::{AddressBody, RegisterBody, SignedStatement, StatementKind},
    rest,
    statement::{self, StatementError},
};

/// Most addresses of a person that are tried.
const MAX_ADDRESSES: usize = 8;

/// A person as their own signatures describe them.
///
/// - `account_id` is the hash of `public_key`, and both signed that they are called `username`.
/// - `addresses` are what the key's owner signed, never what a manager added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    pub(crate) username: Username,
    pub(crate) account_id: AccountId,
    pub(crate) public_key: PublicKey,
    /// As it was signed: what the answers of two managers are compared by.
    pub(crate) register: SignedStatement,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Number of the address statement; 0 when nothing was ever announced.
    pub(crate) address_sequence: u64,
    /// The manager's word; nobody signs presence.
    pub(crate) online: bool,
}

/// Why an answer about somebody is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// A part is missing or does not parse.
    #[error("the manager's answer is malformed: {0}")]
    Malformed(&'static str),
    /// It is about somebody else.
    #[error("the manager answered about {found}, asked was {asked}")]
    SomebodyElse {
        /// Who was asked for.
        asked: String,
        /// Who came.
        found: String,
    },
    /// A signature is missing, wrong, or of another cluster.
    #[error("the manager's answer is not signed by the person it is about: {0}")]
    Unsigned(#[from] StatementError),
    /// Managers name different keys for one person.
    #[error("managers disagree about the key of {0}: one of them is wrong or lies")]
    Disagreement(String),
}

impl Person {
    /// Believes `peer` for `cluster_id`. Fails with the first check that does not hold.
    pub(crate) fn believe(peer: &rest::Peer, cluster_id: &[u8; 16]) -> Result<Self, Distrust> {
        let malformed = Distrust::Malformed;
        let username = Username::parse(&peer.username).map_err(|_| malformed("username"))?;
        let public_key =
            PublicKey::from_slice(&peer.public_key.0).map_err(|_| malformed("public key"))?;
        let account_id = public_key.account_id();
        if peer.account_id.parse::<AccountId>() != Ok(account_id) {
            return Err(malformed("the account id is not the key's"));
        }
        let register =
            peer.register_statement.to_statement().ok_or(malformed("register statement"))?;
        let body: RegisterBody =
            statement::verify(&register, cluster_id, StatementKind::Register, &public_key)?;
        if Username::parse(&body.username).as_ref() != Ok(&username) {
            let (asked, found) = (username.to_string(), body.username);
            return Err(Distrust::SomebodyElse { asked, found });
        }
        if body.public_key != public_key.as_bytes() {
            return Err(malformed("the registered key is another one"));
        }
        let (addresses, address_sequence) =
            signed_addresses(peer.address_statement.as_ref(), cluster_id, &public_key)?;
        let online = peer.status == rest::Status::Online;
        Ok(Self { username, account_id, public_key, register, addresses, address_sequence, online })
    }

    /// Refuses an answer about another name than was asked for.
    pub(crate) fn named(self, asked: &Username) -> Result<Self, Distrust> {
        if self.username == *asked {
            return Ok(self);
        }
        let (asked, found) = (asked.to_string(), self.username.to_string());
        Err(Distrust::SomebodyElse { asked, found })
    }
}

fn signed_addresses(
    statement: Option<&rest::Base64>,
    cluster_id: &[u8; 16],
    key: &PublicKey,
) -> Result<(Vec<SocketAddr>, u64), Distrust> {
    let Some(statement) = statement else { return Ok((Vec::new(), 0)) };
    let statement = statement.to_statement().ok_or(Distrust::Malformed("address statement"))?;
    let body: AddressBody = statement::verify(&statement, cluster_id, StatementKind::Address, key)?;
    let addresses = body.addresses.iter().take(MAX_ADDRESSES).filter_map(|a| a.parse().ok());
    Ok((addresses.collect(), statement.sequence))
}

#[cfg(test)]
mod tests;
