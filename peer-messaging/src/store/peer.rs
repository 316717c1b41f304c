//! People, each pinned to the key that was met first.

use crate::{
    directory::Contact,
    message::Correspondent,
    store::{
        error::StoreError,
        record::PeerRow,
        table::{Change, Order, Rows, Table},
        view::View,
    },
};
use std::net::SocketAddr;
use telegraph_proto::account::{AccountId, PublicKey, Username};

/// Most addresses of a person that are kept and tried.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// A person as this store knows them.
///
/// - `public_key` never changes: another key is another peer, with the name handed on at most.
/// - `last_sequence` and `address_sequence` only rise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Peer {
    /// The name of this peer in this store, from 1.
    pub(crate) number: u64,
    pub(crate) public_key: PublicKey,
    pub(crate) username: Option<Username>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) address_sequence: u64,
    /// Number of our last message to them.
    pub(crate) last_sequence: u64,
    /// SHA-256 of its envelope, empty before the first.
    pub(crate) last_hash: Vec<u8>,
    /// What they have read of ours, and when.
    pub(crate) read_up_to: u64,
    pub(crate) read_unix_ms: u64,
    /// We wrote to them, or read what they wrote; otherwise a stranger.
    pub(crate) known: bool,
    /// The key the directory names now, when it is not the pinned one.
    pub(crate) new_public_key: Option<PublicKey>,
    /// The peer that had the name before; 0: nobody.
    pub(crate) predecessor: u64,
}

/// What became of a directory's answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Met {
    /// The person is who was pinned, now or before.
    Pinned {
        peer: Peer,
        /// They had no name until now.
        named: bool,
        /// What waited for a decision goes on: the directory names the pinned key again.
        released: bool,
    },
    /// The name was pinned to another key.
    KeyChanged {
        /// The pinned one.
        peer: Peer,
        /// This is news.
        news: bool,
    },
}

impl Peer {
    pub(crate) fn account_id(&self) -> AccountId {
        self.public_key.account_id()
    }

    pub(crate) fn correspondent(&self) -> Correspondent {
        Correspondent { account_id: self.account_id(), username: self.username.clone() }
    }

    /// True when nothing may be sent before somebody decided about a new key.
    pub(crate) fn is_held(&self) -> bool {
        self.new_public_key.is_some()
    }

    fn new(number: u64, public_key: PublicKey) -> Self {
        Self {
            number,
            public_key,
            username: None,
            addresses: Vec::new(),
            address_sequence: 0,
            last_sequence: 0,
            last_hash: Vec::new(),
            read_up_to: 0,
            read_unix_ms: 0,
            known: false,
            new_public_key: None,
            predecessor: 0,
        }
    }

    /// Takes over addresses that are not older than what is known. Returns true when they differ.
    pub(crate) fn moved_to(&mut self, addresses: &[SocketAddr], sequence: u64) -> bool {
        let addresses = addresses.get(..MAX_ADDRESSES).unwrap_or(addresses);
        if sequence < self.address_sequence {
            return false;
        }
        let differs = self.addresses != addresses;
        self.addresses = addresses.to_vec();
        self.address_sequence = sequence;
        differs
    }

    fn from_row(number: u64, row: PeerRow) -> Result<Self, StoreError> {
        let damaged = |_| StoreError::Damaged("a person's record");
        let public_key = PublicKey::from_slice(&row.public_key).map_err(damaged)?;
        let username = if row.username.is_empty() {
            None
        } else {
            Some(Username::parse(&row.username).map_err(damaged)?)
        };
        let new_public_key = if row.new_public_key.is_empty() {
            None
        } else {
            Some(PublicKey::from_slice(&row.new_public_key).map_err(damaged)?)
        };
        Ok(Self {
            number,
            public_key,
            username,
            addresses: row.addresses.iter().filter_map(|a| a.parse().ok()).collect(),
            address_sequence: row.address_sequence,
            last_sequence: row.last_sequence,
            last_hash: row.last_hash,
            read_up_to: row.read_up_to,
            read_unix_ms: row.read_unix_ms,
            known: row.known,
            new_public_key,
            predecessor: row.predecessor,
        })
    }

    fn to_row(&self) -> PeerRow {
        PeerRow {
            account_id: self.account_id().as_bytes().to_vec(),
            public_key: self.public_key.as_bytes().to_vec(),
            username: self.username.as_ref().map(ToString::to_string).unwrap_or_default(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            address_sequence: self.address_sequence,
            last_sequence: self.last_sequence,
            last_hash: self.last_hash.clone(),
            read_up_to: self.read_up_to,
            read_unix_ms: self.read_unix_ms,
            known: self.known,
            new_public_key: self.new_public_key.map(|k| k.as_bytes().to_vec()).unwrap_or_default(),
            predecessor: self.predecessor,
        }
    }
}

impl<R: Rows> View<'_, R> {
    /// The peer of a number that this store gave. Fails with [`StoreError::Damaged`] for another.
    pub(crate) fn peer(&self, number: u64) -> Result<Peer, StoreError> {
        let row = self.record::<PeerRow>(Table::Peers, &number.to_be_bytes())?;
        Peer::from_row(number, row.ok_or(StoreError::Damaged("a person without a record"))?)
    }

