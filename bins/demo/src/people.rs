//! A person of the story: a real client with a profile directory of its own.

use crate::cluster::{Cluster, PATIENCE};
use anyhow::{Result, bail, ensure};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use telegraph_client::messaging::{Direction, MessageId, Stage};
use telegraph_client::proto::{account::Username, rest::Status};
use telegraph_client::{client::Client, options::Options, password::Password, trust::Trust};

/// Somebody with an account.
pub(crate) struct Person {
    pub(crate) name: Username,
    client: Client,
    password: Password,
    /// Texts this person was told are accepted, by receiver.
    sent: Vec<(Username, String, MessageId)>,
}

impl Person {
    /// Makes an account for `name`.
    pub(crate) async fn register(cluster: &Cluster, name: &str) -> Result<Self> {
        let mut options = Options::new(cluster.directory().join("people").join(name));
        options.managers = cluster.addresses();
        options.trust = Some(Trust::Authority(cluster.ca_pem().to_vec()));
        options.device_name = format!("{name}'s demo device");
        options.deadline = PATIENCE;
        // The story does not want to wait for the back-off of days offline.
        options.max_retry = Duration::from_secs(2);
        let name = Username::parse(name)?;
        let password = Password::new(&format!("a long password of {name}"))?;
        let client = Client::open(options)?;
        client.register(&name, &password).await?;
        Ok(Self { name, client, password, sent: Vec::new() })
    }

    /// Opens a session.
    pub(crate) async fn login(&self) -> Result<()> {
        Ok(self.client.login(Some(&self.name), &self.password).await?)
    }

    /// Opens a door on a free port and announces it; returns where.
    pub(crate) async fn go_online(&self) -> Result<SocketAddr> {
        Ok(self.client.go_online(SocketAddr::from(([127, 0, 0, 1], 0)), None).await?)
    }

    /// Leaves without a word: managers notice by the lease.
    pub(crate) async fn go_offline(&self) -> Result<()> {
        Ok(self.client.go_offline().await?)
    }

    /// Waits until the managers say that somebody is online, or is not.
    pub(crate) async fn sees(&self, whom: &Username, online: bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let peers = self.client.peers().await?;
            let there = peers
                .iter()
                .any(|peer| peer.username == whom.as_str() && peer.status == Status::Online);
            if there == online {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{whom} did not become {}", if online { "online" } else { "offline" });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a message: it is accepted, that is, on this person's disk, when this returns.
    pub(crate) async fn send(&mut self, to: &Username, text: &str) -> Result<MessageId> {
        let id = self.client.send(to, text).await?;
        self.sent.push((to.clone(), text.to_owned(), id));
        Ok(id)
    }

    /// Waits until a message of this person has come as far as `stage`.
    pub(crate) async fn wait_for(&self, id: MessageId, stage: Stage) -> Result<()> {
        let reached = self.client.wait_for(id, stage.clone(), PATIENCE).await?;
        ensure!(reached >= stage, "the message is {reached:?}, not yet {stage:?}");
        Ok(())
    }

    /// How far a message has come when it is given `time`.
    pub(crate) async fn stage_after(&self, id: MessageId, time: Duration) -> Result<Stage> {
        Ok(self.client.wait_for(id, Stage::Delivered, time).await?)
    }

    /// Looks at what arrived, which tells the senders that it was read.
    pub(crate) async fn read_all(&self) -> Result<()> {
        let messages = self.client.history(None, HISTORY).await?;
        Ok(self.client.mark_shown(&messages).await?)
    }

    /// What this person was told is accepted.
    pub(crate) fn sent(&self) -> &[(Username, String, MessageId)] {
        &self.sent
    }

    /// How often this person was shown `text` from `sender`. A message is durable before its
    /// sender's name is looked up, so that the first copy is waited for.
    pub(crate) async fn copies(&self, sender: &Username, text: &str) -> Result<usize> {
        let shown = |message: &&telegraph_client::messaging::Message| {
            message.direction == Direction::Incoming && message.text == text
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let messages = self.client.history(Some(sender), HISTORY).await?;
            let copies = messages.iter().filter(shown).count();
            if copies > 0 || Instant::now() > deadline {
                return Ok(copies);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether this person knows that a message of theirs was read.
    pub(crate) async fn has_receipt(&self, id: MessageId) -> Result<bool> {
        let stage = self.client.wait_for(id, Stage::Read, PATIENCE).await?;
        Ok(stage == Stage::Read)
    }
}

/// More messages than the story has.
const HISTORY: usize = 1000;
