//! Managers made from a backup: whoever had an account has it still.

use crate::harness::{Running, Site};
use crate::person::Person;
use raft_core::offline::backup::{Tail, backup};
use raft_core::offline::restore::{Restore, restore};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// Loses the manager's disk and makes another manager of the backup, in its place.
async fn risen(site: &Site, saved: &Path) -> Running {
    std::fs::remove_dir_all(site.data_dir(1)).unwrap();
    let members = site.config(1).node.members;
    let wanted = Restore { data_dir: site.data_dir(1), node_id: 1, members, attempt: 0 };
    restore(saved, &wanted).unwrap();
    let running = site.start(1).await;
    running.until_ready().await;
    running
}

/// What alice had before, and what anybody can do now.
async fn check(at: &Running, lineage: [u8; 16], alice: &Person, token: &str) {
    let node = at.manager.node();
    assert_eq!(node.lineage_id(), lineage);
    assert_ne!(node.cluster_id(), lineage);
    let cluster = at.ask("GET", "/cluster", None, None).await;
    assert_eq!(cluster.message()["cluster_id"], Value::from(hex::encode(lineage)));
    let account = at.ask("GET", "/account", Some(token), None).await;
    assert_eq!(account.status, 200, "a session outlives the restore: {account:?}");
    alice.login(at).await;
    Person::new("bob", lineage).settle(at).await;
    // Nobody signs for the id that only the managers use among themselves.
    let carol = Person::new("carol", node.cluster_id());
    let refused = at.ask("POST", "/register", None, Some(carol.register_body())).await;
    assert_ne!(refused.status, 200, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_sessions_outlive_a_restore_from_a_snapshot_and_one_of_that() {
    let site = Site::new(1, LONG);
    let running = site.start(1).await;
    running.until_ready().await;
    let lineage = running.manager.node().cluster_id();
    assert_eq!(running.manager.node().lineage_id(), lineage);
    let alice = Person::new("alice", lineage);
    let token = alice.settle(&running).await;
    let saved = site.directory.path().join("saved");
    let summary = running.manager.node().backup(&saved).await.unwrap();
    assert_eq!((summary.cluster_id, summary.lineage_id), (lineage, lineage));
    running.manager.halt().await;
    drop(running);

    let running = risen(&site, &saved).await;
    check(&running, lineage, &alice, &token).await;
    let again = site.directory.path().join("again");
    let summary = running.manager.node().backup(&again).await.unwrap();
    assert_eq!(summary.lineage_id, lineage);
    running.manager.halt().await;
    drop(running);

    let running = risen(&site, &again).await;
    assert_eq!(running.manager.node().lineage_id(), lineage);
    Person::new("bob", lineage).login(&running).await;
    running.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_sessions_outlive_a_restore_from_the_log_alone() {
    let site = Site::new(1, LONG);
    let running = site.start(1).await;
    running.until_ready().await;
    let lineage = running.manager.node().cluster_id();
    let alice = Person::new("alice", lineage);
    let token = alice.settle(&running).await;
    running.manager.halt().await;
    drop(running);
    let saved = site.directory.path().join("saved");
    let summary = backup(&site.data_dir(1), &saved, Tail::Whole).unwrap();
    assert!(summary.snapshot.is_none());

    let running = risen(&site, &saved).await;
    check(&running, lineage, &alice, &token).await;
    running.manager.halt().await;
    drop(running);
    // And after a restart.
    let running = site.start(1).await;
    running.until_ready().await;
    alice.login(&running).await;
    running.manager.shutdown().await.unwrap();
}