    pub(crate) fn peer_of(&self, account: &AccountId) -> Result<Option<Peer>, StoreError> {
        let number = self.number(Table::Accounts, &self.account_key(account))?;
        number.map(|number| self.peer(number)).transpose()
    }

    pub(crate) fn peer_named(&self, name: &Username) -> Result<Option<Peer>, StoreError> {
        let number = self.number(Table::Names, &self.name_key(name))?;
        number.map(|number| self.peer(number)).transpose()
    }

    /// The people met last, newest first.
    pub(crate) fn newest_peers(&self, limit: usize) -> Result<Vec<Peer>, StoreError> {
        let rows = self.rows.scan(Table::Peers, &[0; 8], &[0xff; 8], Order::Falling, limit)?;
        rows.iter().map(|(key, _)| self.peer(super::table::number(key)?)).collect()
    }

    fn account_key(&self, account: &AccountId) -> [u8; 16] {
        self.sealer.hash("account", &[account.as_bytes()])
    }

    fn name_key(&self, name: &Username) -> [u8; 16] {
        self.sealer.hash("name", &[name.as_str().as_bytes()])
    }
}

impl<C: Change> View<'_, C> {
    /// Keeps a peer as it is now.
    pub(crate) fn put_peer(&self, peer: &Peer) -> Result<(), StoreError> {
        self.put_record(Table::Peers, &peer.number.to_be_bytes(), &peer.to_row())
    }

    /// The peer with this key, made if need be, without a name.
    pub(crate) fn peer_with_key(&self, public_key: &PublicKey) -> Result<Peer, StoreError> {
        let account = public_key.account_id();
        if let Some(peer) = self.peer_of(&account)? {
            return Ok(peer);
        }
        let number = self.highest(Table::Peers)?.saturating_add(1);
        let peer = Peer::new(number, *public_key);
        self.put_peer(&peer)?;
        self.put_number(Table::Accounts, &self.account_key(&account), number)?;
        Ok(peer)
    }

    /// Takes a directory's answer: pins the name at first contact, and never again by itself.
    pub(crate) fn meet(&self, contact: &Contact) -> Result<Met, StoreError> {
        let pinned = self.peer_named(&contact.username)?;
        let Some(mut peer) = pinned else {
            let mut peer = self.peer_with_key(&contact.public_key)?;
            let named = peer.username.is_none() && peer.known;
            let named = named || self.tally(peer.number)?.unread > 0;
            self.give_name(&mut peer, &contact.username)?;
            peer.moved_to(&contact.addresses, contact.address_sequence);
            self.put_peer(&peer)?;
            return Ok(Met::Pinned { peer, named, released: false });
        };
        if peer.public_key == contact.public_key {
            let before = peer.clone();
            let released = peer.new_public_key.take().is_some();
            peer.moved_to(&contact.addresses, contact.address_sequence);
            if peer != before {
                self.put_peer(&peer)?;
            }
            return Ok(Met::Pinned { peer, named: false, released });
        }
        let news = peer.new_public_key != Some(contact.public_key);
        if news {
            peer.new_public_key = Some(contact.public_key);
            self.put_peer(&peer)?;
        }
        Ok(Met::KeyChanged { peer, news })
    }

    /// We have to do with this person from now on.
    pub(crate) fn make_known(&self, peer: &mut Peer) -> Result<(), StoreError> {
        if !peer.known {
            let unread = i64::try_from(self.tally(peer.number)?.unread).unwrap_or(i64::MAX);
            self.count_strangers(-unread)?;
            peer.known = true;
        }
        Ok(())
    }

    /// Hands the name on to the new key of `old`, and returns the peer that has it now. `old`
    /// stays, with its messages. Returns `None` when no new key was named.
    pub(crate) fn hand_on_name(&self, old: &mut Peer) -> Result<Option<Peer>, StoreError> {
        let (Some(key), Some(name)) = (old.new_public_key.take(), old.username.clone()) else {
            return Ok(None);
        };
        let mut new = self.peer_with_key(&key)?;
        self.give_name(&mut new, &name)?;
        self.make_known(&mut new)?;
        new.predecessor = old.number;
        self.put_peer(old)?;
        self.put_peer(&new)?;
        Ok(Some(new))
    }

    fn give_name(&self, peer: &mut Peer, name: &Username) -> Result<(), StoreError> {
        peer.username = Some(name.clone());
        self.put_number(Table::Names, &self.name_key(name), peer.number)
    }
}
