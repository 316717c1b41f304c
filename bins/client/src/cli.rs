//! What can be typed: commands and flags, each flag with its `TELEGRAPH_*` variable.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// Sends messages straight to people, found through identity managers.
///
/// A profile directory holds one person: account key, settings and messages, sealed under the
/// password. `telegraph run` stays online with it; the other commands work beside it, or alone.
///
/// Exit codes: 0 done · 1 error · 2 wrong usage · 4 not found · 5 conflict (name taken, profile in
/// use) · 6 password, session or trust · 69 no manager available · 75 accepted, not finished yet
/// (the message is kept and still pending).
#[derive(Debug, Parser)]
#[command(name = "telegraph", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command. What `register` and `login` were given is remembered in the profile.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The person's directory [default: ~/.telegraph]
    #[arg(long, global = true, value_name = "DIR", env = "TELEGRAPH_PROFILE")]
    pub(crate) profile: Option<PathBuf>,
    /// A manager's address; may be repeated.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "TELEGRAPH_MANAGER",
        value_delimiter = ','
    )]
    pub(crate) manager: Vec<String>,
    /// The authority that managers' certificates are signed by, PEM.
    #[arg(long, global = true, value_name = "FILE", env = "TELEGRAPH_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The SHA-256 of that authority's certificate, when the file is not at hand.
    #[arg(
        long,
        global = true,
        value_name = "HEX",
        env = "TELEGRAPH_CA_FINGERPRINT",
        conflicts_with = "ca"
    )]
    pub(crate) ca_fingerprint: Option<String>,
    /// A name that all managers answer to; port 8000 unless it says another.
    #[arg(long, global = true, value_name = "NAME[:PORT]", env = "TELEGRAPH_DNS")]
    pub(crate) dns: Option<String>,
    /// IPv4 range to ask by UDP when nothing else leads to a manager: 10.0.0.0/24 or FIRST-LAST,
    /// and optionally the UDP port.
    #[arg(long, global = true, value_name = "RANGE[:PORT]", env = "TELEGRAPH_SWEEP")]
    pub(crate) sweep: Option<String>,
    /// Reads the password from a file instead of asking for it.
    #[arg(long, global = true, value_name = "FILE", env = "TELEGRAPH_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Prints JSON on stdout: one object, for `run` one a line.
    #[arg(long, global = true, env = "TELEGRAPH_JSON")]
    pub(crate) json: bool,
    /// How long to wait for managers, and with `send` for the other side, in seconds.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "TELEGRAPH_TIMEOUT",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub(crate) timeout: u64,
    /// What to log on stderr, as `warn`, `debug` or `telegraph_client=trace`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "TELEGRAPH_LOG",
        default_value = "error"
    )]
    pub(crate) log: String,
}

/// One command.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Makes an account, and logs in. Prints the recovery code, once.
    Register {
        /// 2 to 32 of a-z 0-9 . _ -
        username: String,
    },
    /// Opens a session; in a new profile it also restores the account's key.
    Login {
        /// Whose account; may be left out in a profile that knows.
        username: Option<String>,
    },
    /// Ends the session. Account and messages stay in the profile.
    Logout,
    /// Shows whose profile this is, and how things stand.
    Whoami,
    /// Lists who is online.
    Peers,
    /// Sends a message.
    Send {
        /// To whom.
        username: String,
        /// What; several words are joined. After `--`, a word may begin with a hyphen.
        #[arg(required = true, num_args = 1..)]
        text: Vec<String>,
        /// How far the message must have come for this command to be done.
        #[arg(long, value_enum, default_value_t = Wait::Delivered, env = "TELEGRAPH_WAIT")]
        wait: Wait,
    },
    /// Shows messages, and marks those received as read.
    Read {
        /// With whom; without: everybody.
        username: Option<String>,
        /// The newest so many.
        #[arg(
            long,
            default_value_t = 100,
            env = "TELEGRAPH_LIMIT",
            value_parser = clap::value_parser!(u32).range(1..=1000)
        )]
        limit: u32,
        /// Leaves them unread.
        #[arg(long, env = "TELEGRAPH_PEEK")]
        peek: bool,
    },
    /// Stays online: prints messages as they come, sends what is typed, delivers what waits.
    Run {
        /// Where other people's programs reach this one; port 0 takes a free one.
        #[arg(long, value_name = "IP:PORT", env = "TELEGRAPH_LISTEN", default_value = "0.0.0.0:0")]
        listen: SocketAddr,
        /// The address to tell others, if it is not the one this machine sees.
        #[arg(long, value_name = "IP:PORT", env = "TELEGRAPH_ADVERTISE")]
        advertise: Option<SocketAddr>,
        /// Delivers messages without showing or acknowledging them as read.
        #[arg(long, env = "TELEGRAPH_PEEK")]
        peek: bool,
    },
    /// Changes the password. Other sessions end.
    Passwd {
        /// Reads the new password from a file.
        #[arg(long, value_name = "FILE", env = "TELEGRAPH_NEW_PASSWORD_FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Deletes the account for ever. The name stays taken.
    DeleteAccount {
        /// Does not ask back.
        #[arg(long, env = "TELEGRAPH_YES")]
        yes: bool,
    },
    /// Lists sessions, or ends one.
    Sessions {
        #[command(subcommand)]
        action: Option<SessionsAction>,
    },
}

/// What to do about sessions.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SessionsAction {
    /// Ends a session by its id.
    Revoke {
        /// As the list shows it.
        id: String,
    },
}

/// How far a message must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Kept here, durably.
    Pending,
    /// Handed to the other side, which proved who it is.
    Sent,
    /// Durable at the other side.
    Delivered,
    /// Shown to the other person.
    Read,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_and_none_takes_a_password() {
        let mut root = Arguments::command();
        root.build();
        let mut commands = vec![&root];
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands());
            for flag in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let name = flag.get_long().unwrap();
                if ["help", "version"].contains(&name) {
                    continue;
                }
                let variable = flag.get_env().and_then(|v| v.to_str()).unwrap_or_default();
                assert!(variable.starts_with("TELEGRAPH_"), "--{name} has no variable");
                assert!(name != "password", "--{name} takes a secret");
            }
        }
    }

    #[test]
    fn a_message_has_several_words_and_flags_may_follow_it() {
        let text_of = |arguments: &[&str]| {
            let parsed = Arguments::try_parse_from(arguments).unwrap();
            let Command::Send { text, wait, .. } = parsed.command else { panic!("not send") };
            (text.join(" "), wait)
        };
        let (text, wait) = text_of(&["telegraph", "send", "bob", "a", "-", "b", "--wait", "read"]);
        assert_eq!((text.as_str(), wait), ("a - b", Wait::Read));
        let (text, wait) = text_of(&["telegraph", "send", "bob", "--", "-5", "--wait", "read"]);
        assert_eq!((text.as_str(), wait), ("-5 --wait read", Wait::Delivered));
    }
}
