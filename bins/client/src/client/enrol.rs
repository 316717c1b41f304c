//! Making an account, coming back to one, and the keys on the way.

use crate::{
    account::{Account, KeepError, Parts, unix_ms},
    client::{Client, State, presence::close},
    error::ClientError,
    managers::error::ManagerError,
    password::Password,
    person::Person,
    profile::{
        settings::parse_cluster_id,
        vault::{Key, Vault, VaultError},
    },
    trust::Trust,
};
use peer_messaging::{AccountKey, Derived, RecoveryCode, derive};
use std::sync::Arc;
use telegraph_proto::{
    account::{PublicKey, Username},
    identity::{RegisterBody, SealedKeys, StatementKind},
    rest::{Base64, LoggedIn, LoginRequest, RegisterRequest, Secret},
    statement::sealed_keys_hash,
};
use zeroize::Zeroizing;

/// Longest name of a device in the managers' list, in bytes.
const MAX_DEVICE_NAME: usize = 64;

/// What is printed once, at registration.
#[derive(Debug)]
pub struct Enrolled {
    /// Opens the account's key when the password is forgotten. Nobody else has it.
    pub recovery_code: Zeroizing<String>,
}

impl Client {
    /// Makes an account. When the answer is lost, calling it again with the same name and password
    /// finishes the same registration.
    ///
    /// Fails with [`ClientError::ProfileTaken`] when the profile has an account,
    /// [`ManagerError::NameTaken`] when the name is somebody's, and whatever keeps managers from
    /// answering.
    pub async fn register(
        &self,
        username: &Username,
        password: &Password,
    ) -> Result<Enrolled, ClientError> {
        password.check_new()?;
        let mut state = self.state().await;
        let unfinished = self.unfinished(&state, username)?;
        let cluster_id = self.cluster_id(&mut state).await?;
        let derived = derived(password, username).await?;
        let (account, code) = match unfinished {
            Some(vault) => self.resume(&state, cluster_id, username, &derived, vault)?,
            None => self.prepare(&state, cluster_id, username, &derived)?,
        };
        // Everything is on disk before the first byte leaves: a lost answer costs no key.
        account.keep()?;
        state.settings.username = Some(username.clone());
        self.keep_settings(&mut state)?;
        match self.managers().register(&registration(&account, &derived)?).await {
            Ok(()) => {}
            Err(
                error @ (ManagerError::NameTaken(_)
                | ManagerError::Refused { .. }
                | ManagerError::StaleSequence(_)),
            ) => {
                self.profile().forget_account()?;
                state.settings.username = None;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        account.confirm()?;
        state.account = Some(Arc::new(account));
        Ok(Enrolled { recovery_code: code })
    }

    /// Opens a session; other devices' sessions end. In a new profile it restores the account's key
    /// from what the managers keep, sealed under the password. Who is online goes offline first.
    ///
    /// Fails with [`ManagerError::WrongCredentials`] for a wrong name or password, and with
    /// [`ClientError::ProfileTaken`] when the profile is somebody else's.
    pub async fn login(
        &self,
        username: Option<&Username>,
        password: &Password,
    ) -> Result<(), ClientError> {
        let mut state = self.state().await;
        let username = whose(&state, username)?;
        close(&mut state).await?;
        let cluster_id = self.cluster_id(&mut state).await?;
        let derived = derived(password, &username).await?;
        let request = LoginRequest {
            username: username.to_string(),
            password: Secret(derived.auth.to_string()),
            device_id: state.settings.device_id.to_string(),
            device_name: device_name(&self.options().device_name),
            ip: None,
            port: None,
            address_statement: None,
        };
        let reply = self.managers().login(&request).await?;
        let token = reply.token.clone();
        let sequence = reply.account.sequence;
        let account = match self.profile().vault()? {
            Some(vault) => self.reopen(&state, cluster_id, &username, &derived, vault, &reply)?,
            None => self.restore(&state, cluster_id, &username, &derived, &reply)?,
        };
        account.raise_sequence(sequence);
        account.confirm()?;
        account.set_token(self.managers(), Some(token))?;
        state.settings.username = Some(username);
        self.keep_settings(&mut state)?;
        state.account = Some(Arc::new(account));
        Ok(())
    }

    /// Opens the account's key and messages, without asking anybody. Fails with
    /// [`ClientError::WrongPassword`], or [`ClientError::NoAccount`] in a profile without one.
    pub async fn unlock(&self, password: &Password) -> Result<(), ClientError> {
        let mut state = self.state().await;
        if state.account.is_some() {
            return Ok(());
        }
        let username = state.settings.username.clone().ok_or(ClientError::NoAccount)?;
        let vault = self.profile().vault()?.ok_or(ClientError::NoAccount)?;
        let cluster_id = state.settings.cluster_id.ok_or(ClientError::NoAccount)?;
        if vault.is_unconfirmed() {
            return Err(ClientError::Unconfirmed(username.to_string()));
        }
        let derived = derived(password, &username).await?;
        let account = self.open_vault(&state, cluster_id, &username, &derived, vault)?;
        self.managers().set_token(account.token()?);
        state.account = Some(Arc::new(account));
        Ok(())
    }

    /// The vault of a registration of `username` that was not confirmed, if there is one.
    fn unfinished(&self, state: &State, username: &Username) -> Result<Option<Vault>, ClientError> {
        let Some(vault) = self.profile().vault()? else { return Ok(None) };
        match &state.settings.username {
            Some(name) if name == username && vault.is_unconfirmed() => Ok(Some(vault)),
            Some(name) => Err(ClientError::ProfileTaken(name.to_string())),
            // A crash between the two files: nothing was asked of the managers yet.
            None if vault.is_unconfirmed() => Ok(None),
            None => Err(ClientError::ProfileTaken("somebody".into())),
        }
    }

    /// A new key, sealed both ways.
    fn prepare(
        &self,
        state: &State,
        cluster_id: [u8; 16],
        username: &Username,
        derived: &Derived,
    ) -> Result<(Account, Zeroizing<String>), ClientError> {
        let key = AccountKey::generate()?;
        let code = RecoveryCode::generate()?;
        let by_password = Base64(key.seal_by_password(&derived.seal_key)?);
        let by_code = Base64(key.seal_by_recovery_code(&code)?);
        let local = key.local_key();
        let (mut vault, data_key) =
            Vault::create(&derived.store_key, &local, by_password, by_code)?;
        let text = Zeroizing::new(code.to_string());
        vault.set_unconfirmed(&data_key, &text)?;
        let account = self.account(state, cluster_id, username, key, data_key, vault);
        Ok((account, text))
    }

    /// The key of a registration whose answer was lost.
    fn resume(
        &self,
        state: &State,
        cluster_id: [u8; 16],
        username: &Username,
        derived: &Derived,
        vault: Vault,
    ) -> Result<(Account, Zeroizing<String>), ClientError> {
        let data_key = vault.open_by_password(&derived.store_key).map_err(wrong_password)?;
        let code = vault.unconfirmed_code(&data_key)?.unwrap_or_default();
        let account = self.open_vault(state, cluster_id, username, derived, vault)?;
        Ok((account, code))
    }

    fn open_vault(
        &self,
        state: &State,
        cluster_id: [u8; 16],
        username: &Username,
        derived: &Derived,
        vault: Vault,
    ) -> Result<Account, ClientError> {
        let data_key = vault.open_by_password(&derived.store_key).map_err(wrong_password)?;
        let key = AccountKey::open_by_password(&vault.sealed_by_password.0, &derived.seal_key)?;
        Ok(self.account(state, cluster_id, username, key, data_key, vault))
    }

    /// An existing profile after a login. A password that the managers take and the vault does not
    /// was changed on another device: the account's key, which it opens, opens the vault too.
    fn reopen(
        &self,
        state: &State,
        cluster_id: [u8; 16],
        username: &Username,
        derived: &Derived,
        mut vault: Vault,
        reply: &LoggedIn,
    ) -> Result<Account, ClientError> {
        if vault.open_by_password(&derived.store_key).is_ok() {
            return self.open_vault(state, cluster_id, username, derived, vault);
        }
        let key = own_key(cluster_id, username, derived, reply)?;
        let data_key = vault.open_by_account(&key.local_key())?;
        let sealed = reply.account.sealed_by_password.clone();
        vault.reseal(&derived.store_key, &data_key, sealed)?;
        Ok(self.account(state, cluster_id, username, key, data_key, vault))
    }

    /// A new profile after its first login.
    fn restore(
        &self,
        state: &State,
        cluster_id: [u8; 16],
        username: &Username,
        derived: &Derived,
        reply: &LoggedIn,
    ) -> Result<Account, ClientError> {
        let key = own_key(cluster_id, username, derived, reply)?;
        let (vault, data_key) = Vault::create(
            &derived.store_key,
            &key.local_key(),
            reply.account.sealed_by_password.clone(),
            reply.account.sealed_by_recovery_code.clone(),
        )?;
        Ok(self.account(state, cluster_id, username, key, data_key, vault))
    }

    fn account(
        &self,
        state: &State,
        cluster_id: [u8; 16],
        username: &Username,
        key: AccountKey,
        data_key: Key,
        vault: Vault,
    ) -> Account {
        let username = username.clone();
        let device_id = state.settings.device_id;
        let parts = Parts { username, device_id, cluster_id, key, data_key, vault };
        Account::new(parts, self.profile().clone())
    }

    /// The cluster the managers are of, which must be the profile's, once it has one.
    async fn cluster_id(&self, state: &mut State) -> Result<[u8; 16], ClientError> {
        let cluster = self.managers().cluster().await?;
        let found = parse_cluster_id(&cluster.cluster_id)
            .map_err(|e| ManagerError::Malformed(e.to_string()))?;
        match state.settings.cluster_id {
            Some(expected) if expected != found => Err(ManagerError::WrongCluster {
                expected: hex::encode(expected),
                found: hex::encode(found),
            }
            .into()),
            _ => {
                state.settings.cluster_id = Some(found);
                Ok(found)
            }
        }
    }

    /// Keeps the settings this client works with, and the authority it was given.
    fn keep_settings(&self, state: &mut State) -> Result<(), ClientError> {
        state.settings.voters = self.managers().voters();
        if let Some(Trust::Authority(pem)) = &self.options().trust {
            self.profile().save_authority(pem)?;
        }
        Ok(self.profile().save_settings(&state.settings)?)
    }
}

/// Derives the three keys off the async threads: it takes tens of milliseconds and 19 MiB.
pub(crate) async fn derived(
    password: &Password,
    username: &Username,
) -> Result<Derived, ClientError> {
    let (password, username) = (password.clone(), username.clone());
    let derived = tokio::task::spawn_blocking(move || derive(password.expose(), &username)).await;
    derived.map_err(|_| ClientError::Stopped)
}

fn whose(state: &State, given: Option<&Username>) -> Result<Username, ClientError> {
    match (&state.settings.username, given) {
        (Some(name), Some(given)) if name != given => {
            Err(ClientError::ProfileTaken(name.to_string()))
        }
        (Some(name), _) => Ok(name.clone()),
        (None, Some(given)) => Ok(given.clone()),
        (None, None) => Err(ClientError::NoAccount),
    }
}

/// The account's key from a login's answer, which must be the key the name is registered with.
fn own_key(
    cluster_id: [u8; 16],
    username: &Username,
    derived: &Derived,
    reply: &LoggedIn,
) -> Result<AccountKey, ClientError> {
    let sealed = &reply.account.sealed_by_password.0;
    let key = AccountKey::open_by_password(sealed, &derived.seal_key)?;
    let person = Person::believe(&reply.account.public, &cluster_id)?.named(username)?;
    if person.account_id != key.account_id() {
        return Err(ManagerError::Malformed("the key is not the account's".into()).into());
    }
    Ok(key)
}

fn registration(account: &Account, derived: &Derived) -> Result<RegisterRequest, KeepError> {
    let public: PublicKey = account.key.public_key();
    // Everybody sees what is signed, so it only names the sealed keys; they travel beside it.
    let sealed_keys = SealedKeys {
        by_password: account.sealed_by_password().0,
        by_recovery_code: account.sealed_by_recovery_code().0,
    };
    let body = RegisterBody {
        username: account.username.to_string(),
        public_key: public.as_bytes().to_vec(),
        sealed_keys_hash: sealed_keys_hash(&sealed_keys).into(),
        issued_unix_ms: unix_ms(),
    };
    Ok(RegisterRequest {
        username: account.username.to_string(),
        password: Secret(derived.auth.to_string()),
        public_key: Base64(public.as_bytes().to_vec()),
        sealed_by_password: Base64(sealed_keys.by_password),
        sealed_by_recovery_code: Base64(sealed_keys.by_recovery_code),
        statement: Base64::statement(&account.sign(StatementKind::Register, &body)?),
        device_id: account.device_id.to_string(),
    })
}

/// What fits the list of sessions: printable, and not too long.
fn device_name(wished: &str) -> String {
    let mut name: String = wished.chars().filter(|c| !c.is_control()).collect();
    while name.len() > MAX_DEVICE_NAME {
        name.pop();
    }
    name
}

fn wrong_password(error: VaultError) -> ClientError {
    match error {
        VaultError::WrongKey => ClientError::WrongPassword,
        other => other.into(),
    }
}
