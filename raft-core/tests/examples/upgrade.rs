//! Three processes of one build are replaced by another build, one at a time and under load.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::kv_service::free_ports;
use super::program;

/// Time for anything to happen, on a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers below belong to the load, one each.
const RANGES_FROM: u64 = 1_000_000;

struct Process {
    child: Child,
    told: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// What it answers to a line; `None` when it has ended.
    fn ask(&mut self, line: &str) -> Option<String> {
        writeln!(self.told.as_mut()?, "{line}").ok()?;
        self.answer()
    }

    fn answer(&mut self) -> Option<String> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok()?;
        answer.ends_with('\n').then(|| answer.trim_end().to_owned())
    }

    /// Waits until it has ended by itself.
    fn ended(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Service {
    directory: TempDir,
    addresses: Vec<String>,
    members: [Mutex<Option<Process>>; 3],
}

impl Service {
    fn prepare() -> Service {
        let addresses = free_ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let directory = tempfile::tempdir().unwrap();
        Service { directory, addresses, members: Default::default() }
    }

    /// Starts a member with a build, and waits until it serves if it does.
    fn spawn(&self, id: usize, build: &str) -> Process {
        let log = File::create(self.directory.path().join(format!("{id}.log"))).unwrap();
        let mut child = Command::new(program::path(build))
            .arg(id.to_string())
            .arg(self.directory.path().join(id.to_string()))
            .args(&self.addresses)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let told = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Process { child, told, answers }
    }

    fn start(&self, id: usize, build: &str) {
        let mut process = self.spawn(id, build);
        let ready = process.answer();
        assert_eq!(ready.as_deref(), Some("ready"), "{}", self.complaint(id));
        *self.member(id) = Some(process);
    }

    fn member(&self, id: usize) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.members[id - 1].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, id: usize, line: &str) -> Option<String> {
        self.member(id).as_mut()?.ask(line)
    }

    /// Asks until the answer is this one; what must not be answered meanwhile is never answered.
    fn insist(&self, id: usize, line: &str, wanted: &str, never: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(id, line).unwrap_or_else(|| panic!("{}", self.complaint(id)));
            if answer == wanted {
                return;
            }
            assert_ne!(answer, never, "node {id}, told to {line}");
            assert!(Instant::now() < deadline, "node {id}, told to {line}: {answer}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Shuts a member down, as an operator would.
    fn stop(&self, id: usize) {
        let mut process = self.member(id).take().unwrap();
        // Its input ends.
        process.told = None;
        assert!(process.ended().success(), "{}", self.complaint(id));
    }

    /// Kills a member, as `kill -9` does.
    fn kill(&self, id: usize) {
        drop(self.member(id).take().unwrap());
    }

    /// Starts a build that cannot go on here; what it complains of.
    fn start_in_vain(&self, id: usize, build: &str) -> String {
        let process = self.spawn(id, build);
        // It would end by itself, too, if it were not told anything any more.
        assert!(!process.ended().success(), "{build} runs");
        self.complaint(id)
    }

    fn numbers(&self, id: usize) -> BTreeSet<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(id, "read").unwrap();
            if let Some(numbers) = answer.strip_prefix("numbers ") {
                return numbers.split(',').map(|number| number.parse().unwrap()).collect();
            }
            assert!(Instant::now() < deadline, "node {id}: {answer}");
        }
    }

    fn complaint(&self, id: usize) -> String {
        let log = self.directory.path().join(format!("{id}.log"));
        fs::read_to_string(log).unwrap_or_default()
    }
}

/// What is written all the time, wherever it is taken.
#[derive(Default)]
struct Load {
    next: AtomicU64,
    over: AtomicBool,
    acknowledged: Mutex<BTreeSet<u64>>,
}

