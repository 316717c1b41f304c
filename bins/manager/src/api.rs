//! What people can do, one method each: check, build a command, propose it, read the reply.
//!
//! - What changes an account first waits for a read barrier, so that it is judged by everything
//!   that was acknowledged before, at whichever manager.
//! - What only looks somebody up is answered from this manager's own state, leader or not: the
//!   statements in it are signed, and whoever connects checks the key.

pub(crate) mod accounts;
pub(crate) mod addresses;
pub(crate) mod caller;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod sessions;

use crate::limiter::{Attempt, Limiter};
use crate::metrics::{Count, Metrics};
use crate::passwords::{Password, Passwords, Verdict};
use crate::presence::ear::Presence;
use error::ApiError;
use identity_store::{Account, Command, IdentityReader, Reply};
use raft_core::Node;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telegraph_proto::account::Username;

/// What the actions stand on.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) node: Node,
    pub(crate) reader: IdentityReader,
    pub(crate) passwords: Passwords,
    pub(crate) limiter: Limiter,
    pub(crate) presence: Presence,
    pub(crate) metrics: Arc<Metrics>,
    /// How long an action waits for a leader and for consensus.
    pub(crate) deadline: Duration,
    pub(crate) session_lifetime: Duration,
}

impl Api {
    /// Waits until this manager's state holds everything acknowledged before the call.
    async fn barrier(&self) -> Result<(), ApiError> {
        self.node.read_barrier(self.deadline).await?;
        Ok(())
    }

    /// Proposes a command; a refusal is an error here.
    async fn run(&self, command: &Command) -> Result<Reply, ApiError> {
        let applied = self.node.propose(command.encode(), self.deadline).await?;
        match Reply::decode(&applied.reply).map_err(ApiError::internal)? {
            Reply::Rejected(rejection) => Err(rejection.into()),
            reply => Ok(reply),
        }
    }

    /// Runs a command that answers nothing but that it was done.
    async fn run_quietly(&self, command: &Command) -> Result<(), ApiError> {
        match self.run(command).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Checks a password against an account's, or against nobody's at the same cost; returns a
    /// better hash when there should be one. Slows down who is wrong too often.
    async fn check_password(
        &self,
        username: &Username,
        password: Password,
        account: Option<&Account>,
        from: IpAddr,
    ) -> Result<Option<String>, ApiError> {
        let attempt = Attempt::new(username.as_str(), from);
        self.limiter.take(&attempt, Instant::now()).map_err(|wait| {
            self.metrics.count(Count::LoginLimited);
            ApiError::TooManyAttempts { wait }
        })?;
        let hash = account.map(|account| account.password_hash.as_str());
        let verdict = self.passwords.verify(password, hash).await;
        if !matches!(verdict, Ok(Verdict::Wrong)) {
            self.limiter.give_back(&attempt, Instant::now());
        }
        match verdict? {
            Verdict::Wrong => {
                self.metrics.count(Count::LoginWrong);
                Err(ApiError::WrongCredentials)
            }
            Verdict::Right => Ok(None),
            Verdict::RightRehashed(better) => Ok(Some(better)),
        }
    }
}

fn unexpected(reply: &Reply) -> ApiError {
    ApiError::internal(format!("a command was answered with {reply:?}"))
}
