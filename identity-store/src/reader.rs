//! Looking at the accounts while they change.

use crate::account::{Account, Holder};
use crate::digest::digest;
use crate::error::StoreError;
use crate::key_values::KeyValues as _;
use crate::keys::Range;
use crate::lookup::{Counts, Lookup};
use crate::session::Session;
use crate::view::View;
use raft_core::Position;
use std::fmt;
use std::sync::Arc;
use telegraph_proto::account::{AccountId, Username};

/// Accounts read at a time when all those online are wanted: commits wait for each page.
const PAGE: usize = 256;

/// Reads what was applied; cheap to clone.
///
/// - What a command answered to is seen by every read that begins after its reply.
/// - Each call sees one state, between two commits.
/// - It goes on over a restore. It ends with its store: then everything that can fail fails with
///   [`StoreError::Closed`].
///
/// Reads take microseconds and may wait for a commit; [`digest`](IdentityReader::digest) and
/// [`for_each_online`](IdentityReader::for_each_online) take longer: not for an async task. They
/// all fail with [`StoreError::View`] or [`StoreError::Damaged`] when the view is damaged.
#[derive(Clone)]
pub struct IdentityReader {
    view: Arc<View>,
}

impl IdentityReader {
    pub(crate) fn new(view: Arc<View>) -> IdentityReader {
        IdentityReader { view }
    }

    /// The account of an id; `None`: never registered, or deleted.
    pub fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.view.read(|tree| Lookup(tree).living(id))
    }

    /// The account of a name; `None`: never registered, or deleted.
    pub fn account_by_name(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        self.view.read(|tree| match Lookup(tree).id_of(username)? {
            Some(id) => Lookup(tree).living(&id),
            None => Ok(None),
        })
    }

    /// True when the name belonged to an account that was deleted.
    pub fn is_retired(&self, username: &Username) -> Result<bool, StoreError> {
        self.view.read(|tree| {
            let Some(id) = Lookup(tree).id_of(username)? else { return Ok(false) };
            Ok(matches!(Lookup(tree).holder(&id)?, Some(Holder::Retired(_))))
        })
    }

    /// The session of a token's hash, whether it is live or over; `None` once it has expired and
    /// been forgotten, or if it never was.
    pub fn session(&self, token_hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        self.view.read(|tree| Lookup(tree).session(token_hash))
    }

    /// The sessions of an account, those that are over and not yet forgotten included; at most 64,
    /// by their names.
    pub fn sessions_of(&self, id: &AccountId) -> Result<Vec<Session>, StoreError> {
        self.view.read(|tree| Lookup(tree).sessions_of(id))
    }

    /// Up to `limit` accounts that are online, by name, beginning after one.
    pub fn online(
        &self,
        after: Option<&Username>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        self.view.read(|tree| {
            let names = tree.range(&Range::online_after(after), limit)?;
            Lookup(tree).indexed(names)
        })
    }

    /// Does `each` for every account that is online, by name. Who comes or goes meanwhile may be
    /// among them or not.
    pub fn for_each_online(&self, mut each: impl FnMut(&Account)) -> Result<(), StoreError> {
        let mut after: Option<Username> = None;
        loop {
            let page = self.online(after.as_ref(), PAGE)?;
            page.iter().for_each(&mut each);
            match page.into_iter().next_back() {
                Some(last) => after = Some(last.username),
                None => return Ok(()),
            }
        }
    }

    /// SHA-256 over the whole state: the same on all replicas at the same [`position`], whatever
    /// their engines recorded. Commits wait meanwhile, some 10 ms for a thousand accounts.
    ///
    /// [`position`]: IdentityReader::position
    pub fn digest(&self) -> Result<[u8; 32], StoreError> {
        self.view.read(|tree| digest(tree))
    }

    /// Where the last command applied stands in the log; entries that are no commands leave no
    /// trace here.
    pub fn position(&self) -> Position {
        self.view.clock().position
    }

    /// Log time of the last command applied, milliseconds since 1970; 0 before the first.
    pub fn log_time_unix_ms(&self) -> u64 {
        self.view.clock().time_unix_ms
    }

    /// How many accounts and sessions there are.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.view.read(|tree| Lookup(tree).counts())
    }

    /// How many views were set aside when the store was opened: 0, unless it was damaged.
    pub fn rebuilds(&self) -> u64 {
        self.view.rebuilds()
    }
}

impl fmt::Debug for IdentityReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityReader").finish_non_exhaustive()
    }
}
