//! What a typed line means.

/// What `/help` shows.
pub(crate) const HELP: &str = "  \
  NAME TEXT    sends TEXT to NAME, whom you know or begin with
  TEXT         goes to whom you wrote to, or heard from, last
  /to NAME     TEXT goes to NAME from now on, whoever writes
  /to          ends that
  /peers       who is online
  /help        this
  /quit        ends the program; so does Ctrl-C
  //text       a message that begins with /text";

/// A typed line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Blank.
    Nothing,
    Quit,
    Help,
    Peers,
    /// To whom lines go from now on.
    Talk(Option<&'a str>),
    /// To the partner.
    Say(&'a str),
    /// To somebody.
    SayTo(&'a str, &'a str),
    /// Neither a command nor a message.
    Unclear,
}

impl<'a> Line<'a> {
    /// Reads a line. With a partner, all that is not a command is for the partner, unless it begins
    /// with a name that `knows` says is known here: a word that is none must not be asked of
    /// managers, who would read along.
    pub(crate) fn parse(typed: &'a str, has_partner: bool, knows: impl Fn(&str) -> bool) -> Self {
        let typed = typed.trim();
        if typed.is_empty() {
            return Self::Nothing;
        }
        if let Some(escaped) = typed.strip_prefix("//") {
            // The slash that is sent is the second one.
            let text = &typed[typed.len() - escaped.len() - 1..];
            return if has_partner { Self::Say(text) } else { Self::Unclear };
        }
        if let Some(command) = typed.strip_prefix('/') {
            let (name, rest) = split(command);
            return match name {
                "quit" | "q" => Self::Quit,
                "help" | "h" | "?" => Self::Help,
                "peers" => Self::Peers,
                "to" => Self::Talk(rest),
                _ => Self::Unclear,
            };
        }
        match split(typed) {
            (name, Some(text)) if !has_partner || knows(name) => Self::SayTo(name, text),
            _ if has_partner => Self::Say(typed),
            (_, Some(_)) => Self::Unclear,
            (_, None) => Self::Unclear,
        }
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(char::is_whitespace) {
        Some((first, rest)) => (first, Some(rest.trim()).filter(|rest| !rest.is_empty())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_a_command_or_unclear() {
        for (typed, alone, with_partner) in [
            ("", Line::Nothing, Line::Nothing),
            ("  ", Line::Nothing, Line::Nothing),
            ("bob hello there", Line::SayTo("bob", "hello there"), Line::Say("bob hello there")),
            ("bob", Line::Unclear, Line::Say("bob")),
            ("carol hi", Line::SayTo("carol", "hi"), Line::SayTo("carol", "hi")),
            ("carol", Line::Unclear, Line::Say("carol")),
            ("/to bob", Line::Talk(Some("bob")), Line::Talk(Some("bob"))),
            ("/to", Line::Talk(None), Line::Talk(None)),
            ("/peers", Line::Peers, Line::Peers),
            ("/quit", Line::Quit, Line::Quit),
            ("/help", Line::Help, Line::Help),
            ("/etc/passwd", Line::Unclear, Line::Unclear),
            ("//etc/passwd", Line::Unclear, Line::Say("/etc/passwd")),
            ("bob /quit", Line::SayTo("bob", "/quit"), Line::Say("bob /quit")),
            ("ñandú ¿qué?", Line::SayTo("ñandú", "¿qué?"), Line::Say("ñandú ¿qué?")),
        ] {
            let knows = |name: &str| name == "carol";
            assert_eq!(Line::parse(typed, false, knows), alone, "{typed:?}");
            assert_eq!(Line::parse(typed, true, knows), with_partner, "{typed:?}");
        }
    }
}
