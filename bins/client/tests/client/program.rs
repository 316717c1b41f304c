//! The program as a person runs it.

use crate::harness::{PASSWORD, PATIENCE, Site};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// A person at a terminal.
struct Person {
    profile: PathBuf,
    ca: PathBuf,
    manager: String,
    password: PathBuf,
}

fn person(site: &Site, name: &str) -> Person {
    Person {
        profile: site.profile(name),
        ca: site.ca_file(),
        manager: site.rest_address().to_owned(),
        password: site.file("password", PASSWORD.as_bytes()),
    }
}

impl Person {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_telegraph"));
        // Settings of whoever runs the tests are not theirs.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TELEGRAPH_")) {
            command.env_remove(name);
        }
        command.args(arguments).arg("--profile").arg(&self.profile);
        command.arg("--password-file").arg(&self.password);
        if !arguments.contains(&"--timeout") {
            command.args(["--timeout", "30"]);
        }
        command.stdin(Stdio::null());
        command
    }

    fn does(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Registers; later commands find the manager by themselves.
    fn register(&self, name: &str) -> Value {
        let mut command = self.command(&["register", name, "--json", "--manager", &self.manager]);
        let output = command.arg("--ca").arg(&self.ca).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        json(&output)
    }

    /// Stays online until it is stopped.
    fn run(&self) -> Running {
        let mut command = self.command(&["run", "--json", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if said.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let running = Running { child, lines };
        running.until("online");
        running
    }
}

/// A `telegraph run`, killed with this value unless it was stopped.
struct Running {
    child: Child,
    lines: Receiver<Value>,
}

impl Running {
    /// The next event of that name.
    fn until(&self, event: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {event}"));
            if line["event"] == event {
                return line;
            }
        }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn ends(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_chat_in_two_terminals_while_other_commands_go_through_the_socket() {
    let site = Site::new();
    let _manager = site.manager().await;
    tokio::task::block_in_place(|| {
        let (alice, bob) = (person(&site, "alice"), person(&site, "bob"));
        let enrolled = alice.register("alice");
        assert_eq!(enrolled["kind"], "enrolled");
        assert_eq!(enrolled["recovery_code"].as_str().unwrap().len(), 39);
        bob.register("bob");
        let (mut at_alice, mut at_bob) = (alice.run(), bob.run());
        let socket = std::fs::metadata(alice.profile.join("control.sock")).unwrap();
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);

        at_alice.types("bob hello from the keyboard");
        let came = at_bob.until("message");
        assert_eq!(
            (&came["with"], &came["text"]),
            (&"alice".into(), &"hello from the keyboard".into())
        );
        let sent = alice.does(&["send", "bob", "hello", "again", "--wait", "read", "--json"]);
        assert_eq!(code(&sent), 0, "{sent:?}");
        let sent = json(&sent);
        assert_eq!((&sent["kind"], &sent["stage"]), (&"sent".into(), &"read".into()));
        assert_eq!(at_bob.until("message")["text"], "hello again");

        let who = json(&bob.does(&["whoami", "--json"]));
        assert_eq!((&who["username"], &who["logged_in"]), (&"bob".into(), &true.into()));
        assert!(who["address"].is_string());
        let history = json(&bob.does(&["read", "alice", "--json"]));
        assert_eq!(history["messages"].as_array().unwrap().len(), 2);
        let peers = json(&alice.does(&["peers", "--json"]));
        assert_eq!(peers["peers"].as_array().unwrap().len(), 2);
        assert_eq!(code(&alice.does(&["login"])), 5, "the profile is in use");
        assert_eq!(code(&alice.does(&["send", "nobody", "x"])), 4);

        // To whom a line without a name goes, is known from what was said before.
        at_alice.types("how are you");
        assert_eq!(at_bob.until("message")["text"], "how are you");
        at_bob.types("fine, thanks");
        assert_eq!(at_alice.until("message")["text"], "fine, thanks");
        let stage = at_bob.until("stage");
        assert_eq!(stage["to"], "alice", "{stage}");

        at_alice.types("/quit");
        assert_eq!(at_alice.ends(), Some(0));
        assert!(!alice.profile.join("control.sock").exists());
        let kill = format!("kill -TERM {}", at_bob.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(at_bob.ends(), Some(0));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_somebody_away_is_pending_and_goes_out_later() {
    let site = Site::new();
    let _manager = site.manager().await;
    tokio::task::block_in_place(|| {
        let (alice, bob) = (person(&site, "alice"), person(&site, "bob"));
        alice.register("alice");
        bob.register("bob");
        let pending = alice.does(&["send", "bob", "later", "--timeout", "1"]);
        assert_eq!(code(&pending), 75, "{pending:?}");
        assert!(String::from_utf8_lossy(&pending.stdout).starts_with("pending"), "{pending:?}");
        let at_bob = bob.run();
        let sent = alice.does(&["send", "bob", "now", "--json"]);
        assert_eq!(code(&sent), 0, "{sent:?}");
        let texts = [at_bob.until("message"), at_bob.until("message")].map(|m| m["text"].clone());
        assert_eq!(texts, ["later", "now"]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_codes() {
    let site = Site::new();
    let manager = site.manager().await;
    tokio::task::block_in_place(|| {
        let alice = person(&site, "alice");
        let nothing = alice.does(&["whoami"]);
        assert_eq!(code(&nothing), 4, "{nothing:?}");
        let said = String::from_utf8_lossy(&nothing.stderr);
        assert!(said.contains("no account here"), "{said}");
        assert!(!alice.profile.exists(), "asking makes nothing");
        let nothing = alice.does(&["peers"]);
        assert_eq!(code(&nothing), 2, "nothing says whom to believe: {nothing:?}");
        assert_eq!(code(&alice.does(&["send"])), 2);
        alice.register("alice");
        let who = json(&alice.does(&["whoami", "--json"]));
        assert_eq!((&who["pending"], &who["username"]), (&0.into(), &"alice".into()));
        assert!(who["account_id"].is_string(), "{who}");
        let other = person(&site, "other");
        let mut taken = other.command(&["register", "alice", "--manager", &other.manager]);
        assert_eq!(code(&taken.arg("--ca").arg(&other.ca).output().unwrap()), 5);
        let wrong = site.file("wrong", b"not the password");
        let mut command = alice.command(&["peers"]);
        command.env("TELEGRAPH_PASSWORD_FILE", &wrong);
        let fine = command.output().unwrap();
        assert_eq!(code(&fine), 0, "a flag goes before its variable: {fine:?}");
        let alice = Person { password: wrong, ..alice };
        assert_eq!(code(&alice.does(&["peers"])), 6);
        assert_eq!(code(&alice.does(&["whoami"])), 6);
        let carol = person(&site, "carol");
        let pin = site.fingerprint();
        let arguments =
            ["register", "carol", "--manager", &carol.manager, "--ca-fingerprint", &pin];
        let pinned = carol.does(&arguments);
        assert_eq!(code(&pinned), 0, "{pinned:?}");
        assert_eq!(code(&carol.does(&["peers"])), 0, "the fingerprint is remembered");
        let other = "ab".repeat(32);
        let impostor = alice.does(&["login", "--timeout", "1", "--ca-fingerprint", &other]);
        assert_eq!(code(&impostor), 6, "{impostor:?}");
    });
    manager.shutdown().await.unwrap();
    drop(manager);
    tokio::task::block_in_place(|| {
        let alice = person(&site, "alice");
        let away = alice.does(&["peers", "--json", "--timeout", "1"]);
        assert_eq!(code(&away), 69, "{away:?}");
        assert_eq!(json(&away)["exit_code"], 69);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_the_control_socket_is_answered_and_does_no_harm() {
    use std::{io::Read, os::unix::net::UnixStream};
    let site = Site::new();
    let _manager = site.manager().await;
    tokio::task::block_in_place(|| {
        let alice = person(&site, "alice");
        alice.register("alice");
        let _running = alice.run();
        let long = format!("{}\n", "x".repeat(1 << 20));
        let unknown = "{\"command\":\"revoke\",\"session_id\":\"\",\"more\":1}\n";
        for nonsense in ["\n", "{}\n", "{\"command\":\"format-disk\"}\n", unknown, &long, "no end"]
        {
            let mut socket = UnixStream::connect(alice.profile.join("control.sock")).unwrap();
            // A request that is too long is not read to its end.
            let _ = socket.write_all(nonsense.as_bytes());
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _ = socket.read_to_string(&mut answer);
            // Of what was sent beyond the limit, the answer may have been cut off as well.
            if answer.is_empty() && nonsense.len() > 1 << 18 {
                continue;
            }
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["err"]["exit_code"], 2, "{nonsense:.40}: {answer}");
        }
        let who = json(&alice.does(&["whoami", "--json"]));
        assert_eq!(who["username"], "alice");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_elsewhere_ends_a_running_client_with_the_code_of_authentication() {
    let site = Site::new();
    let _manager = site.manager().await;
    tokio::task::block_in_place(|| {
        let (here, there) = (person(&site, "here"), person(&site, "there"));
        here.register("bob");
        let mut running = here.run();
        let mut login = there.command(&["login", "bob", "--manager", &there.manager]);
        let login = login.arg("--ca").arg(&there.ca).output().unwrap();
        assert_eq!(code(&login), 0, "{login:?}");
        let told = running.until("session-ended");
        assert!(told["detail"].as_str().unwrap().contains("newer login"), "{told}");
        assert_eq!(running.ends(), Some(6));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_input_is_told_and_ends_nothing() {
    let site = Site::new();
    let _manager = site.manager().await;
    tokio::task::block_in_place(|| {
        let alice = person(&site, "alice");
        alice.register("alice");
        let mut command = alice.command(&["run", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let notes = BufReader::new(child.stderr.take().unwrap());
        let (said, lines) = channel();
        let mut running = Running { child, lines };
        let told = notes.lines().map_while(Result::ok).any(|line| line.contains("input ended"));
        assert!(told);
        assert_eq!(running.child.try_wait().unwrap(), None, "it stays online");
        drop(said);
        let who = json(&alice.does(&["whoami", "--json"]));
        assert!(who["address"].is_string(), "{who}");
    });
}
