//! What commands print: plain text for people, JSON for programs, and nothing else on stdout.

use crate::{
    client::WhoAmI,
    escape::for_terminal,
    event::ClientEvent,
    request::{Answer, Sent},
    row::{MessageRow, PeerRow, SessionRow},
    time::{clock, date_and_clock},
};
use std::io::{self, Write};

/// Ahead of the second and further lines of a message, so that none of them looks like another one.
const CONTINUATION: &str = "      | ";

/// Prints an answer on stdout.
pub(crate) fn print(answer: &Answer, json: bool) -> io::Result<()> {
    let text = if json { serde_json::to_string(answer)? } else { for_people(answer) };
    line(&text)
}

/// Prints one line on stdout. A reader that went away is not this command's failure.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Prints one line for the person, on stderr.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn for_people(answer: &Answer) -> String {
    match answer {
        Answer::Whoami(who) => whoami(who),
        Answer::Peers { peers } if peers.is_empty() => "nobody is online".into(),
        Answer::Peers { peers } => join(peers.iter().map(peer)),
        Answer::Sent(report) => sent(report),
        Answer::Messages { messages } if messages.is_empty() => "no messages".into(),
        Answer::Messages { messages } => join(messages.iter().map(message)),
        Answer::Sessions { sessions } => join(sessions.iter().map(session)),
        Answer::Enrolled { username, recovery_code, .. } => [
            &format!("{username} is registered and logged in."),
            "",
            "Recovery code, shown this once. Write it down, and keep it apart from this machine:",
            "",
            &format!("    {recovery_code}"),
            "",
        ]
        .join("\n"),
        Answer::Done { message } => message.clone(),
    }
}

fn join(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn whoami(who: &WhoAmI) -> String {
    let or = |value: &Option<String>, other: &str| value.clone().unwrap_or_else(|| other.into());
    let session = if who.logged_in { "logged in" } else { "not logged in" };
    let locked = "not shown while the profile is locked";
    let pending = who.pending.map_or_else(|| locked.into(), |count| count.to_string());
    [
        ("username", or(&who.username, "nobody yet")),
        ("account", or(&who.account_id, locked)),
        ("device", who.device_id.clone()),
        ("cluster", or(&who.cluster_id, "none yet")),
        ("session", session.into()),
        ("address", or(&who.address, "not online")),
        ("pending", pending),
        ("managers", who.managers.join(", ")),
    ]
    .map(|(name, value)| format!("{name:<9} {}", for_terminal(&value, " ")))
    .join("\n")
}

fn peer(peer: &PeerRow) -> String {
    let address = peer.address.as_deref().unwrap_or("not reachable");
    let account = peer.account_id.get(..8).unwrap_or_default();
    for_terminal(&format!("{:<32} {account:<8} {address}", peer.username), " ")
}

fn session(session: &SessionRow) -> String {
    let mark = if session.current { "this one" } else { "" };
    let name = if session.device_name.is_empty() { "unnamed" } else { &session.device_name };
    let since = date_and_clock(session.created_unix_ms);
    let until = date_and_clock(session.expires_unix_ms);
    let row = format!("{} {name:<20} {since} until {until} {mark}", session.session_id);
    for_terminal(row.trim_end(), " ")
}

/// A message on one line, or several that cannot be taken for more than one message.
pub(crate) fn message(row: &MessageRow) -> String {
    let who = if row.direction == "in" {
        format!("{} →", row.with)
    } else {
        format!("→ {}", row.with)
    };
    let text = for_terminal(&row.text, CONTINUATION);
    let when = date_and_clock(row.composed_unix_ms);
    let head = format!("{when} {}: {text}", for_terminal(&who, " "));
    match (&row.reason, row.direction.as_str()) {
        (Some(reason), _) => format!("{head}  [{}: {}]", row.stage, for_terminal(reason, " ")),
        (None, "out") => format!("{head}  [{}]", row.stage),
        (None, _) if row.stage == "unread" => format!("{head}  [new]"),
        (None, _) => head,
    }
}

/// A message as `run` shows it when it arrives.
pub(crate) fn arrived(row: &MessageRow) -> String {
    let text = for_terminal(&row.text, CONTINUATION);
    let when = clock(row.composed_unix_ms);
    format!("{when} {}: {text}", for_terminal(&row.with, " "))
}

fn sent(report: &Sent) -> String {
    let Sent { to, stage, reason, .. } = report;
    match (stage.as_str(), reason) {
        (_, Some(reason)) => format!("{stage}: {}", for_terminal(reason, " ")),
        ("pending", None) => format!(
            "pending: kept here, not delivered yet. It goes out as soon as you and {to} are online \
             together: during `telegraph run`, or at the next `telegraph send`."
        ),
        ("sent", None) => format!("sent: handed to {to}, who has not confirmed it yet"),
        ("delivered", None) => format!("delivered to {to}"),
        ("read", None) => format!("read by {to}"),
        (other, None) => other.into(),
    }
}

/// Says that fewer managers than should be could be asked who somebody is; `None` of other events.
pub(crate) fn few_compared(event: &ClientEvent) -> Option<String> {
    let ClientEvent::FewCompared { username, compared, wanted } = event else { return None };
    Some(format!(
        "who {username} is was asked of {compared} of the {wanted} managers that should agree on \
         it: if that is a bad one, it can have named a stranger"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, direction: &str, stage: &str) -> MessageRow {
        MessageRow {
            message_id: "m".into(),
            with: "bob".into(),
            direction: direction.into(),
            text: text.into(),
            composed_unix_ms: 0,
            stage: stage.into(),
            reason: None,
            delivered_unix_ms: None,
            read_unix_ms: None,
        }
    }

    #[test]
    fn a_message_cannot_look_like_two_or_touch_the_terminal() {
        let shown = message(&row("hi\n1970-01-01 00:00 eve →: lies\u{1b}[31m", "in", "read"));
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.lines().nth(1).unwrap().starts_with(CONTINUATION), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn the_state_of_a_message_is_told_in_words() {
        assert!(message(&row("a", "out", "delivered")).ends_with("[delivered]"));
        assert!(message(&row("a", "in", "unread")).ends_with("[new]"));
        let held = MessageRow { reason: Some("new key".into()), ..row("a", "out", "held") };
        assert!(message(&held).ends_with("[held: new key]"));
    }

    #[test]
    fn a_pending_message_is_not_taken_for_a_delivered_one() {
        let report = Sent {
            message_id: "m".into(),
            to: "bob".into(),
            stage: "pending".into(),
            done: false,
            reason: None,
        };
        let text = sent(&report);
        assert!(text.starts_with("pending") && text.contains("not delivered yet"), "{text}");
    }

    #[test]
    fn json_names_its_kind_and_keeps_its_fields() {
        let answer = Answer::Messages { messages: vec![row("a\u{1b}", "out", "sent")] };
        let json: serde_json::Value = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["kind"], "messages");
        let message = &json["messages"][0];
        for field in ["message_id", "with", "direction", "text", "composed_unix_ms", "stage"] {
            assert!(!message[field].is_null(), "{field}");
        }
        // A program gets the text as it is.
        assert_eq!(message["text"], "a\u{1b}");
    }
}
