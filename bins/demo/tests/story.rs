//! The demo as its users run it: the program itself, its output, its exit code.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The demo's own program.
const DEMO: &str = env!("CARGO_BIN_EXE_telegraph-demo");

/// One demo at a time: it tells how long things take, and is not to be slowed by another one.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_story_holds_and_says_so_as_json() {
    let _turn = alone();
    let told = Command::new(DEMO).arg("--json").output().expect("the demo runs");
    let story = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{}: {story}", told.status);
    let result: serde_json::Value = serde_json::from_slice(&told.stdout).expect("one JSON object");
    assert_eq!(result["managers"], 3);
    assert_ne!(result["leader_before"], result["leader_after"]);
    assert!(result["failover_ms"].as_u64().is_some_and(|time| time > 0));
    assert!(result["messages_sent"].as_u64().is_some_and(|count| count > 0));
    assert_eq!(result["messages_delivered"], result["messages_sent"]);
    assert_eq!(result["messages_lost"], 0);
    assert_eq!(result["messages_duplicated"], 0);
    assert_eq!(result["receipts"], result["messages_sent"]);
    assert_eq!(result["digests_equal"], true);
    assert!(result["elapsed_ms"].as_u64().is_some_and(|time| time > 0));
}

#[test]
fn kept_managers_say_how_to_reach_them_and_stop_at_an_interrupt() {
    let _turn = alone();
    let mut demo = Command::new(DEMO)
        .arg("--keep")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the demo starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines();
    let register = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains(" register NAME"))
        .filter(|line| line.contains("--manager 127.0.0.1:") && line.contains("--ca "));
    let hint = register.expect("a line that can be typed elsewhere");
    let address = hint.split("--manager ").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.expect("an address");
    std::net::TcpStream::connect(address).expect("the manager still listens");
    let interrupted = Command::new("kill").args(["-INT", &demo.id().to_string()]).status();
    assert!(interrupted.is_ok_and(|status| status.success()), "SIGINT was sent");
    while lines.next().is_some() {}
    let ended = demo.wait().expect("the demo ends");
    assert!(ended.success(), "an interrupt is a clean end: {ended}");
}
