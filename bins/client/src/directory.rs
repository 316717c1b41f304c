//! The managers as the messenger's address book: verified, compared at first contact, cached.

use crate::{
    event::{ClientEvent, Events},
    managers::{ManagerClient, error::ManagerError},
    person::{Distrust, Person},
    profile::Profile,
};
use futures_util::future::BoxFuture;
use peer_messaging::{Contact, Directory, DirectoryError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use telegraph_proto::{
    account::{AccountId, Username},
    rest,
};
use tokio::time::timeout;

/// Most people kept in memory; beyond that, everybody is asked for again.
const MAX_CACHED: usize = 4096;
/// How often managers that do not agree yet are asked again: one of them may lag behind.
const AGREEMENT_ROUNDS: usize = 5;
/// Between two such rounds.
const AGREEMENT_PAUSE: Duration = Duration::from_millis(200);
/// How long managers are asked about somebody who is known already. Meanwhile nothing is tried,
/// even if the person knocks: without managers, that is what leads to them.
const KNOWN_PATIENCE: Duration = Duration::from_secs(3);

/// Looks people up, and believes only what they signed themselves.
///
/// - The first time in a process that somebody is asked for, `k + 1` of the `2k + 1` managers have
///   to name the same key, so that one bad manager cannot introduce a stranger. How many there are
///   is the most that anybody ever said. When fewer can be reached, all that can be reached have to
///   agree, and the person is told ([`ClientEvent::FewCompared`]).
/// - When no manager answers, what was learnt before still serves: it is signed, and TLS checks the
///   key at the address (bounded-stale reads).
#[derive(Debug, Clone)]
pub(crate) struct AddressBook {
    managers: ManagerClient,
    cluster_id: [u8; 16],
    events: Events,
    /// Not held: a messenger that is still ending must not keep the profile from others.
    profile: Weak<Profile>,
    cache: Arc<Mutex<HashMap<Username, Person>>>,
}

/// Why somebody was not found.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LookupError {
    /// Nobody has that name.
    #[error("nobody here is called {0}")]
    Unknown(String),
    /// No manager answers, and nothing was learnt before.
    #[error(transparent)]
    Managers(ManagerError),
    /// The answer is not believed.
    #[error(transparent)]
    Distrust(#[from] Distrust),
}

impl AddressBook {
    /// An empty book. What is to be told goes to `events`, what is to be remembered to `profile`.
    pub(crate) fn new(
        managers: ManagerClient,
        cluster_id: [u8; 16],
        events: Events,
        profile: &Arc<Profile>,
    ) -> Self {
        let profile = Arc::downgrade(profile);
        Self { managers, cluster_id, events, profile, cache: Arc::default() }
    }

    /// Who has this name, and where.
    pub(crate) async fn by_name(&self, username: &Username) -> Result<Person, LookupError> {
        let known = self.cache().get(username).cloned();
        let found = match &known {
            None => self.first_contact(username).await,
            Some(_) => match timeout(KNOWN_PATIENCE, self.ask(username)).await {
                Ok(found) => found,
                Err(_) => Err(LookupError::Managers(ManagerError::Unavailable("too late".into()))),
            },
        };
        match (found, known) {
            (Ok(person), _) => Ok(self.keep(person)),
            (Err(LookupError::Managers(error)), Some(known)) if may_serve_old(&error) => {
                tracing::debug!(%error, "no manager answers: using what was learnt before");
                Ok(known)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Who has this account. The id is the key's hash, but anybody can sign to be called anything:
    /// the name is believed only when asking for the name leads back to the account.
    pub(crate) async fn by_account(&self, account: &AccountId) -> Result<Person, LookupError> {
        let known = self.cache().values().find(|p| p.account_id == *account).cloned();
        match self.managers.account_of(account).await {
            Ok(peer) => {
                let claimed = Person::believe(&peer, &self.cluster_id)?;
                let person = self.by_name(&claimed.username).await?;
                if person.account_id != *account || claimed.account_id != *account {
                    return Err(Distrust::Disagreement(person.username.to_string()).into());
                }
                Ok(person)
            }
            Err(ManagerError::NotFound(_)) => Err(LookupError::Unknown(account.short())),
            Err(error) if may_serve_old(&error) => known.ok_or(LookupError::Managers(error)),
            Err(error) => Err(LookupError::Managers(error)),
        }
    }

    /// Takes what a heartbeat said of somebody that is being waited for. Returns the person when
    /// there is reason to try to reach them now: they came online, or announced a newer address.
    pub(crate) fn refresh(&self, peer: &rest::Peer) -> Option<Person> {
        let person = Person::believe(peer, &self.cluster_id)
            .inspect_err(|error| tracing::warn!(%error, "a heartbeat's answer is not believed"))
            .ok()?;
        let mut cache = self.cache();
        let Some(known) = cache.get_mut(&person.username) else {
            // Never met: the messenger's own lookup will compare managers.
            return person.online.then_some(person);
        };
        if known.public_key != person.public_key {
            return None;
        }
        let moved = person.address_sequence > known.address_sequence;
        let came = person.online && !known.online;
        if person.address_sequence >= known.address_sequence {
            *known = person.clone();
        }
        (person.online && (moved || came)).then_some(person)
    }

    async fn ask(&self, username: &Username) -> Result<Person, LookupError> {
        let answer = self.managers.user(username).await;
        self.judge(username, answer)
    }

    fn judge(
        &self,
        username: &Username,
        answer: Result<rest::Peer, ManagerError>,
    ) -> Result<Person, LookupError> {
        match answer {
            Ok(peer) => Ok(Person::believe(&peer, &self.cluster_id)?.named(username)?),
            Err(ManagerError::NotFound(_)) => Err(LookupError::Unknown(username.to_string())),
            Err(error) => Err(LookupError::Managers(error)),
        }
    }

    /// Asks until enough managers say the same.
    async fn first_contact(&self, username: &Username) -> Result<Person, LookupError> {
        // Also learns the other managers' addresses, which the comparison needs.
        self.managers.cluster().await.map_err(LookupError::Managers)?;
        for round in 0..AGREEMENT_ROUNDS {
            if round > 0 {
                tokio::time::sleep(AGREEMENT_PAUSE).await;
            }
            let answers = self.managers.user_from_several(username).await;
            let (compared, wanted) = (answers.len(), self.managers.majority());
            if answers.is_empty() {
                // Nobody reachable within one attempt each: the patient way tells why.
                return self.ask(username).await;
            }
            let judged = answers.into_iter().map(|answer| self.judge(username, answer));
            match agreement(username, judged) {
                Ok(person) => {
                    self.remember_voters().await;
                    if compared < wanted {
                        let username = username.clone();
                        self.events.send(ClientEvent::FewCompared { username, compared, wanted });
                    }
                    return Ok(person);
                }
                // Managers may not have applied a registration of just now.
                Err(Mixed::Behind) => {}
                Err(Mixed::Unknown) if round == 0 => {}
                Err(Mixed::Unknown) => break,
                Err(Mixed::Failed(error)) => return Err(error),
            }
        }
        Err(LookupError::Unknown(username.to_string()))
    }

    /// For the next start, which may find one manager only. A failure costs no more than that.
    async fn remember_voters(&self) {
        let Some(profile) = self.profile.upgrade() else { return };
        let voters = self.managers.voters();
        let kept = tokio::task::spawn_blocking(move || profile.remember_voters(voters)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the size of the cluster was not kept");
        }
    }

    /// Keeps the newer of two: managers may answer from states of different age.
    fn keep(&self, person: Person) -> Person {
        let mut cache = self.cache();
        if let Some(known) = cache.get(&person.username)
            && known.public_key == person.public_key
            && known.address_sequence > person.address_sequence
        {
            return known.clone();
        }
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(person.username.clone(), person.clone());
        person
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<Username, Person>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory for AddressBook {
    fn lookup<'a>(
        &'a self,
        username: &'a Username,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>> {
        Box::pin(async { contact(self.by_name(username).await) })
    }

    fn by_account<'a>(
        &'a self,
        account_id: &'a AccountId,
    ) -> BoxFuture<'a, Result<Contact, DirectoryError>> {
        Box::pin(async { contact(self.by_account(account_id).await) })
    }
}

fn contact(found: Result<Person, LookupError>) -> Result<Contact, DirectoryError> {
    match found {
        Ok(person) => Ok(Contact {
            account_id: person.account_id,
            username: person.username,
            public_key: person.public_key,
            addresses: person.addresses,
            address_sequence: person.address_sequence,
            online: person.online,
        }),
        Err(LookupError::Unknown(_)) => Err(DirectoryError::Unknown),
        Err(error) => {
            if let LookupError::Distrust(distrust) = &error {
                tracing::warn!(%distrust, "a manager's answer is not believed");
            }
            Err(DirectoryError::Unavailable(error.to_string()))
        }
    }
}

/// True when the managers could not be asked, and have not said anything to the contrary.
fn may_serve_old(error: &ManagerError) -> bool {
    matches!(
        error,
        ManagerError::Unavailable(_)
            | ManagerError::OutcomeUnknown
            | ManagerError::Untrusted { .. }
            | ManagerError::SessionEnded(_)
            | ManagerError::TooMany { .. }
            | ManagerError::Malformed(_)
    )
}

#[derive(Debug)]
enum Mixed {
    /// Some know the person, some do not yet.
    Behind,
    /// Nobody knows the person.
    Unknown,
    /// No answer is believed, or answers differ.
    Failed(LookupError),
}

/// The one answer all of them give; the newest address among them.
fn agreement(
    username: &Username,
    answers: impl Iterator<Item = Result<Person, LookupError>>,
) -> Result<Person, Mixed> {
    let mut agreed: Option<Person> = None;
    let mut unknown = false;
    for answer in answers {
        match (answer, agreed.take()) {
            (Err(LookupError::Unknown(_)), before) => {
                unknown = true;
                agreed = before;
            }
            (Err(error), _) => return Err(Mixed::Failed(error)),
            (Ok(person), None) => agreed = Some(person),
            (Ok(person), Some(before)) if before.register == person.register => {
                let newer = person.address_sequence > before.address_sequence;
                agreed = Some(if newer { person } else { before });
            }
            (Ok(_), Some(_)) => {
                let disagreement = Distrust::Disagreement(username.to_string());
                return Err(Mixed::Failed(disagreement.into()));
            }
        }
    }
    match agreed {
        Some(person) if !unknown => Ok(person),
        Some(_) => Err(Mixed::Behind),
        None => Err(Mixed::Unknown),
    }
}

#[cfg(test)]
mod tests;
