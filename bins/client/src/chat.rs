//! `telegraph run`: stays online, prints what comes, sends what is typed.

mod line;
mod partner;
mod shown;

use crate::{
    chat::{
        line::{HELP, Line},
        partner::Partner,
        shown::Shown,
    },
    client::Client,
    control::Control,
    error::{ClientError, chain},
    escape::for_terminal,
    event::ClientEvent,
    managers::error::ManagerError,
    output,
    request::{Answer, Request, perform},
    row::{MessageRow, PeerRow},
};
use peer_messaging::{Event, Message, MessageId, Stage};
use std::{collections::VecDeque, io::BufRead, net::SocketAddr, time::Duration};
use telegraph_proto::account::Username;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc,
    },
    time::{Instant, sleep_until},
};

/// Lines typed ahead of this program: more wait in the terminal.
const TYPED_AHEAD: usize = 16;
/// Messages looked through for unread ones at the start, and after this program fell behind.
const CATCH_UP: usize = 1000;

/// How long a message of somebody who writes for the first time waits for their name, which a
/// manager has to be asked for. After that it is shown under the account's short id.
const NAMING: Duration = Duration::from_secs(2);

/// How `run` was called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) advertise: Option<SocketAddr>,
    /// Nothing is shown as read, and nothing is told to be.
    pub(crate) peek: bool,
    pub(crate) json: bool,
}

struct Chat {
    client: Client,
    settings: Settings,
    partner: Partner,
    /// Messages of people without a name yet, and until when they wait for it; the first one first.
    unnamed: VecDeque<(Instant, Message)>,
    shown: Shown,
}

/// Runs until Ctrl-C, SIGTERM or `/quit`; the end of stdin alone does not end it. `client` must be
/// unlocked. Fails with [`ManagerError::SessionEnded`] when the person logs in on another device.
pub(crate) async fn run(client: Client, settings: Settings) -> Result<(), ClientError> {
    let mut happenings = client.events();
    let address = client.go_online(settings.listen, settings.advertise).await?;
    let who = client.whoami().await?;
    let control = Control::bind(client.clone(), client.directory())
        .inspect_err(|error| {
            output::note(&format!("other commands cannot reach this one: {error}"));
        })
        .ok();
    let mut chat = Chat::new(client.clone(), settings);
    chat.announce(&who.username.unwrap_or_default(), address)?;
    let mut events = client.messenger().await?.events();
    chat.show_unread().await?;
    let outcome = chat.follow(&mut events, &mut happenings).await;
    if let Some(control) = control {
        control.shutdown().await;
    }
    client.go_offline().await?;
    // What else went wrong then went wrong because of it.
    while let Ok(event) = happenings.try_recv() {
        if let ClientEvent::SessionEnded { why, replaced: true } = event {
            return Err(ManagerError::SessionEnded(why).into());
        }
    }
    outcome
}

