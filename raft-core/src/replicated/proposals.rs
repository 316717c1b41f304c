//! The calls of a typed node that change the replicated state.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::node::session::Session;
use crate::replicated::Replicated;
use crate::replicated::answer::{Answer, CommandError, answered, proposed};
use crate::replicated::machine::StateMachine;

/// A client's session: each command proposed in it is applied once, however often it had to be
/// sent, and its first reply is returned. A [`Session`] with typed commands, and cheap to clone
/// like it.
pub struct TypedSession<M> {
    session: Session,
    machine: PhantomData<fn() -> M>,
}

impl<M: StateMachine> Replicated<M> {
    /// Proposes a command, here or at the leader, and waits until it is applied there: it is then
    /// on the disks of a majority. Waits for a leader, if there is none, until `limit` has passed.
    ///
    /// The command may have been applied although an error is returned:
    /// [`CommandError::may_have_happened`] tells. A [`TypedSession`] tries again by itself then,
    /// and applies it once.
    pub async fn propose(
        &self,
        command: &M::Command,
        limit: Duration,
    ) -> Result<Answer<M::Reply>, CommandError> {
        answered(self.node().propose(proposed::<M>(command)?, limit).await)
    }

    /// Proposes commands together, so that they share what one costs, and gives the outcome of
    /// each, in order: [`Node::propose_batch`](crate::Node::propose_batch). One that has no
    /// encoding is not proposed, and the others are.
    pub async fn propose_batch(
        &self,
        commands: &[M::Command],
        limit: Duration,
    ) -> Vec<Result<Answer<M::Reply>, CommandError>> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut batch = Vec::with_capacity(commands.len());
        for command in commands {
            // A place that is filled below unless there is nothing to propose.
            outcomes.push(match proposed::<M>(command) {
                Ok(command) => {
                    batch.push(command);
                    None
                }
                Err(error) => Some(Err(error.into())),
            });
        }
        let mut applied = self.node().propose_batch(batch, limit).await.into_iter();
        let fill = |outcome: Option<_>| outcome.or_else(|| applied.next().map(answered));
        outcomes.into_iter().filter_map(fill).collect()
    }

    /// Proposes the only command of a session named `key`: proposed again under the same key, by
    /// whomever and through whichever member, it is applied once and gets its first reply. For
    /// edges at which clients bring an idempotency key; see
    /// [`Node::propose_once`](crate::Node::propose_once).
    pub async fn propose_once(
        &self,
        key: [u8; 16],
        command: &M::Command,
        limit: Duration,
    ) -> Result<Answer<M::Reply>, CommandError> {
        answered(self.node().propose_once(key, proposed::<M>(command)?, limit).await)
    }

    /// Opens a new session. Fails as [`propose`](Replicated::propose) does.
    pub async fn open_session(&self, limit: Duration) -> Result<TypedSession<M>, CommandError> {
        let session = self.node().open_session(limit).await?;
        Ok(TypedSession { session, machine: PhantomData })
    }

    /// Opens a session under a name of one's own:
    /// [`Node::open_session_as`](crate::Node::open_session_as).
    pub async fn open_session_as(
        &self,
        id: [u8; 16],
        limit: Duration,
    ) -> Result<TypedSession<M>, CommandError> {
        let session = self.node().open_session_as(id, limit).await?;
        Ok(TypedSession { session, machine: PhantomData })
    }

    /// Goes on with a session that was opened before:
    /// [`Node::resume_session`](crate::Node::resume_session).
    #[must_use]
    pub fn resume_session(&self, id: [u8; 16], next_sequence: u64) -> TypedSession<M> {
        let session = self.node().resume_session(id, next_sequence);
        TypedSession { session, machine: PhantomData }
    }
}

impl<M: StateMachine> TypedSession<M> {
    /// Proposes a command and tries again, whatever happens to an attempt, until it has its reply
    /// or `limit` has passed: [`Session::propose`].
    pub async fn propose(
        &self,
        command: &M::Command,
        limit: Duration,
    ) -> Result<Answer<M::Reply>, CommandError> {
        answered(self.session.propose(proposed::<M>(command)?, limit).await)
    }

    /// The session underneath: its name, and the number of its next command.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl<M> Clone for TypedSession<M> {
    fn clone(&self) -> TypedSession<M> {
        TypedSession { session: self.session.clone(), machine: PhantomData }
    }
}

impl<M> fmt::Debug for TypedSession<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSession").field(&self.session).finish()
    }
}
