//! Messages, there and back.

use crate::{client::Client, error::ClientError, row};
use peer_messaging::{Correspondent, Message, MessageId, Stage};
use std::time::Duration;
use telegraph_proto::account::Username;

impl Client {
    /// Puts a message into the outbox, where it survives whatever happens to this process. It
    /// leaves when this client is online.
    ///
    /// Fails when nobody has that name, when nobody can say so and it was never looked up before,
    /// and at the limits of length and of the outbox.
    pub async fn send(&self, to: &Username, text: &str) -> Result<MessageId, ClientError> {
        let messenger = self.messenger().await?;
        Ok(messenger.compose(to, text.to_owned()).await?)
    }

    /// Waits until a message has come as far as `stage`, is held or failed, or time is up; returns
    /// how far it has come.
    pub async fn wait_for(
        &self,
        id: MessageId,
        stage: Stage,
        deadline: Duration,
    ) -> Result<Stage, ClientError> {
        let messenger = self.messenger().await?;
        Ok(messenger.wait_for(id, stage, deadline).await?)
    }

    /// To whom a message of ours goes.
    pub(crate) async fn recipient_of(&self, id: MessageId) -> Result<Correspondent, ClientError> {
        let messenger = self.messenger().await?;
        Ok(messenger.recipient_of(id).await?)
    }

    /// The newest `limit` messages, oldest first: with one person, or with everybody.
    pub async fn history(
        &self,
        with: Option<&Username>,
        limit: usize,
    ) -> Result<Vec<Message>, ClientError> {
        let messenger = self.messenger().await?;
        Ok(messenger.history(with, limit).await?)
    }

    /// These messages were shown, and with each of them all that the same person sent before it:
    /// they are told, now or as soon as they can be reached.
    pub async fn mark_shown(&self, messages: &[Message]) -> Result<(), ClientError> {
        if !messages.iter().any(row::is_unread) {
            return Ok(());
        }
        let messenger = self.messenger().await?;
        Ok(messenger.mark_shown(messages).await?)
    }

    /// Everything received from somebody so far was shown: tells them, now or as soon as they can
    /// be reached.
    pub async fn mark_read(&self, from: &Username) -> Result<(), ClientError> {
        let messenger = self.messenger().await?;
        Ok(messenger.mark_read(from).await?)
    }
}