impl Chat {
    /// Does what comes until the end.
    async fn follow(
        &mut self,
        events: &mut Receiver<Event>,
        happenings: &mut Receiver<ClientEvent>,
    ) -> Result<(), ClientError> {
        let mut typed = typed_lines();
        let mut is_typing = true;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(not_printed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(not_printed)?;
        loop {
            let waiting = self.unnamed.front().map(|(until, _)| *until);
            tokio::select! {
                () = sleep_until(waiting.unwrap_or_else(Instant::now)), if waiting.is_some() => {
                    self.show_late().await?;
                }
                event = events.recv() => match event {
                    Ok(event) => self.happened(event).await?,
                    Err(RecvError::Lagged(_)) => self.show_unread().await?,
                    Err(RecvError::Closed) => return Ok(()),
                },
                Ok(event) = happenings.recv() => {
                    self.managers(&event)?;
                    if let ClientEvent::SessionEnded { why, replaced: true } = event {
                        return Err(ManagerError::SessionEnded(why).into());
                    }
                }
                line = typed.recv(), if is_typing => match line {
                    Some(line) => {
                        if self.obey(&line).await?.is_break() {
                            return Ok(());
                        }
                    }
                    None => {
                        is_typing = false;
                        output::note("  input ended; this stays online. Ctrl-C ends it");
                    }
                },
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
        }
    }

    fn new(client: Client, settings: Settings) -> Self {
        let (unnamed, shown) = (VecDeque::new(), Shown::default());
        Self { client, settings, partner: Partner::default(), unnamed, shown }
    }

    fn announce(&self, username: &str, address: SocketAddr) -> Result<(), ClientError> {
        if self.settings.json {
            let event = serde_json::json!({
                "event": "online", "username": username, "address": address.to_string(),
            });
            return output::line(&event.to_string()).map_err(not_printed);
        }
        output::note(&format!("{username} is online at {address}. /help tells what to type."));
        Ok(())
    }

    /// What came while nobody was looking.
    async fn show_unread(&mut self) -> Result<(), ClientError> {
        let messages = self.client.history(None, CATCH_UP).await?;
        let unread: Vec<Message> =
            messages.into_iter().filter(|m| MessageRow::from(m).stage == "unread").collect();
        for message in &unread {
            self.show(message)?;
        }
        if self.settings.peek { Ok(()) } else { self.client.mark_shown(&unread).await }
    }

    /// The first of those who have no name yet has waited long enough for it.
    async fn show_late(&mut self) -> Result<(), ClientError> {
        match self.unnamed.pop_front() {
            Some((_, message)) => self.show_and_mark(message).await,
            None => Ok(()),
        }
    }

    async fn show_and_mark(&mut self, message: Message) -> Result<(), ClientError> {
        self.show(&message)?;
        if self.settings.peek {
            return Ok(());
        }
        self.client.mark_shown(&[message]).await
    }

    async fn happened(&mut self, event: Event) -> Result<(), ClientError> {
        match event {
            Event::Received(message) if message.with.username.is_none() => {
                self.unnamed.push_back((Instant::now() + NAMING, message));
                Ok(())
            }
            Event::Received(message) => self.show_and_mark(message).await,
            Event::ContactNamed { account_id, username } => {
                let all = std::mem::take(&mut self.unnamed);
                let (named, unnamed): (VecDeque<_>, _) =
                    all.into_iter().partition(|(_, m)| m.with.account_id == account_id);
                self.unnamed = unnamed;
                for (_, mut message) in named {
                    message.with.username = Some(username.clone());
                    self.show_and_mark(message).await?;
                }
                Ok(())
            }
            Event::StageChanged { id, stage } => self.show_stage(id, &stage).await,
            Event::ContactHeld { username, .. } => {
                let text = format!(
                    "the managers name another key for {username} than before. Nothing is sent to \
                     {username} until that is cleared up"
                );
                if self.settings.json {
                    let event = serde_json::json!({
                        "event": "contact-held", "username": username.to_string(), "detail": text,
                    });
                    return output::line(&event.to_string()).map_err(not_printed);
                }
                output::note(&format!("  {text}"));
                Ok(())
            }
            other => {
                tracing::debug!(?other, "not shown");
                Ok(())
            }
        }
    }

    /// How far a message of ours has come, and whose it is.
    async fn show_stage(&self, id: MessageId, stage: &Stage) -> Result<(), ClientError> {
        let (name, reason) = (crate::row::stage(stage), crate::row::reason(stage));
        let to = self.client.recipient_of(id).await?.to_string();
        if self.settings.json {
            let event = serde_json::json!({
                "event": "stage", "message_id": id.to_string(), "to": to, "stage": name,
                "reason": reason,
            });
            return output::line(&event.to_string()).map_err(not_printed);
        }
        if let Some(reason) = reason {
            output::note(&for_terminal(&format!("  ({to}: {name}: {reason})"), " "));
        } else if matches!(name, "delivered" | "read") {
            output::note(&format!("  ({to}: {name})"));
        }
        Ok(())
    }

    fn show(&mut self, message: &Message) -> Result<(), ClientError> {
        if !self.shown.is_first(message) {
            return Ok(());
        }
        self.print(message)?;
        if let Some(name) = &message.with.username
            && self.partner.hear(name)
            && !self.settings.json
        {
            output::note(&format!("  (lines go to {name} now; /to NAME chooses)"));
        }
        Ok(())
    }

    fn print(&self, message: &Message) -> Result<(), ClientError> {
        let row = MessageRow::from(message);
        let text = if self.settings.json {
            let mut event = serde_json::json!({ "event": "message" });
            if let (Some(event), Ok(serde_json::Value::Object(fields))) =
                (event.as_object_mut(), serde_json::to_value(&row))
            {
                event.extend(fields);
            }
            event.to_string()
        } else {
            output::arrived(&row)
        };
        output::line(&text).map_err(not_printed)
    }

    fn managers(&self, event: &ClientEvent) -> Result<(), ClientError> {
        let (name, text) = match event {
            ClientEvent::SessionEnded { why, replaced: true } => (
                "session-ended",
                format!(
                    "{why}. Messages go there from now on; this client is offline. What waits to \
                     be sent stays in this profile until `telegraph login`"
                ),
            ),
            ClientEvent::SessionEnded { why, replaced: false } => (
                "session-ended",
                format!(
                    "{why}. With people already known messages go on; for a new session: Ctrl-C, \
                     then `telegraph login`"
                ),
            ),
            ClientEvent::ManagersAway { why } => (
                "managers-away",
                format!(
                    "no manager can be reached ({why}). With people already known messages go on"
                ),
            ),
            ClientEvent::FewCompared { .. } => {
                ("few-compared", output::few_compared(event).unwrap_or_default())
            }
            ClientEvent::ManagersBack => ("managers-back", "managers are back".to_owned()),
        };
        if self.settings.json {
            let event = serde_json::json!({ "event": name, "detail": text });
            return output::line(&event.to_string()).map_err(not_printed);
        }
        output::note(&for_terminal(&format!("  {text}"), " "));
        Ok(())
    }

    /// Does what was typed. What fails is told, and ends nothing.
    async fn obey(&mut self, typed: &str) -> Result<std::ops::ControlFlow<()>, ClientError> {
        use std::ops::ControlFlow::{Break, Continue};
        let messenger = self.client.messenger().await?;
        let knows =
            |name: &str| Username::parse(name).is_ok_and(|username| messenger.knows(&username));
        match Line::parse(typed, self.partner.who().is_some(), knows) {
            Line::Nothing => {}
            Line::Quit => return Ok(Break(())),
            Line::Help => output::note(HELP),
            Line::Peers => self.list_peers().await,
            Line::Talk(None) => {
                self.partner.choose(None);
                output::note("  to nobody in particular: NAME TEXT");
            }
            Line::Talk(Some(name)) => match Username::parse(name) {
                Ok(partner) => {
                    output::note(&format!("  to {partner}; /to alone ends that"));
                    self.partner.choose(Some(partner));
                }
                Err(error) => output::note(&format!("  {error}")),
            },
            Line::Say(text) => {
                if let Some(partner) = self.partner.who().cloned() {
                    self.say(&partner, text).await;
                }
            }
            Line::SayTo(name, text) => match Username::parse(name) {
                Ok(to) => self.say(&to, text).await,
                Err(error) => output::note(&format!("  {error}")),
            },
            Line::Unclear => output::note("  NAME TEXT sends a message; /help tells more"),
        }
        Ok(Continue(()))
    }

    async fn say(&mut self, to: &Username, text: &str) {
        let taken = self.client.send(to, text).await;
        if taken.is_ok() {
            self.partner.follow(to);
        }
        match taken {
            Ok(id) if self.settings.json => {
                let event = serde_json::json!({
                    "event": "accepted", "message_id": id.to_string(), "to": to.to_string(),
                });
                let _ = output::line(&event.to_string());
            }
            Ok(_) => {}
            Err(error) => output::note(&format!("  {}", chain(&error))),
        }
    }

    async fn list_peers(&self) {
        match perform(&self.client, Request::Peers).await {
            Ok(Answer::Peers { peers }) if peers.is_empty() => output::note("  nobody is online"),
            Ok(Answer::Peers { peers }) => {
                for PeerRow { username, .. } in peers {
                    output::note(&for_terminal(&format!("  {username}"), " "));
                }
            }
            Ok(_) => {}
            Err(error) => output::note(&format!("  {}", chain(&error))),
        }
    }
}

/// Reads stdin on a thread of its own, which nobody waits for: a blocked read cannot be ended.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(TYPED_AHEAD);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn not_printed(error: std::io::Error) -> ClientError {
    ClientError::Output(error)
}
