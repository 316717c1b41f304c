//! Connections that died without a word, as when something on the way forgot them: neither end is
//! told, and a new one would work.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::harness::{Cluster, PATIENCE, wait};

/// What the keepalive takes to notice (two and three seconds), twice for a busy machine, and an
/// election beside it.
const NOTICED: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_connections_that_died_silently_is_reached_over_new_ones() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let mut others = cluster.running().into_iter().filter(|id| *id != leader);
    let (needed, away) = (others.next().unwrap(), others.next().unwrap());
    let mut commands = cluster.propose_many(leader, "before", 20).await;
    cluster.agree_on(&commands).await;
    // Nothing is committed without the one behind the dead link.
    cluster.halt(away).await;
    cluster.proxy(needed).forget();
    let began = Instant::now();
    commands.push(cluster.insist(leader, "over a new connection").await);
    let took = began.elapsed();
    assert!(took < NOTICED, "it took {took:?}");
    cluster.agree_on(&commands).await;
    assert!(cluster.proxy(needed).forgotten() > 0, "some connection did die");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_a_connection_that_died_silently_is_made_again_over_a_new_one() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let edge = cluster.follower().await;
    let session = cluster.node(edge).open_session(PATIENCE).await.unwrap();
    let mut commands = vec!["before".to_owned()];
    session.propose("before", PATIENCE).await.unwrap();
    cluster.proxy(leader).forget();
    for command in ["first", "second"] {
        let applied = timeout(NOTICED, session.propose(command, PATIENCE)).await;
        applied.expect("the dead connection is noticed").unwrap();
        commands.push(command.to_owned());
    }
    timeout(NOTICED, cluster.node(edge).read_barrier(PATIENCE)).await.unwrap().unwrap();
    cluster.agree_on(&commands).await;
    wait("everybody to follow", || {
        let leader = cluster.node(edge).status().leader;
        (1..=3).all(|id| leader.is_some() && cluster.node(id).status().leader == leader)
    })
    .await;
    assert!(cluster.proxy(leader).forgotten() > 0, "some connection did die");
}
