//! Three processes of the key-value service, one of which is killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::program;

/// Time for anything to happen, on a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// So few that a few writes make a snapshot.
const SNAPSHOT_AFTER: &str = "20";

struct Service {
    directory: TempDir,
    members: String,
    processes: Vec<Option<Process>>,
    names: AtomicU64,
}

struct Process {
    child: Child,
    http: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start() -> Service {
        let places = (1..).zip(free_ports());
        let members: Vec<String> =
            places.map(|(id, port)| format!("{id}=127.0.0.1:{port}")).collect();
        let directory = tempfile::tempdir().unwrap();
        let (members, names) = (members.join(","), AtomicU64::new(0));
        let mut service = Service { directory, members, processes: vec![None, None, None], names };
        (1..=3).for_each(|id| service.run(id));
        service
    }

    /// Starts the process of a member and waits until it serves.
    fn run(&mut self, id: usize) {
        self.run_with(id, &[]);
    }

    fn run_with(&mut self, id: usize, flags: &[&str]) {
        let data = self.directory.path().join(id.to_string());
        let log = self.directory.path().join(format!("{id}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(program::path("kv_service"))
            .args(["--id", &id.to_string(), "--members", &self.members, "--plaintext"])
            .args(["--http", "127.0.0.1:0", "--snapshot-after", SNAPSHOT_AFTER, "--data"])
            .arg(data)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("serving http://");
        let Some(address) = address else {
            panic!("node {id} says {line:?}; {}", self.complaints());
        };
        let http = address.parse().unwrap();
        self.processes[id - 1] = Some(Process { child, http });
    }

    /// Kills the process of a member, as `kill -9` does.
    fn kill(&mut self, id: usize) {
        drop(self.processes[id - 1].take().unwrap());
    }

    /// What a member answers: a status code and a body.
    fn ask(&self, id: usize, method: &str, path: &str, body: &str) -> (u16, String) {
        self.ask_with(id, method, path, "", body)
    }

    /// The same, with a line of the head.
    fn ask_with(
        &self,
        id: usize,
        method: &str,
        path: &str,
        header: &str,
        body: &str,
    ) -> (u16, String) {
        let http = self.processes[id - 1].as_ref().unwrap().http;
        let mut stream = TcpStream::connect(http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: kv\r\nconnection: close\r\n{header}\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    /// Asks again while there is no leader, or the outcome is unknown: under the same name, so that
    /// a change happens once.
    fn insist(&self, id: usize, method: &str, path: &str, body: &str) -> (u16, String) {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        self.insist_as(&name.to_string(), id, method, path, body)
    }

    fn insist_as(
        &self,
        name: &str,
        id: usize,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let header = format!("idempotency-key: {name}\r\n");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask_with(id, method, path, &header, body);
            if ![503, 504].contains(&answer.0) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{answer:?}; {}", self.complaints());
        }
    }

    fn status(&self, id: usize) -> Value {
        serde_json::from_str(&self.ask(id, "GET", "/status", "").1).unwrap()
    }

    /// Waits until the members that run follow one leader, and tells which.
    fn leader(&self) -> usize {
        let running: Vec<usize> = (1..=3).filter(|id| self.processes[id - 1].is_some()).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leaders: Vec<Value> =
                running.iter().map(|id| self.status(*id)["leader"].clone()).collect();
            let leader = leaders[0].as_u64().map(|id| usize::try_from(id).unwrap());
            let agreed = leaders.iter().all(|leader| *leader == leaders[0]);
            if let Some(leader) = leader.filter(|leader| agreed && running.contains(leader)) {
                return leader;
            }
            assert!(Instant::now() < deadline, "{leaders:?}; {}", self.complaints());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn complaints(&self) -> String {
        let log = |id| self.directory.path().join(format!("{id}.log"));
        (1..=3).map(|id| std::fs::read_to_string(log(id)).unwrap_or_default()).collect()
    }
}

/// Ports that are free now, below those the system hands out: a process that was killed finds its
/// own free again.
pub(super) fn free_ports() -> Vec<u16> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).unwrap();
    let first = 12_000 + u16::from_le_bytes(random) % 16_000;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).filter(free).take(3).collect()
}

#[test]
fn a_killed_leader_is_missed_by_nobody_and_catches_up() {
    let mut service = Service::start();
    let leader = service.leader();
    for id in 1..=3 {
        let path = format!("/kv/key-{id}");
        assert_eq!(service.insist(id, "PUT", &path, &format!("value {id}")).0, 201);
        assert_eq!(service.insist(id % 3 + 1, "GET", &path, "").1, format!("value {id}"));
    }
    assert_eq!(service.insist(1, "PUT", "/kv/key-1", "other").0, 204);
    assert_eq!(service.insist(2, "DELETE", "/kv/key-2", "").0, 204);
    assert_eq!(service.insist(3, "DELETE", "/kv/key-2", "").0, 404);
    // No older than nothing: the same as if it had not been said.
    assert_eq!(service.insist(3, "GET", "/kv/key-1?max_age_ms=0", "").1, "other");

    assert_eq!(service.insist_as("once", 1, "DELETE", "/kv/key-1", "").0, 204);
    assert_eq!(service.insist(3, "PUT", "/kv/key-1", "other").0, 201);

    service.kill(leader);
    let other = leader % 3 + 1;
    assert_eq!(service.insist(other, "PUT", "/kv/key-4", "without it").0, 201);
    assert_ne!(service.leader(), leader);
    // Said again to another leader, it gets its first reply and does nothing.
    assert_eq!(service.insist_as("once", other, "DELETE", "/kv/key-1", "").0, 204);

    service.run(leader);
    assert_eq!(service.insist(leader, "GET", "/kv/key-4", ""), (200, "without it".into()));
    assert_eq!(service.ask(leader, "GET", "/kv/key-1?local=true", ""), (200, "other".into()));
    assert_eq!(service.ask(leader, "GET", "/kv/key-2?local=true", "").0, 404);
    assert_eq!(service.ask(leader, "GET", "/kv/key-3?local=true", ""), (200, "value 3".into()));
}

#[test]
fn a_member_that_was_away_for_long_is_sent_a_snapshot() {
    let mut service = Service::start();
    let leader = service.leader();
    let away = leader % 3 + 1;
    service.kill(away);
    for number in 0..100 {
        let path = format!("/kv/key-{}", number % 10);
        let code = service.insist(leader, "PUT", &path, &number.to_string()).0;
        assert_eq!(code, if number < 10 { 201 } else { 204 });
    }
    service.run(away);
    for key in 0..10 {
        let value = service.insist(away, "GET", &format!("/kv/key-{key}"), "");
        assert_eq!(value, (200, (90 + key).to_string()));
    }
    // It had 40 entries less than the oldest that was kept.
    let contained = service.status(away)["snapshot"].as_u64().unwrap();
    assert!(contained >= 40, "{contained}");
}

#[test]
fn a_fourth_member_joins_and_one_of_the_first_leaves() {
    let mut service = Service::start();
    let leader = service.leader();
    assert_eq!(service.insist(1, "PUT", "/kv/key", "value").0, 201);
    let cluster = service.status(leader)["cluster"].as_str().unwrap().to_owned();
    let address = format!("127.0.0.1:{}", free_ports()[0]);
    service.members = format!("{},4={address}", service.members);
    service.processes.push(None);
    service.run_with(4, &["--join", &cluster]);

    let follower = leader % 3 + 1;
    let (code, text) = service.ask(follower, "PUT", "/members/4", &address);
    assert_eq!((code, text.contains(&format!("node {leader}"))), (421, true), "{text}");
    let code = service.insist(leader, "PUT", "/members/4", &address).0;
    assert_eq!(code, 204);
    assert_eq!(service.insist(4, "GET", "/kv/key", ""), (200, "value".into()));
    assert_eq!(service.status(leader)["voters"], serde_json::json!([1, 2, 3, 4]));

    let path = format!("/members/{follower}");
    assert_eq!(service.insist(leader, "DELETE", &path, "").0, 204);
    service.kill(follower);
    assert_eq!(service.insist(4, "PUT", "/kv/key", "other").0, 204);
    // It was started with another list than the members that are; it is one of them all the same.
    service.kill(4);
    service.run_with(4, &["--join", &cluster]);
    assert_eq!(service.insist(4, "GET", "/kv/key", ""), (200, "other".into()));
}
