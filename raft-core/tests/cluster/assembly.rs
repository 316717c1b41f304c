//! How nodes with the same flags come to be one cluster, and stay one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::Event;

use super::certificates::{Authority, NAME};
use super::fleet::Fleet;
use super::harness::wait;

/// The cluster id of a node that belongs to none.
const NONE: [u8; 16] = [0; 16];

/// A permutation of the first numbers, another one for each seed.
fn order(size: usize, seed: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..size).collect();
    let mut state = seed * 7919 + 1;
    let mut picked = Vec::new();
    while !left.is_empty() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        picked.push(left.remove((state >> 33) % left.len()));
    }
    picked
}

/// openbao#2274, openbao#3652, diom#1006: nodes that joined by themselves formed two clusters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_started_at_once_in_any_order_form_one_cluster() {
    let begun = Instant::now();
    for seed in 0..20 {
        let mut fleet = Fleet::prepare(5, 5).await;
        for place in order(5, seed) {
            fleet.start(place).await;
        }
        fleet.leader().await;
        wait("five voters everywhere", || {
            fleet.running().into_iter().all(|place| fleet.voters(place).len() == 5)
        })
        .await;
        let clusters = fleet.cluster_ids();
        assert_eq!(clusters.len(), 1, "seed {seed}");
        assert!(!clusters.contains(&NONE));
        assert!((0..5).all(|place| fleet.status(place).cluster_id == *clusters.first().unwrap()));
        let command = fleet.insist(0, "first").await;
        fleet.hold(&[&command]).await;
        fleet.halt_all().await;
        if begun.elapsed() > Duration::from_secs(40) {
            // Of a slow machine a few are asked.
            assert!(seed >= 2, "a cold start took too long");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_of_five_wait_and_say_so_until_the_fifth_arrives() {
    let mut fleet = Fleet::prepare(5, 5).await;
    for place in 0..4 {
        fleet.start(place).await;
    }
    let four = "4/5 nodes seen: node-0, node-1, node-2, node-3";
    for place in 0..4 {
        fleet
            .tells(
                place,
                "whom it waits for",
                |event| matches!(event, Event::Waiting { why } if why == four),
            )
            .await;
        assert_eq!(fleet.node(place).cluster_id(), NONE);
        assert!(fleet.status(place).voters.is_empty());
    }
    let metrics = fleet.node(0).metrics();
    assert!(metrics.contains("raft_assembly_decisions_total{kind=\"waiting\"}"), "{metrics}");
    let refused = fleet.node(0).propose(Bytes::from_static(b"x"), Duration::from_millis(50)).await;
    assert!(!refused.unwrap_err().may_have_happened());
    fleet.start(4).await;
    fleet.leader().await;
    assert_eq!(fleet.cluster_ids().len(), 1);
    for place in 0..5 {
        fleet.node(place).bootstrap().await.unwrap();
        fleet.tells(place, "the promise", |e| matches!(e, Event::Promised { .. })).await;
        fleet.tells(place, "the cluster", |e| matches!(e, Event::Formed { .. })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_expects_another_number_stands_in_the_way_and_says_so() {
    let mut fleet = Fleet::prepare(3, 3).await;
    fleet.adjust = Box::new(|place, config| {
        if place == 2 {
            config.assembly.as_mut().unwrap().bootstrap_expect = 5;
        }
    });
    fleet.start_all().await;
    for place in 0..3 {
        fleet
            .tells(
                place,
                "the refusal",
                |event| matches!(event, Event::Blocked { why } if why.contains("expects")),
            )
            .await;
    }
    fleet.halt(2).await;
    fleet.adjust = Box::new(|_, _| {});
    fleet.start(2).await;
    fleet.leader().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_find_each_other_over_mutual_tls_and_no_other_authoritys_node() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut fleet = Fleet::prepare(4, 3).await;
    fleet.adjust = Box::new(move |place, config| {
        config.allow_plaintext = false;
        config.tls = Some(if place == 3 { other.sign(NAME) } else { authority.sign(NAME) });
    });
    fleet.start(3).await;
    for place in 0..2 {
        fleet.start(place).await;
    }
    let two = "2/3 nodes seen: node-0, node-1";
    for place in 0..2 {
        let says = |event: &Event| matches!(event, Event::Waiting { why } if why == two);
        fleet.tells(place, "whom it waits for", says).await;
    }
    fleet.start(2).await;
    wait("three voters", || (0..3).all(|place| fleet.voters(place).len() == 3)).await;
    assert_eq!(fleet.node(3).cluster_id(), NONE);
    let alone = "1/3 nodes seen: node-3";
    let says = |event: &Event| matches!(event, Event::Waiting { why } if why == alone);
    fleet.tells(3, "that it is alone", says).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_started_from_copies_of_one_data_directory_say_so() {
    let mut fleet = Fleet::prepare(2, 2).await;
    fleet.start(0).await;
    fleet.halt(0).await;
    std::fs::create_dir(fleet.data_dir(1)).unwrap();
    let identity = std::fs::read(fleet.data_dir(0).join("identity")).unwrap();
    std::fs::write(fleet.data_dir(1).join("identity"), identity).unwrap();
    std::fs::create_dir(fleet.data_dir(1).join("log")).unwrap();
    for entry in std::fs::read_dir(fleet.data_dir(0).join("log")).unwrap() {
        let entry = entry.unwrap();
        let to = fleet.data_dir(1).join("log").join(entry.file_name());
        std::fs::copy(entry.path(), to).unwrap();
    }
    fleet.start_all().await;
    for place in 0..2 {
        fleet.tells(place, "the copy", |event| {
            matches!(event, Event::Blocked { why } if why.contains("copy of this node's data"))
        })
        .await;
    }
}
