//! `telegraph run`: stays online, prints what comes, sends what is typed.

mod line;
mod shown;

use crate::{
    chat::{
        line::{HELP, Line},
        shown::Shown,
    },
    client::Client,
    control::Control,
    error::{ClientError, chain},
    escape::for_terminal,
    event::ClientEvent,
    output,
    request::{Answer, Request, perform},
    row::{MessageRow, PeerRow},
};
use peer_messaging::{Event, Message};
use std::{collections::VecDeque, io::BufRead, net::SocketAddr, time::Duration};
use telegraph_proto::account::Username;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{broadcast::error::RecvError, mpsc},
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
    /// To whom a typed line goes.
    partner: Option<Username>,
    /// Messages of people without a name yet, and until when they wait for it; the first one first.
    unnamed: VecDeque<(Instant, Message)>,
    shown: Shown,
}

/// Runs until Ctrl-C, SIGTERM or `/quit`; the end of stdin alone does not end it. `client` must be
/// unlocked.
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
    let mut typed = typed_lines();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(not_printed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(not_printed)?;
    loop {
        let waiting = chat.unnamed.front().map(|(until, _)| *until);
        tokio::select! {
            () = sleep_until(waiting.unwrap_or_else(Instant::now)), if waiting.is_some() => {
                chat.show_late().await?;
            }
            event = events.recv() => match event {
                Ok(event) => chat.happened(event).await?,
                Err(RecvError::Lagged(_)) => chat.show_unread().await?,
                Err(RecvError::Closed) => break,
            },
            Ok(event) = happenings.recv() => chat.managers(&event)?,
            Some(line) = typed.recv() => {
                if chat.obey(&line).await?.is_break() {
                    break;
                }
            }
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    if let Some(control) = control {
        control.shutdown().await;
    }
    client.go_offline().await
}

impl Chat {
    fn new(client: Client, settings: Settings) -> Self {
        let (unnamed, shown) = (VecDeque::new(), Shown::default());
        Self { client, settings, partner: None, unnamed, shown }
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
            Event::StageChanged { id, stage } => {
                let (name, reason) = (crate::row::stage(&stage), crate::row::reason(&stage));
                if self.settings.json {
                    let event = serde_json::json!({
                        "event": "stage", "message_id": id.to_string(), "stage": name,
                        "reason": reason,
                    });
                    return output::line(&event.to_string()).map_err(not_printed);
                }
                if let Some(reason) = reason {
                    output::note(&format!("  {name}: {}", for_terminal(&reason, " ")));
                } else if matches!(name, "delivered" | "read") {
                    output::note(&format!("  {name}"));
                }
                Ok(())
            }
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

    fn show(&mut self, message: &Message) -> Result<(), ClientError> {
        if !self.shown.is_first(message) {
            return Ok(());
        }
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
            ClientEvent::SessionEnded { why } => (
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
        match Line::parse(typed, self.partner.is_some()) {
            Line::Nothing => {}
            Line::Quit => return Ok(Break(())),
            Line::Help => output::note(HELP),
            Line::Peers => self.list_peers().await,
            Line::Talk(None) => {
                self.partner = None;
                output::note("  to nobody in particular: NAME TEXT");
            }
            Line::Talk(Some(name)) => match Username::parse(name) {
                Ok(partner) => {
                    output::note(&format!("  to {partner}; /to alone ends that"));
                    self.partner = Some(partner);
                }
                Err(error) => output::note(&format!("  {error}")),
            },
            Line::Say(text) => {
                if let Some(partner) = self.partner.clone() {
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

    async fn say(&self, to: &Username, text: &str) {
        match self.client.send(to, text).await {
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
