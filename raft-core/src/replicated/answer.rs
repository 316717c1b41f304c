//! What comes back of a typed command.

use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::applied::Applied;
use crate::codec::{self, Undecodable, Unencodable};
use crate::command::Command;
use crate::error::ProposeError;
use crate::position::Position;
use crate::replicated::machine::StateMachine;
use crate::replicated::verdict::Verdict;

/// A value, and how much of the log it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// Of a command: where it stands in the log. Of a read: everything up to here was applied.
    pub position: Position,
    /// The reply, or what was read.
    pub value: T,
}

/// Why a typed command was not, or perhaps not, applied; or what hides its reply.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It has no encoding: nothing was proposed.
    #[error("the command: {0}")]
    Unencodable(#[from] Unencodable),
    /// The members could not decode it, and it changed nothing: a build that writes another form
    /// of commands than theirs under the same version.
    #[error("the command at {position} cannot be decoded")]
    Undecodable {
        /// Where it stands in the log.
        position: Position,
    },
    /// It was applied, but its reply cannot be read: it has no encoding, or a newer build made it.
    #[error("the command was applied at {position}; its reply: {source}")]
    Unreadable {
        /// Where it stands in the log.
        position: Position,
        /// What is wrong with the reply.
        source: Undecodable,
    },
    /// It was not proposed, or what became of it is unknown.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

impl CommandError {
    /// True when the command was applied, or may have been, or may yet be; false when it certainly
    /// was not, so that proposing it again is safe.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            CommandError::Unencodable(_) | CommandError::Undecodable { .. } => false,
            CommandError::Unreadable { .. } => true,
            CommandError::Propose(error) => error.may_have_happened(),
        }
    }
}

/// A command as it is proposed.
pub(crate) fn proposed<M: StateMachine>(command: &M::Command) -> Result<Command, Unencodable> {
    Ok(Command::new(codec::encode(command)?).with_version(M::version_of(command)))
}

/// What the reply to a proposed command says.
pub(crate) fn answered<R: DeserializeOwned>(
    outcome: Result<Applied, ProposeError>,
) -> Result<Answer<R>, CommandError> {
    let Applied { position, reply, .. } = outcome?;
    match Verdict::decode(&reply) {
        Ok(Verdict::Reply(value)) => Ok(Answer { position, value }),
        Ok(Verdict::Undecodable) => Err(CommandError::Undecodable { position }),
        Ok(Verdict::Unencodable) => {
            let source = Undecodable::new("it has no encoding");
            Err(CommandError::Unreadable { position, source })
        }
        Err(source) => Err(CommandError::Unreadable { position, source }),
    }
}
