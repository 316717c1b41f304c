use std::fs;
use std::io::Write as _;

use raft_core::{Event, NodeId, Role};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::journal::Held;
use super::metrics::sample;
use super::proxy::Mode;

/// Waits for an event and returns everything that was told up to it.
async fn told_until(events: &mut Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut told = Vec::new();
    let waited = async {
        loop {
            told.push(events.recv().await.unwrap());
            if told.last().is_some_and(&wanted) {
                return;
            }
        }
    };
    if timeout(PATIENCE, waited).await.is_err() {
        panic!("waited in vain for an event after {told:?}");
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_tells_of_its_leaders_and_its_own_part_from_the_start() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let mut leads = cluster.node(leader).events();
    let mut follows = cluster.node(follower).events();
    let elected = |event: &Event| matches!(event, Event::LeaderElected { .. });
    let told = told_until(&mut leads, elected).await;
    let term = cluster.node(leader).status().term;
    assert!(told.contains(&Event::TermChanged { term }), "{told:?}");
    assert!(told.contains(&Event::RoleChanged { term, role: Role::Leader }), "{told:?}");
    assert!(told.contains(&Event::LeaderElected { term, leader }), "{told:?}");
    let told = told_until(&mut follows, elected).await;
    assert_eq!(told.last(), Some(&Event::LeaderElected { term, leader }));

    let node = cluster.nodes[leader as usize - 1].take().unwrap();
    node.halt().await;
    told_until(&mut leads, |event| *event == Event::Stopping { failure: None }).await;
    let lost = Event::LeaderLost { term, leader };
    told_until(&mut follows, |event| *event == lost).await;
    let told = told_until(&mut follows, elected).await;
    assert!(matches!(told.last(), Some(Event::LeaderElected { leader: next, term: later })
        if *next != leader && *later > term));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_and_goes_is_told_of_once_each_time() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let member = cluster.follower().await;
    let mut events = cluster.node(leader).events();
    let connected = Event::MemberConnected { member };
    told_until(&mut events, |event| *event == connected).await;
    for mode in [Mode::Cut, Mode::Hole] {
        cluster.proxy(member).set(mode);
        let gone = |event: &Event| {
            matches!(event, Event::MemberUnreachable { member: id, .. }
            if *id == member)
        };
        told_until(&mut events, gone).await;
        cluster.proxy(member).set(Mode::Pass);
        let told = told_until(&mut events, |event| *event == connected).await;
        assert!(!told.iter().any(gone), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_member_is_told_of_on_both_sides() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let wiped = cluster.follower().await;
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    told_until(&mut events, |event| *event == Event::MemberConnected { member: wiped }).await;
    cluster.halt(wiped).await;
    fs::remove_dir_all(cluster.data_dir(wiped)).unwrap();
    cluster.kept(wiped).with(|held| *held = Held::default());
    cluster.start(wiped).await;
    let told =
        told_until(&mut events, |event| matches!(event, Event::Refused { by, .. } if *by == wiped))
            .await;
    let Some(Event::Refused { why, .. }) = told.last() else { panic!("{told:?}") };
    assert!(why.contains("wiped"), "{why}");
    let mut on_the_other_side = cluster.node(wiped).events();
    told_until(&mut on_the_other_side, |event| matches!(event, Event::CallerRefused { .. })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_told_of_where_they_are_written_sent_and_installed() {
    let mut cluster = Cluster::formed(|config| {
        config.keep_entries = 1;
        config.segment_bytes = 4096;
    })
    .await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    let mut events = cluster.node(leader).events();
    cluster.propose_many(leader, "unseen", 100).await;
    let upto = cluster.node(leader).take_snapshot().await.unwrap();
    let told = told_until(&mut events, |event| {
        matches!(event, Event::SnapshotBuilt { upto: at, bytes, .. } if *at == upto && *bytes > 0)
    })
    .await;
    drop(told);
    wait("the log to be let go of", || sample(&cluster, leader, "raft_purged_index") > 50.0).await;
    cluster.start(away).await;
    let mut received = cluster.node(away).events();
    told_until(
        &mut received,
        |event| matches!(event, Event::SnapshotInstalled { upto: at, .. } if *at == upto),
    )
    .await;
    told_until(&mut events, |event| {
        matches!(event, Event::SnapshotSent { to, upto: at, .. } if *to == away && *at == upto)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_start_had_to_mend_is_told_to_whoever_listens_first() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let commands = cluster.propose_many(1, "kept", 20).await;
    cluster.agree_on(&commands).await;
    let torn: NodeId = cluster.follower().await;
    cluster.halt(torn).await;
    cluster.kept(torn).with(|held| *held = Held::default());
    let log = fs::read_dir(cluster.data_dir(torn).join("log")).unwrap();
    let segments = log.map(|entry| entry.unwrap().path());
    let newest = segments.filter(|path| path.extension().is_some_and(|end| end == "wal")).max();
    let mut segment = fs::File::options().append(true).open(newest.unwrap()).unwrap();
    // Less than the header of a group: what a crash leaves of a write it interrupted. Zeros that
    // were written ahead may stand before it.
    segment.write_all(&[1; 17]).unwrap();
    cluster.start(torn).await;
    let mut events = cluster.node(torn).events();
    let told = told_until(&mut events, |event| *event == Event::MachineRebuilt).await;
    let cut = told.iter().find_map(|event| match event {
        Event::LogTailCut { bytes } => Some(*bytes),
        _ => None,
    });
    let cut = cut.unwrap_or_else(|| panic!("{told:?}"));
    assert!(cut >= 17, "{cut}");
    assert_eq!(sample(&cluster, torn, "raft_wal_tail_cut_bytes"), cut as f64);
    cluster.agree_on(&commands).await;
}

/// openraft's questions and answers on frequent elections: timeouts shorter than the disk takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_too_slow_for_the_timeouts_is_told_of_and_refused_nothing() {
    // No disk syncs in a tenth of so little.
    let mut cluster = Cluster::prepare(1, |config| {
        let micro = std::time::Duration::from_micros(1);
        config.heartbeat_interval = 5_000 * micro;
        config.election_timeout_min = 10_000 * micro;
        config.low_disk_bytes = 0;
    })
    .await;
    let slow = |cluster: &Cluster| sample(cluster, 1, "raft_disk_check_seconds");
    cluster.start(1).await;
    assert!(slow(&cluster) > 0.0);
    if slow(&cluster) > 0.001 {
        let mut events = cluster.node(1).events();
        let told = told_until(&mut events, |event| matches!(event, Event::DiskSlow { .. })).await;
        let Some(Event::DiskSlow { append, .. }) = told.last() else { panic!("{told:?}") };
        assert_eq!(append.as_secs_f64(), slow(&cluster));
    }
    cluster.node(1).bootstrap().await.unwrap();
    cluster.leader().await;
    cluster.propose(1, "nevertheless").await;
    cluster.halt(1).await;
    cluster.adjust = Box::new(|config| config.disk_check = false);
    cluster.start(1).await;
    assert_eq!(slow(&cluster), 0.0, "not checked");
}
