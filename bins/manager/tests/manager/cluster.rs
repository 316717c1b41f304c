//! Three real managers: forwarding, fail-over, presence, and the same state everywhere.

use crate::harness::{Running, Site, leader, until};
use crate::person::Person;
use serde_json::json;
use std::time::{Duration, Instant};

/// Waits until all have applied the same and say the same of it.
async fn until_digests_agree(all: &[Running]) {
    until("all managers hold the same state", async || {
        let states: Vec<_> = all
            .iter()
            .map(|running| {
                let reader = running.manager.reader();
                (reader.position(), reader.digest().unwrap())
            })
            .collect();
        states.windows(2).all(|pair| pair[0] == pair[1])
    })
    .await;
}

async fn shut_down(all: Vec<Running>) {
    for running in all {
        running.manager.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_manager_serves_and_a_lost_leader_is_survived_and_comes_back() {
    let site = Site::new(3, Duration::from_secs(600));
    let mut all = site.start_all().await;
    let cluster = all[0].manager.node().cluster_id();
    let first = leader(&all).await;

    // Registered through each manager, so through followers too; known by each.
    let people: Vec<Person> =
        ["alice", "bob", "carol"].iter().map(|name| Person::new(name, cluster)).collect();
    for (person, at) in people.iter().zip(&all) {
        person.register(at).await;
    }
    let alice = &people[0];
    let token = alice.login(&all[(first + 1) % 3]).await;
    for at in &all {
        // Right after the login, at managers that may not have applied it yet.
        let own = at.ask("GET", "/account", Some(&token), None).await;
        assert_eq!(own.message()["public"]["username"], "alice", "{own:?}");
        for person in &people {
            until("each manager knows everybody", async || {
                let path = format!("/users/{}", person.username);
                at.ask("GET", &path, Some(&token), None).await.status == 200
            })
            .await;
        }
    }

    // The leader is stopped as a killed process is.
    let halted = all.remove(first);
    let halted_id = halted.node_id();
    halted.manager.halt().await;
    drop(halted);
    // Looking up needs no leader.
    let seen = all[0].ask("GET", "/users/bob", Some(&token), None).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let second = leader(&all).await;
    assert_ne!(all[second].node_id(), halted_id);
    let dora = Person::new("dora", cluster);
    let dora_token = dora.settle(&all[1 - second]).await;
    assert_eq!(all[second].ask("GET", "/account", Some(&dora_token), None).await.status, 200);

    // Ended at one manager, over everywhere.
    assert_eq!(all[0].ask("POST", "/logout", Some(&token), None).await.status, 200);
    let over = all[1].ask("GET", "/account", Some(&token), None).await;
    assert_eq!(over.kind(), "session-ended", "{over:?}");

    // The stopped one comes back and catches up.
    let back = site.start(halted_id).await;
    back.until_ready().await;
    let over = back.ask("GET", "/account", Some(&token), None).await;
    assert_eq!(over.kind(), "session-ended", "{over:?}");
    all.push(back);
    until_digests_agree(&all).await;
    shut_down(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silent_go_offline_and_come_back_with_the_next_heartbeat() {
    let lease = Duration::from_secs(3);
    let site = Site::new(3, lease);
    let all = site.start_all().await;
    let leads = leader(&all).await;
    let follower = &all[(leads + 1) % 3];
    let alice = Person::new("alice", follower.manager.node().cluster_id());
    let token = alice.settle(follower).await;
    until("alice is seen online everywhere", async || {
        all.iter().all(|running| running.shows_online("alice"))
    })
    .await;

    // As long as she is heard, through a manager that does not lead, she stays.
    let begun = Instant::now();
    while begun.elapsed() < lease * 2 {
        let beat =
            follower.ask("POST", "/heartbeat", Some(&token), Some(alice.heartbeat_body())).await;
        assert_eq!(beat.message()["lease_ms"], 3000);
        assert!(all.iter().all(|running| running.shows_online("alice")), "a lease was lost");
        tokio::time::sleep(lease / 6).await;
    }
    until("alice is seen offline everywhere", async || {
        all.iter().all(|running| !running.shows_online("alice"))
    })
    .await;
    let seen = all[leads].ask("GET", "/users/alice", Some(&token), None).await;
    assert_eq!(seen.message()["status"], "offline");
    assert!(seen.message()["last_seen"].is_string(), "{seen:?}");

    // Her session lives on: one heartbeat and she is there.
    let watched = json!({ "username": "alice", "watch": ["alice", "mallory"] });
    let beat = follower.ask("POST", "/heartbeat", Some(&token), Some(watched)).await;
    assert_eq!(beat.message()["watched"].as_array().unwrap().len(), 1);
    until("alice is back everywhere", async || {
        all.iter().all(|running| running.shows_online("alice"))
    })
    .await;
    until("she goes again", async || !all[leads].shows_online("alice")).await;
    until_digests_agree(&all).await;
    shut_down(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_grants_everybody_a_full_lease() {
    let lease = Duration::from_secs(6);
    let site = Site::new(3, lease);
    let mut all = site.start_all().await;
    let alice = Person::new("alice", all[0].manager.node().cluster_id());
    alice.settle(&all[0]).await;
    until("alice is seen online everywhere", async || {
        all.iter().all(|running| running.shows_online("alice"))
    })
    .await;
    // Some of her lease passes, so that what is left of it would end before a full one.
    tokio::time::sleep(lease / 3).await;
    let leads = leader(&all).await;
    let halted = all.remove(leads);
    let lost = Instant::now();
    halted.manager.halt().await;
    until("alice is seen offline", async || {
        all.iter().any(|running| !running.shows_online("alice"))
    })
    .await;
    let after = lost.elapsed();
    assert!(after >= lease, "offline {after:?} after the leader was lost, before a full lease");
    shut_down(all).await;
}
