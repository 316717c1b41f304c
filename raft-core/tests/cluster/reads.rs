use std::time::Duration;

use futures_util::future::join_all;
use raft_core::{NodeId, Position, ReadError, ReadLevel};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;

/// An age that no test reaches.
const ANY_AGE: ReadLevel = ReadLevel::Stale { max_age: Duration::from_secs(3600) };

/// Time in which something that should not happen gets its chance.
const A_WHILE: Duration = Duration::from_millis(300);

fn rounds(cluster: &Cluster, id: NodeId) -> u64 {
    let metrics = cluster.node(id).metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix("raft_read_rounds_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_share_few_rounds_on_the_leader_and_on_followers() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let written = cluster.propose(leader, "seen by all").await.position;
    let before = [1, 2, 3].map(|id| rounds(&cluster, id));
    let readers = (0..3000).map(|number| {
        let node = cluster.node(number % 3 + 1).clone();
        tokio::spawn(async move { node.read(ReadLevel::Linearizable, PATIENCE).await })
    });
    for read in join_all(readers).await {
        assert!(read.unwrap().unwrap() >= written);
    }
    for (id, before) in (1..).zip(before) {
        let rounds = rounds(&cluster, id) - before;
        assert!((1..=100).contains(&rounds), "node {id} took {rounds} rounds for its readers");
        assert!(cluster.kept(id).contains("seen by all"));
    }
}

/// openraft#1851: a missed heartbeat failed reads that had time left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_outlives_missed_rounds_and_a_lost_leader() {
    let cluster = Cluster::formed(|_| {}).await;
    for id in 1..=3 {
        cluster.proxy(id).set(Mode::Cut);
    }
    let reads: Vec<_> = (1..=3)
        .map(|id| {
            let node = cluster.node(id).clone();
            tokio::spawn(async move { node.read(ReadLevel::Linearizable, PATIENCE).await })
        })
        .collect();
    // Long after the first heartbeat was missed: nobody hears of a leader, but perhaps itself.
    wait("silence", || {
        (1..=3).all(|id| cluster.node(id).status().leader.is_none_or(|leader| leader == id))
    })
    .await;
    assert!(reads.iter().all(|read| !read.is_finished()), "nothing can be confirmed now");
    for id in 1..=3 {
        cluster.proxy(id).set(Mode::Pass);
    }
    for read in reads {
        read.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_at_least_as_new_as_a_reply_waits_until_its_entry_is_there() {
    let cluster = Cluster::formed(|_| {}).await;
    let (leader, behind) = (cluster.leader().await, cluster.follower().await);
    cluster.proxy(behind).set(Mode::Cut);
    let written = cluster.propose(leader, "written").await.position;
    let level = ReadLevel::AtLeast(written);
    assert!(cluster.node(leader).read(level, Duration::ZERO).await.unwrap() >= written);
    let early = cluster.node(behind).read(level, A_WHILE).await;
    assert!(matches!(early, Err(ReadError::Timeout)), "{early:?}");
    let waiting = tokio::spawn({
        let node = cluster.node(behind).clone();
        async move { node.read(level, PATIENCE).await }
    });
    cluster.proxy(behind).set(Mode::Pass);
    assert!(waiting.await.unwrap().unwrap() >= written);
    assert!(cluster.kept(behind).contains("written"));
    // What is there already needs nobody.
    let at = cluster.node(behind).read(ReadLevel::AtLeast(Position::default()), Duration::ZERO);
    assert!(at.await.unwrap() >= written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_read_needs_no_leader_while_its_bound_holds_and_fails_when_it_does_not() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let reader = cluster.follower().await;
    let written = cluster.propose(reader, "written").await.position;
    cluster.node(reader).read_barrier(PATIENCE).await.unwrap();
    for id in (1..=3).filter(|id| *id != reader) {
        cluster.halt(id).await;
    }
    assert!(cluster.node(reader).read(ANY_AGE, Duration::ZERO).await.unwrap() >= written);
    let strict = ReadLevel::Stale { max_age: Duration::from_millis(10) };
    // Until the bound is passed, it is answered.
    let refusal = async {
        loop {
            if let Err(refused) = cluster.node(reader).read(strict, A_WHILE).await {
                return refused;
            }
            tokio::task::yield_now().await;
        }
    };
    match timeout(PATIENCE, refusal).await {
        Ok(ReadError::TooOld { age: Some(age) }) => assert!(age >= A_WHILE, "{age:?}"),
        other => panic!("{other:?}"),
    }
    // A node that has heard of nobody since it was started cannot tell how old its state is.
    cluster.halt(reader).await;
    cluster.start(reader).await;
    let refused = cluster.node(reader).read(ANY_AGE, A_WHILE).await;
    assert!(matches!(refused, Err(ReadError::TooOld { age: None })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_of_its_leader_but_lacks_entries_does_not_call_its_state_new() {
    let cluster = Cluster::formed(|_| {}).await;
    let (leader, behind) = (cluster.leader().await, cluster.follower().await);
    cluster.node(behind).read_barrier(PATIENCE).await.unwrap();
    // It can ask, and nothing comes to it.
    cluster.proxy(behind).set(Mode::Cut);
    cluster.propose(leader, "missed").await;
    let young = ReadLevel::Stale { max_age: Duration::from_millis(1) };
    let refused = cluster.node(behind).read(young, A_WHILE).await;
    assert!(matches!(refused, Err(ReadError::TooOld { age: Some(_) })), "{refused:?}");
    cluster.proxy(behind).set(Mode::Pass);
    cluster.node(behind).read(young, PATIENCE).await.unwrap();
    assert!(cluster.kept(behind).contains("missed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_reads_share_confirmations_and_renew_them_ahead_of_time() {
    let cluster = Cluster::formed(|_| {}).await;
    let reader = cluster.follower().await;
    let level = ReadLevel::Stale { max_age: Duration::from_secs(2) };
    cluster.node(reader).read(level, PATIENCE).await.unwrap();
    let before = rounds(&cluster, reader);
    for _ in 0..2000 {
        cluster.node(reader).read(level, PATIENCE).await.unwrap();
    }
    wait("a renewal while readers come", || {
        let node = cluster.node(reader).clone();
        tokio::spawn(async move { node.read(level, PATIENCE).await });
        rounds(&cluster, reader) > before
    })
    .await;
    assert!(rounds(&cluster, reader) - before < 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_under_way_ends_with_its_node() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let reader = cluster.follower().await;
    let level = ReadLevel::AtLeast(Position { term: 99, index: 9999 });
    let node = cluster.node(reader).clone();
    let waiting = tokio::spawn(async move { node.read(level, PATIENCE * 10).await });
    cluster.halt(reader).await;
    let ended = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ReadError::Stopped(_))), "{ended:?}");
}
