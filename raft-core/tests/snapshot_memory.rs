//! How much memory a large snapshot takes, in a process of its own: that of one who writes it, one
//! who sends it, and one who receives it, together.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::{
    Config, Entry, Image, MachineError, Member, Node, NodeId, OnDiskStateMachine, ReadLevel,
    Records, RecordsFor,
};
use tonic::service::Routes;

/// Bytes of an image.
const IMAGE_BYTES: u64 = 192 << 20;

/// What writing, sending and receiving it may take: buffers, windows and pieces, not the image.
const MEMORY_BYTES: u64 = 64 << 20;

const PATIENCE: Duration = Duration::from_secs(120);

/// A machine with a large state that takes no memory: what is in it follows from a number.
#[derive(Default)]
struct Large {
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Large {
    fn keep(&mut self, records: &Records) {
        for (key, value) in records {
            self.records.retain(|(held, _)| held != key);
            self.records.extend(value.clone().map(|value| (key.clone(), value)));
        }
    }
}

fn block(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(512)
}

fn blocks() -> impl Iterator<Item = Vec<u8>> {
    (0..IMAGE_BYTES / 4096).map(block)
}

impl OnDiskStateMachine for Large {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(self.records.clone())
    }

    fn apply(
        &mut self,
        entries: &[Entry],
        records: RecordsFor<'_>,
    ) -> Result<Vec<Bytes>, MachineError> {
        let replies = vec![Bytes::new(); entries.len()];
        self.keep(&records(&replies));
        Ok(replies)
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        Ok(Box::new(|to| Ok(blocks().try_for_each(|block| to.write_all(&block))?)))
    }

    fn restore(&mut self, from: &mut dyn Read, records: &Records) -> Result<(), MachineError> {
        let mut found = vec![0; 4096];
        for expected in blocks() {
            from.read_exact(&mut found)?;
            if found != expected {
                return Err(MachineError::new("the image is not the one that was written"));
            }
        }
        self.records.clear();
        self.keep(records);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.records.clear();
        Ok(())
    }

    fn is_volatile(&self) -> bool {
        true
    }
}

/// The most memory this process has had since `forget_peak`, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// renegade#630, tsoracle#132, openraft#507: snapshots received into memory without limit, or kept
/// in the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_much_larger_than_the_memory_is_written_sent_and_received() {
    let directory = tempfile::tempdir().unwrap();
    let ports: Vec<_> =
        (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let members: Vec<Member> = (1..)
        .zip(&ports)
        .map(|(id, port)| {
            let address = port.local_addr().unwrap().to_string();
            Member { id, address, ..Member::default() }
        })
        .collect();
    drop(ports);
    let start = |id: NodeId| {
        let config = Config {
            node_id: id,
            data_dir: directory.path().join(id.to_string()),
            listen: members[id as usize - 1].address.parse().unwrap(),
            members: members.clone(),
            allow_plaintext: true,
            keep_entries: 0,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(900),
            quorum_loss_probe_interval: Duration::from_millis(1800),
            ..Config::default()
        };
        Node::start(config, Large::default(), Routes::default())
    };
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(start(id).await.unwrap());
    }
    nodes[0].bootstrap().await.unwrap();
    nodes[0].propose(Bytes::from_static(b"first"), PATIENCE).await.unwrap();
    let leader = nodes[0].status().leader.unwrap();
    let away = (1..=3).find(|id| *id != leader).unwrap();
    nodes[away as usize - 1].halt().await;
    let leads = &nodes[leader as usize - 1];
    let missed = leads.propose(Bytes::from_static(b"missed"), PATIENCE).await.unwrap();

    forget_peak();
    let before = peak();
    let contained = leads.take_snapshot().await.unwrap();
    assert!(contained >= missed.position);
    until("the log to be purged", || {
        leads.metrics().contains(&format!("raft_purged_index {}", contained.index))
    })
    .await;
    let back = start(away).await.unwrap();
    back.read(ReadLevel::AtLeast(contained), PATIENCE).await.unwrap();
    until("its snapshot", || back.status().snapshot >= Some(contained)).await;
    let taken = peak() - before;
    assert!(taken < MEMORY_BYTES, "{} MiB were taken", taken >> 20);
}
