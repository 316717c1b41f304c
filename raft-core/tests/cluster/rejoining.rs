//! How members of a cluster that found itself come back: elsewhere, wiped, or not at all.

use std::time::Duration;

use bytes::Bytes;
use raft_core::discovery::{AddressRange, Discovery, Sweep};
use raft_core::{Event, Role};
use tokio::net::UdpSocket;

use super::fleet::Fleet;
use super::harness::{stays, wait};
use super::proxy::Proxy;

/// The cluster id of a node that belongs to none.
const NONE: [u8; 16] = [0; 16];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_nodes_all_come_back_at_new_addresses_has_a_leader_again() {
    let mut fleet = Fleet::formed(3, 3).await;
    let command = fleet.insist(0, "before").await;
    fleet.hold(&[&command]).await;
    let cluster = fleet.cluster_ids();
    fleet.halt_all().await;
    for place in 0..3 {
        fleet.move_away(place).await;
    }
    fleet.start_all().await;
    let leader = fleet.leader().await;
    assert_eq!(fleet.cluster_ids(), cluster);
    let after = fleet.insist(leader, "after").await;
    fleet.hold(&[&command, &after]).await;
    // The membership says by and by where they are now.
    let now = fleet.addresses();
    wait("the new addresses in the membership", || {
        let voters = fleet.status(leader).voters;
        voters.len() == 3 && voters.iter().all(|voter| now.contains(&voter.address))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_volume_was_wiped_takes_its_former_place_under_another_number() {
    let mut fleet = Fleet::formed(3, 3).await;
    let before = fleet.insist(0, "before").await;
    fleet.hold(&[&before]).await;
    let (victim, cluster) = (fleet.follower().await, fleet.cluster_ids());
    let old = fleet.status(victim).node_id;
    fleet.halt(victim).await;
    fleet.wipe(victim);
    fleet.start(victim).await;
    let new = fleet.status(victim).node_id;
    assert_ne!(old, new);
    wait("the new number among the voters", || {
        fleet.running().into_iter().all(|place| {
            let voters = fleet.voters(place);
            assert!(voters.is_empty() || voters.len() >= 3, "{voters:?}");
            voters.contains(&new) && !voters.contains(&old) && voters.len() == 3
        })
    })
    .await;
    let leader = fleet.leader().await;
    wait("the tombstone", || fleet.node(leader).members().removed == [old]).await;
    assert!(fleet.node(leader).members().learners.is_empty());
    assert_eq!(fleet.cluster_ids(), cluster);
    let told = |wanted: fn(&Event, u64, u64) -> bool| {
        (0..3).any(|place| fleet.told(place, |event| wanted(event, old, new)))
    };
    let replaced = |event: &Event, old_id: u64, new_id: u64| match event {
        Event::Replaced { old, new, .. } => (*old, *new) == (old_id, new_id),
        _ => false,
    };
    wait("the replacement to be told", || told(replaced)).await;
    assert!(told(|event, old_id, new_id| {
        matches!(event, Event::Replacing { old, new, .. } if *old == old_id && *new == new_id)
    }));
    assert!(fleet.told(victim, |event| matches!(event, Event::Joined { .. })));
    let after = fleet.insist(victim, "after").await;
    fleet.hold(&[&before, &after]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_amid_a_replacement_strands_it_not() {
    let mut fleet = Fleet::formed(5, 5).await;
    let leader = fleet.leader().await;
    let victim = fleet.follower().await;
    let old = fleet.status(victim).node_id;
    fleet.halt(victim).await;
    fleet.wipe(victim);
    fleet.start(victim).await;
    let new = fleet.status(victim).node_id;
    fleet.tells(victim, "the node to be taken in", |e| matches!(e, Event::Joined { .. })).await;
    fleet.halt(leader).await;
    wait("the replacement under another leader", || {
        let others = fleet.running().into_iter();
        others
            .map(|place| fleet.voters(place))
            .all(|voters| voters.contains(&new) && !voters.contains(&old) && voters.len() == 5)
    })
    .await;
    fleet.start(leader).await;
    fleet.leader().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_of_wiped_nodes_forms_no_cluster_beside_those_that_remember() {
    let mut fleet = Fleet::formed(5, 5).await;
    let command = fleet.insist(0, "before").await;
    fleet.hold(&[&command]).await;
    let cluster = *fleet.cluster_ids().first().unwrap();
    fleet.halt_all().await;
    for place in 0..3 {
        fleet.wipe(place);
    }
    // First without those who remember, then with them.
    for place in 0..3 {
        fleet.start(place).await;
    }
    for place in 0..3 {
        fleet.tells(place, "three of five", |event| {
            matches!(event, Event::Waiting { why } if why.starts_with("3/5 nodes seen"))
        })
        .await;
    }
    for place in 3..5 {
        fleet.start(place).await;
    }
    for place in 0..3 {
        fleet
            .tells(
                place,
                "a cluster without a quorum",
                |event| matches!(event, Event::Waiting { why } if why.ends_with("has no quorum")),
            )
            .await;
        assert_eq!(fleet.node(place).cluster_id(), NONE);
    }
    for place in 3..5 {
        assert_eq!(fleet.node(place).cluster_id(), cluster);
        assert_ne!(fleet.status(place).role, Role::Leader);
        let limit = Duration::from_millis(500);
        let refused = fleet.node(place).propose(Bytes::from_static(b"lost"), limit).await;
        assert!(!refused.unwrap_err().may_have_happened());
        assert!(fleet.places[place].kept.contains(&command));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_fresh_nodes_as_are_expected_wait_for_a_cluster_they_saw_once() {
    let mut fleet = Fleet::prepare(5, 3).await;
    for place in 0..3 {
        fleet.start(place).await;
    }
    fleet.leader().await;
    let command = fleet.insist(0, "before").await;
    fleet.hold(&[&command]).await;
    let cluster = *fleet.cluster_ids().first().unwrap();
    fleet.halt_all().await;
    // Two of three disks are away, and a spare comes in: three fresh nodes, one that remembers.
    let (away, found) = (fleet.data_dir(1), fleet.directory.path().join("found"));
    std::fs::rename(&away, &found).unwrap();
    fleet.wipe(0);
    for place in [2, 0, 1, 3] {
        fleet.start(place).await;
    }
    let waits = |words: &'static str| {
        move |event: &Event| match event {
            Event::Waiting { why } => why.contains(words),
            _ => false,
        }
    };
    for place in [0, 1, 3] {
        fleet.tells(place, "the cluster to be seen", waits("has no quorum")).await;
    }
    fleet.halt(2).await;
    for place in [0, 1, 3] {
        fleet.tells(place, "that it waits", waits("was seen before")).await;
    }
    // Nor does a restart make one forget it, and a spare that never saw it hears of it.
    fleet.halt(0).await;
    fleet.places[0].told.lock().unwrap().clear();
    fleet.start(0).await;
    fleet.start(4).await;
    fleet.tells(0, "that it still waits", waits("was seen before")).await;
    fleet.tells(4, "that it heard", waits("was seen by")).await;
    let fresh = [0, 1, 3, 4];
    let promised = |fleet: &Fleet, place: usize| fleet.data_dir(place).join("promise").exists();
    for round in 0..2 {
        for place in fresh {
            assert_eq!(fleet.node(place).cluster_id(), NONE, "round {round}");
            assert!(!promised(&fleet, place), "round {round}");
        }
        // The one that remembers is back: it leads not without a majority.
        if round == 0 {
            fleet.start(2).await;
            fleet.tells(4, "a cluster without a quorum", waits("has no quorum")).await;
        }
    }
    assert_eq!(fleet.node(2).cluster_id(), cluster);
    // A second disk is found: there is a leader, and everybody joins.
    fleet.halt(1).await;
    std::fs::remove_dir_all(&away).unwrap();
    std::fs::rename(&found, &away).unwrap();
    fleet.start(1).await;
    fleet.leader().await;
    assert_eq!(fleet.cluster_ids().into_iter().collect::<Vec<_>>(), [cluster]);
    fleet.hold(&[&command]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_gets_a_vote_only_while_voters_are_missing() {
    let mut fleet = Fleet::formed(3, 3).await;
    let command = fleet.insist(0, "before").await;
    let place = fleet.add().await;
    fleet.start(place).await;
    fleet.tells(place, "the node to be taken in", |e| matches!(e, Event::Joined { .. })).await;
    fleet.hold(&[&command]).await;
    let id = fleet.status(place).node_id;
    let leader = fleet.leader().await;
    assert!(fleet.told(leader, |e| matches!(e, Event::Admitted { member } if member.id == id)));
    // Ten times as long as it takes to be promoted.
    stays("three vote, and the newcomer does not", Duration::from_secs(3), || {
        let members = fleet.node(leader).members();
        members.voters.len() == 3 && members.learners.iter().map(|l| l.member.id).eq([id])
    })
    .await;
    // One of the others is removed by an operator: there is room now.
    let leaving = (0..3).find(|place| *place != leader).unwrap();
    let gone = fleet.status(leaving).node_id;
    fleet.node(leader).remove(gone, Duration::from_secs(60)).await.unwrap();
    wait("the standby's vote", || {
        let voters = fleet.voters(leader);
        voters.contains(&id) && voters.len() == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_living_nodes_of_one_name_are_told_apart() {
    let mut fleet = Fleet::prepare(4, 3).await;
    fleet.adjust = Box::new(|place, config| {
        if place == 3 {
            config.assembly.as_mut().unwrap().name = Fleet::name(0);
        }
    });
    for place in 0..3 {
        fleet.start(place).await;
    }
    fleet.leader().await;
    let first = fleet.status(0).node_id;
    fleet.start(3).await;
    fleet.tells(3, "the refusal", |event| {
        matches!(event, Event::Blocked { why } if why.contains("is called node-0, too"))
    })
    .await;
    assert!(fleet.voters(0).contains(&first));
    assert_eq!(fleet.node(3).cluster_id(), NONE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_lost_the_name_service_find_each_other_by_what_they_kept() {
    let mut fleet = Fleet::formed(3, 3).await;
    let command = fleet.insist(0, "before").await;
    fleet.hold(&[&command]).await;
    let leader = fleet.leader().await;
    wait("the addresses to be kept", || {
        (0..3).all(|place| fleet.data_dir(place).join("addresses").exists())
    })
    .await;
    fleet.halt_all().await;
    fleet.adjust = Box::new(|_, config| {
        config.assembly.as_mut().unwrap().discovery = Discovery::default();
    });
    fleet.start_all().await;
    let again = fleet.leader().await;
    tracing::info!(leader, again, "led");
    fleet.hold(&[&command]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_whose_addresses_were_swapped_refuse_each_other_and_are_found_again() {
    let mut fleet = Fleet::formed(3, 3).await;
    let command = fleet.insist(0, "before").await;
    fleet.hold(&[&command]).await;
    fleet.halt(0).await;
    fleet.halt(1).await;
    let (one, other) = (fleet.places[0].proxy.clone(), fleet.places[1].proxy.clone());
    fleet.places[0].proxy = other;
    fleet.places[1].proxy = one;
    fleet.start(0).await;
    fleet.start(1).await;
    let leader = fleet.leader().await;
    let after = fleet.insist(leader, "after").await;
    fleet.hold(&[&command, &after]).await;
    let addresses = fleet.addresses();
    wait("the swapped addresses in the membership", || {
        let voters = fleet.status(leader).voters;
        (0..3).all(|place| {
            let id = fleet.status(place).node_id;
            let voter = voters.iter().find(|voter| voter.id == id);
            voter.is_some_and(|voter| voter.address == addresses[place])
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_without_a_name_service_finds_its_cluster_by_asking_a_range() {
    let free = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut fleet = Fleet::prepare(3, 3).await;
    // Each at an address of its own, where the answers to a sweep come from.
    for place in 0..3 {
        fleet.places[place].proxy = Proxy::start_at([127, 0, 0, 11 + place as u8]).await;
    }
    fleet.adjust = Box::new(move |place, config| {
        let assembly = config.assembly.as_mut().unwrap();
        assembly.answer_sweeps_at = Some(([127, 0, 0, 11 + place as u8], port).into());
        let range: AddressRange = "127.0.0.11-127.0.0.13".parse().unwrap();
        let sweep = Some(Sweep { port, ..Sweep::new(range, 1) });
        assembly.discovery = Discovery { sweep, ..Discovery::default() };
    });
    fleet.start_all().await;
    fleet.leader().await;
    let command = fleet.insist(0, "before").await;
    fleet.hold(&[&command]).await;
    let victim = fleet.follower().await;
    let old = fleet.status(victim).node_id;
    fleet.halt(victim).await;
    fleet.wipe(victim);
    fleet.start(victim).await;
    let new = fleet.status(victim).node_id;
    wait("the new number among the voters", || {
        let voters = fleet.voters(victim);
        voters.contains(&new) && !voters.contains(&old) && voters.len() == 3
    })
    .await;
    fleet.hold(&[&command]).await;
}
