//! No secret rests in a manager's files or logs.
#![allow(clippy::unwrap_used, reason = "what a test cannot go on without")]

#[path = "../manager/harness.rs"]
#[allow(dead_code, reason = "shared with a program that needs more of it")]
mod harness;
#[path = "../manager/person.rs"]
#[allow(dead_code, reason = "shared with a program that needs more of it")]
mod person;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use harness::{Running, Site, files_below};
use person::Person;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Keeps every log line of the process.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Kept;
    fn make_writer(&'a self) -> Kept {
        self.clone()
    }
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn in_files(directory: &Path, needle: &[u8]) -> bool {
    files_below(directory).iter().any(|file| holds(&std::fs::read(file).unwrap(), needle))
}

/// Does all that carries a password or a token; returns the secrets.
async fn live(at: &Running) -> Vec<String> {
    let mut alice = Person::new("alice", at.manager.node().cluster_id());
    alice.password = "canary-first-password".into();
    let (first, second) = (alice.settle(at).await, "canary-second-password");
    let body = alice.password_body(second, &alice.password_statement(1));
    assert_eq!(at.ask("POST", "/account/password", Some(&first), Some(body)).await.status, 200);
    // Also where things go wrong: a misplaced password, an old one, a token of nobody.
    let misplaced = serde_json::json!({ "username": "alice", "port": "canary-misplaced" });
    assert_eq!(at.ask("POST", "/login", None, Some(misplaced)).await.status, 400);
    assert_eq!(at.ask("POST", "/login", None, Some(alice.login_body())).await.status, 401);
    alice.password = second.into();
    let third = alice.login(at).await;
    let beat = alice.heartbeat_body();
    assert_eq!(at.ask("POST", "/heartbeat", Some(&third), Some(beat)).await.status, 200);
    assert_eq!(at.ask("POST", "/logout", Some(&third), None).await.status, 200);
    assert_eq!(at.ask("GET", "/account", Some(&third), None).await.status, 401);
    vec![alice.password.clone(), "canary".into(), first, third]
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_logs_hold_no_password_and_no_token() {
    let logs = Kept::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(logs.clone())
        .with_ansi(false)
        .init();
    let site = Site::new(1, Duration::from_secs(600));
    let at = site.start(1).await;
    at.until_ready().await;
    let secrets = live(&at).await;
    at.manager.node().take_snapshot().await.unwrap();
    at.manager.shutdown().await.unwrap();
    drop(at);
    let directory = site.data_dir(1);
    // The search finds what is there.
    assert!(in_files(&directory, b"alice"), "the view and the log hold the name");
    let logs = logs.0.lock().unwrap().clone();
    assert!(holds(&logs, b"logged in"), "the logs were kept");
    for secret in secrets {
        assert!(!in_files(&directory, secret.as_bytes()), "{secret} rests in a file");
        assert!(!holds(&logs, secret.as_bytes()), "{secret} was logged");
        let Some(encoded) = secret.strip_prefix("tg_") else { continue };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).unwrap();
        assert!(!in_files(&directory, &bytes), "a token's bytes rest in a file");
    }
}
