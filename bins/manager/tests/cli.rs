//! The program as an operator runs it.
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telegraph-manager"));
    // Settings of whoever runs the tests are not theirs.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TELEGRAPH_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    program(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A development manager, killed with this value unless it was stopped.
struct Development {
    child: Child,
    manager: String,
    ca: String,
    fingerprint: String,
    data: PathBuf,
}

impl Development {
    fn start(more: &[&str]) -> Self {
        let mut command = program(&["serve", "--dev", "--rest-listen", "127.0.0.1:0"]);
        command.args(["--bcrypt-cost", "4"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = |word: &str| {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with(word));
            line.unwrap_or_default().split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        let manager = said("manager").replace("https://", "");
        let data = said("data").into();
        let (ca, fingerprint) = (said("authority"), said("fingerprint"));
        Self { child, manager, ca, fingerprint, data }
    }

    fn until_ready(&self) -> Output {
        let begun = Instant::now();
        loop {
            let asked = output(&["health", "--manager", &self.manager, "--ca", &self.ca]);
            if asked.status.code() == Some(0) {
                return asked;
            }
            assert!(begun.elapsed() < PATIENCE, "never ready: {asked:?}");
        }
    }

    /// Sends a signal and waits for the end.
    fn stop(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let kill = format!("kill -{signal} {pid}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Development {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_development_manager_serves_says_so_and_stops_when_told() {
    let mut development = Development::start(&[]);
    let asked = development.until_ready();
    assert!(text(&asked.stdout).contains("[+]leader node 1"), "{asked:?}");
    let (manager, ca) = (development.manager.clone(), development.ca.clone());
    let at = ["--manager", &manager, "--ca", &ca];
    let live = output(&[&["health", "--live"], at.as_slice()].concat());
    assert_eq!(live.status.code(), Some(0), "{live:?}");
    let status = output(&[&["status", "--json"], at.as_slice()].concat());
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["ready"], true);
    assert_eq!(status["cluster"]["leader"], 1);
    let fingerprint = output(&["certs", "fingerprint", "--ca", &development.ca]);
    assert_eq!(text(&fingerprint.stdout).trim(), development.fingerprint);
    assert!(development.data.exists());
    assert_eq!(development.stop("TERM"), Some(0));
    assert!(!development.data.exists(), "what is throw-away is thrown away");
    let gone = output(&[&["health"], at.as_slice()].concat());
    assert!(!gone.status.success());
}

#[test]
fn a_kept_development_manager_is_the_same_cluster_again() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    let mut fingerprints = Vec::new();
    let mut clusters = Vec::new();
    for signal in ["KILL", "INT"] {
        let mut development = Development::start(&["--data-dir", kept.to_str().unwrap()]);
        development.until_ready();
        let (manager, ca) = (development.manager.clone(), development.ca.clone());
        let at = ["--manager", &manager, "--ca", &ca];
        let status = output(&[&["status", "--json"], at.as_slice()].concat());
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        clusters.push(status["cluster"]["cluster_id"].clone());
        fingerprints.push(development.fingerprint.clone());
        let code = development.stop(signal);
        assert_eq!(code, (signal == "INT").then_some(0));
    }
    assert_eq!(clusters[0], clusters[1]);
    assert_eq!(fingerprints[0], fingerprints[1]);
}

#[test]
fn wrong_settings_are_named_and_exit_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("manager.toml");
    std::fs::write(&file, "nodeid = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, said) in [
        (vec!["serve"], "--ca is missing"),
        (vec!["serve", "--member", "1=a"], "ID=HOST:PORT/HOST:PORT"),
        (vec!["serve", "--config", file], "unknown field `nodeid`"),
        (vec!["serve", "--config", "/nonexistent"], "/nonexistent"),
        (vec!["serve", "--lease", "15"], "not a time"),
        (vec!["nonsense"], "unrecognized"),
    ] {
        let refused = output(&arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {refused:?}");
        assert!(text(&refused.stderr).contains(said), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn certificates_are_made_once_and_a_manager_that_is_away_exits_with_69() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    let dir = certificates.to_str().unwrap();
    let made = output(&["certs", "init", "--dir", dir, "--host", "manager-1.example"]);
    assert!(made.status.success(), "{made:?}");
    let fingerprint = text(&made.stdout);
    let fingerprint = fingerprint.lines().last().unwrap().split_whitespace().last().unwrap();
    assert_eq!(fingerprint.len(), 64);
    let again = output(&["certs", "init", "--dir", dir]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("exists already"), "{again:?}");
    // Listened at and never answered: nobody else can take the port meanwhile.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ca = certificates.join("ca.pem");
    let ca = ca.to_str().unwrap();
    let away = output(&["status", "--manager", &address, "--ca", ca, "--timeout", "500ms"]);
    assert_eq!(away.status.code(), Some(69), "{away:?}");
}
