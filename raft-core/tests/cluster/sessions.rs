//! Proposals that are applied exactly once, whatever happens on their way.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{Applied, Config, NodeId, ProposeError, Session};
use tokio::time::timeout;

use super::harness::{Cluster, PATIENCE, wait};
use super::proxy::Mode;
use super::snapshots::purged;

/// The journal replies with the number of the command: the reply is this very command's.
fn assert_reply_to(cluster: &Cluster, applied: &Applied, command: &str) {
    let number: usize = std::str::from_utf8(&applied.reply).unwrap().parse().unwrap();
    let id = cluster.running()[0];
    let commands = cluster.kept(id).commands();
    let found = commands.iter().position(|held| held == command.as_bytes()).map(|at| at + 1);
    let status = cluster.node(id).status();
    assert_eq!(found, Some(number), "{command}: {applied:?}, looked up in {status:?}");
}

/// Has a command committed by the leader while whoever proposed it elsewhere waits for a reply that
/// is lost: it is in the leader's log, nobody has it yet, and then the way to the leader is cut.
async fn lose_the_reply(cluster: &Cluster, leader: NodeId) {
    let others: Vec<NodeId> = cluster.running().into_iter().filter(|id| *id != leader).collect();
    let appended = cluster.node(leader).status().last_log;
    wait("the command at the leader", || cluster.node(leader).status().last_log > appended).await;
    cluster.proxy(leader).set(Mode::Cut);
    others.iter().for_each(|id| cluster.proxy(*id).set(Mode::Pass));
}

async fn silence_followers(cluster: &Cluster, leader: NodeId) {
    for id in cluster.running().into_iter().filter(|id| *id != leader) {
        cluster.proxy(id).set(Mode::Hole);
    }
}

/// sorock#317, ra#145, redisraft#659: a retry after a lost reply was applied twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_reply_was_lost_is_applied_once_and_gets_its_first_reply() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let edge = cluster.follower().await;
    let session = cluster.node(edge).open_session(PATIENCE).await.unwrap();
    let first = session.propose("first", PATIENCE).await.unwrap();
    assert!(!first.replayed);

    silence_followers(&cluster, leader).await;
    let (applied, ()) = tokio::join!(session.propose("second", PATIENCE), async {
        lose_the_reply(&cluster, leader).await;
        cluster.proxy(leader).set(Mode::Pass);
    });
    let applied = applied.unwrap();
    cluster.agree_on(&["first".into(), "second".into()]).await;
    assert_reply_to(&cluster, &applied, "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_a_lost_reply_is_an_unknown_outcome() {
    let cluster = Cluster::formed(|_| {}).await;
    let leader = cluster.leader().await;
    let edge = cluster.follower().await;
    cluster.propose(edge, "over the kept stream").await;
    silence_followers(&cluster, leader).await;
    let (outcome, ()) = tokio::join!(
        timeout(PATIENCE / 2, cluster.node(edge).propose("unknown", PATIENCE)),
        lose_the_reply(&cluster, leader)
    );
    let error = outcome.expect("a stream that broke is noticed at once").unwrap_err();
    assert!(matches!(error, ProposeError::Timeout), "{error:?}");
    assert!(error.may_have_happened());
    cluster.proxy(leader).set(Mode::Pass);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_commands_are_applied_once_each_while_leaders_come_and_go() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let edge = cluster.follower().await;
    let mut clients = Vec::new();
    for client in 0..10 {
        let session = cluster.node(edge).open_session(PATIENCE).await.unwrap();
        clients.push(tokio::spawn(hundred(session, client)));
    }
    for _ in 0..3 {
        let leader = cluster.leader().await;
        if leader == edge {
            let _ = cluster.node(edge).transfer_leadership(None).await;
            continue;
        }
        cluster.halt(leader).await;
        cluster.start(leader).await;
        let leader = cluster.leader().await;
        cluster.proxy(leader).set(Mode::Cut);
        cluster.proxy(leader).set(Mode::Pass);
    }
    let mut done = Vec::new();
    for client in clients {
        done.extend(timeout(PATIENCE * 2, client).await.unwrap().unwrap());
    }
    let commands: Vec<String> = done.iter().map(|(command, _)| command.clone()).collect();
    assert_eq!(commands.len(), 1000);
    cluster.agree_on(&commands).await;
    for (command, applied) in done {
        assert_reply_to(&cluster, &applied, &command);
    }
    assert_eq!(cluster.kept(edge).commands().len(), 1000, "nothing but these");
}