impl Load {
    fn run(&self, service: &Service) {
        for id in (1..=3).cycle() {
            if self.over.load(Ordering::Acquire) {
                break;
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if service.ask(id, &format!("add {number}")).as_deref() == Some("ok") {
                self.acknowledged.lock().unwrap().insert(number);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until more was acknowledged than now.
    fn goes_on(&self) {
        let count = || self.acknowledged.lock().unwrap().len();
        let (before, deadline) = (count(), Instant::now() + PATIENCE);
        while count() < before + 20 {
            assert!(Instant::now() < deadline, "nothing is acknowledged any more");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Stops the load also when the test fails, or its threads would be waited for without end.
struct Ending<'a>(&'a Load);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

const OLD: &str = "upgrade-build-1";
const NEW: &str = "upgrade-build-2";

#[test]
fn a_cluster_is_upgraded_member_by_member_and_what_is_new_waits_for_the_last_one() {
    let service = Service::prepare();
    (1..=3).for_each(|id| service.start(id, OLD));
    service.insist(1, "form", "formed", "");
    service.insist(2, "add 999999", "ok", "");
    // What the new build finds is a snapshot of the old one, and a log behind it.
    assert!(service.ask(1, "snapshot").unwrap().starts_with("written"));
    assert_eq!(service.ask(1, "range 1000000 1000010").unwrap(), "unknown");

    let load = Load::default();
    thread::scope(|threads| {
        let _ending = Ending(&load);
        for _ in 0..2 {
            threads.spawn(|| load.run(&service));
        }
        upgrade(&service, &load);
    });

    let held = service.numbers(1);
    let acknowledged = load.acknowledged.lock().unwrap();
    assert!(acknowledged.is_subset(&held), "lost: {:?}", acknowledged.difference(&held));
    assert!(held.contains(&(RANGES_FROM - 1)));
    let ranges: Vec<u64> = held.range(RANGES_FROM..).copied().collect();
    assert_eq!(ranges, (RANGES_FROM..RANGES_FROM + 10).collect::<Vec<u64>>());
    assert!((2..=3).all(|id| service.numbers(id) == held));
}

/// Replaces the members in turn, the last one by killing it.
fn upgrade(service: &Service, load: &Load) {
    let range = format!("range {RANGES_FROM} {}", RANGES_FROM + 10);
    for (id, behind) in [(1, "[2, 3]"), (2, "[3]")] {
        load.goes_on();
        service.stop(id);
        load.goes_on();
        service.start(id, NEW);
        for new in 1..=id {
            service.insist(new, &range, &format!("held by {behind}"), "ok");
        }
    }
    service.kill(3);
    load.goes_on();
    // It is away, and still holds the new command back: it may come back as it was.
    service.insist(1, &range, "held by [3]", "ok");
    service.start(3, NEW);
    service.insist(2, &range, "ok", "");
    load.goes_on();
}

#[test]
fn an_old_build_stops_at_what_it_cannot_read_and_says_so() {
    let service = Service::prepare();
    (1..=3).for_each(|id| service.start(id, NEW));
    service.insist(1, "form", "formed", "");
    service.insist(2, "add 7", "ok", "");
    service.insist(1, "range 10 12", "ok", "");
    service.insist(3, "add 8", "ok", "");

    // It meets the command in its log.
    service.stop(3);
    let why = service.start_in_vain(3, OLD);
    assert!(why.starts_with("error: the command at "), "{why}");
    let versions = "has version 2, and this node reads versions up to 1: start it with a newer";
    assert!(why.contains(versions), "{why}");
    service.insist(1, "add 9", "ok", "");
    service.start(3, NEW);
    service.insist(3, "range 12 14", "ok", "");
    let all = BTreeSet::from_iter([7, 8, 9, 10, 11, 12, 13]);
    assert!((1..=3).all(|id| service.numbers(id) == all));

    // It meets the snapshot of a state that it does not know.
    assert!(service.ask(3, "snapshot").unwrap().starts_with("written"));
    service.stop(3);
    let why = service.start_in_vain(3, OLD);
    assert!(why.contains("a snapshot of version 2; this build reads up to version 1"), "{why}");
    service.start(3, NEW);
    service.insist(3, "add 20", "ok", "");
    assert_eq!(service.numbers(3).len(), all.len() + 1);
}