/// Proposes a hundred commands, ten at a time.
async fn hundred(session: Session, client: u64) -> Vec<(String, Applied)> {
    let mut done = Vec::new();
    for ten in 0..10 {
        let proposals = (0..10).map(|one| {
            let (session, command) = (session.clone(), format!("client-{client}-{ten}{one}"));
            async move {
                let applied = session.propose(command.clone(), PATIENCE).await.unwrap();
                (command, applied)
            }
        });
        done.extend(futures_util::future::join_all(proposals).await);
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_a_restart_of_its_client_and_of_all_members() {
    let mut cluster = Cluster::formed(|_| {}).await;
    let session = cluster.node(1).open_session(PATIENCE).await.unwrap();
    let mut replies = Vec::new();
    for command in ["one", "two", "three"] {
        replies.push(session.propose(command, PATIENCE).await.unwrap());
    }
    assert_eq!(session.next_sequence(), 4);
    let id = session.id();
    drop(session);
    for id in 1..=3 {
        cluster.halt(id).await;
    }
    cluster.start_all().await;

    // The client has kept the reply to none but the first two.
    let resumed = cluster.node(2).resume_session(id, 3);
    let again = resumed.propose("three", PATIENCE).await.unwrap();
    assert_eq!(again, Applied { replayed: true, ..replies.remove(2) });
    let next = resumed.propose("four", PATIENCE).await.unwrap();
    assert!(!next.replayed);
    let all = ["one", "two", "three", "four"].map(String::from);
    cluster.agree_on(&all).await;
    assert!((1..=3).all(|id| cluster.node(id).status().rebuilds == 0));

    // What it has acknowledged is forgotten, and yet never applied again.
    let behind = cluster.node(3).resume_session(id, 1);
    let error = behind.propose("one", PATIENCE).await.unwrap_err();
    assert!(matches!(error, ProposeError::ReplyForgotten), "{error:?}");
    assert!(error.may_have_happened());
    cluster.agree_on(&all).await;

    // Of a session that is not open, nobody knows what was applied.
    let gone = cluster.node(1).resume_session([1; 16], 7);
    let error = gone.propose("seven", PATIENCE).await.unwrap_err();
    assert!(matches!(error, ProposeError::SessionExpired { proposed: true }), "{error:?}");
    let named = cluster.node(1).open_session_as([1; 16], PATIENCE).await.unwrap();
    assert!(!named.propose("one of another", PATIENCE).await.unwrap().replayed);
}

fn eager(config: &mut Config) {
    config.snapshot_after_entries = 50;
    config.keep_entries = 10;
    config.segment_bytes = 16 << 10;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_come_along_with_a_snapshot() {
    let mut cluster = Cluster::formed(eager).await;
    let away = cluster.follower().await;
    cluster.halt(away).await;
    let leader = cluster.leader().await;
    let key = [7; 16];
    let once = cluster.node(leader).propose_once(key, "once", PATIENCE).await.unwrap();
    let mut commands = vec!["once".to_owned()];
    for round in 0..6 {
        commands.extend(cluster.propose_many(leader, &format!("round-{round}"), 50).await);
    }
    wait("the leader to let go of what the node lacks", || purged(&cluster, leader) > 50).await;
    cluster.start(away).await;
    cluster.agree_on(&commands).await;
    assert!(cluster.kept(away).with(|held| held.restores) >= 1);

    // It answers from what the snapshot brought, as leader, and after it was rebuilt from its own.
    for _ in 0..2 {
        let leader = cluster.leader().await;
        if leader != away {
            cluster.node(leader).transfer_leadership(Some(away)).await.unwrap();
        }
        let again = cluster.node(away).propose_once(key, "once", PATIENCE).await.unwrap();
        assert_eq!(again, Applied { replayed: true, ..once.clone() });
        cluster.node(away).take_snapshot().await.unwrap();
        cluster.halt(away).await;
        cluster.kept(away).with(|held| *held = Default::default());
        cluster.start(away).await;
        assert_eq!(cluster.node(away).status().rebuilds, 1);
        cluster.agree_on(&commands).await;
    }
    cluster.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_names_one_command_whoever_proposes_it_and_wherever() {
    let cluster = Cluster::formed(|_| {}).await;
    let proposals = (0..30).map(|number: u64| {
        let node = cluster.node(1 + number % 3);
        node.propose_once([9; 16], "one of thirty", PATIENCE)
    });
    let replies = futures_util::future::join_all(proposals).await;
    let replies: Vec<Applied> = replies.into_iter().map(Result::unwrap).collect();
    assert_eq!(replies.iter().filter(|applied| !applied.replayed).count(), 1);
    assert!(replies.iter().all(|applied| applied.position == replies[0].position));
    assert!(replies.iter().all(|applied| applied.reply == replies[0].reply));
    cluster.agree_on(&["one of thirty".into()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_a_session_says_whether_it_is_certain() {
    let mut cluster = Cluster::formed(|config| config.max_entry_bytes = 100).await;
    let session = cluster.node(1).open_session(PATIENCE).await.unwrap();
    let large = session.propose(vec![0; 101], PATIENCE).await.unwrap_err();
    assert!(matches!(large, ProposeError::TooLarge { bytes: 101, limit: 100 }), "{large:?}");
    assert!(!large.may_have_happened());
    // The number it had taken is given up, and those after it are not held up.
    session.propose(Bytes::from_static(b"fits"), PATIENCE).await.unwrap();
    for id in [2, 3] {
        cluster.halt(id).await;
    }
    let lost = session.propose("lost", Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(lost, ProposeError::Timeout | ProposeError::NoLeader), "{lost:?}");
    cluster.halt(1).await;
    let stopped = session.propose("stopped", PATIENCE).await.unwrap_err();
    assert!(matches!(stopped, ProposeError::Stopped { proposed: false, .. }), "{stopped:?}");
}
