//! What is answered, refused and given back when something is missing or too much.

use crate::harness::{PATIENCE, Site, answered, leader, until};
use crate::person::Person;
use raft_core::BootstrapError;
use serde_json::json;
use std::net::UdpSocket;
use std::time::Duration;
use telegraph_manager::{Manager, ManagerConfig, ManagerError};
use tokio::io::AsyncReadExt;

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_people_are_found_and_changes_are_refused_as_not_done() {
    let site = Site::new(3, LONG);
    let mut all = Vec::new();
    for id in site.ids() {
        let config = site.config(id);
        let consensus_deadline = Duration::from_secs(5);
        all.push(site.start_with(ManagerConfig { consensus_deadline, ..config }).await);
    }
    let first = &all[leader(&all).await];
    let (alice, bob) = {
        let cluster = first.manager.node().cluster_id();
        (Person::new("alice", cluster), Person::new("bob", cluster))
    };
    let token = alice.settle(first).await;
    let last = all.pop().unwrap();
    until("the last one knows alice", async || last.shows_online("alice")).await;
    for running in &all {
        running.manager.halt().await;
    }
    let ready = async || last.ask("GET", "/readyz", None, None).await;
    until("the loss is noticed", async || ready().await.status == 503).await;
    assert_eq!(ready().await.kind(), "no-leader");
    assert_eq!(last.ask("GET", "/livez", None, None).await.status, 200);

    let token = Some(token.as_str());
    assert_eq!(last.ask("GET", "/users/alice", token, None).await.status, 200);
    let beat = last.ask("POST", "/heartbeat", token, Some(alice.heartbeat_body())).await;
    assert_eq!(beat.status, 200, "{beat:?}");
    let before = last.manager.reader().digest().unwrap();
    // All at once, as each waits as long as it may for a leader.
    let (register, login, account, logout) = tokio::join!(
        last.ask("POST", "/register", None, Some(bob.register_body())),
        last.ask("POST", "/login", None, Some(alice.login_body())),
        last.ask("GET", "/account", token, None),
        last.ask("POST", "/logout", token, None)
    );
    for refused in [register, login, account, logout] {
        assert_eq!((refused.status, refused.kind()), (503, "no-leader"), "{refused:?}");
    }
    assert_eq!(before, last.manager.reader().digest().unwrap());
    last.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_serves_before_the_others_come_but_is_not_ready() {
    let site = Site::new(3, LONG);
    let first = site.start(1).await;
    let ready = first.ask("GET", "/readyz", None, None).await;
    assert_eq!((ready.status, ready.kind()), (503, "no-leader"), "{ready:?}");
    assert_eq!(first.ask("GET", "/livez", None, None).await.status, 200);
    let (second, third) = (site.start(2).await, site.start(3).await);
    let all = [first, second, third];
    for running in &all {
        running.until_ready().await;
    }
    for running in &all {
        running.manager.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_whose_data_was_wiped_ends_and_says_why() {
    let site = Site::new(3, LONG);
    let mut all = site.start_all().await;
    let wiped = all.pop().unwrap();
    wiped.manager.shutdown().await.unwrap();
    drop(wiped);
    std::fs::remove_dir_all(site.data_dir(3)).unwrap();
    let wiped = site.start(3).await;
    let ended = tokio::time::timeout(PATIENCE, wiped.manager.join()).await.unwrap();
    assert!(
        matches!(&ended, ManagerError::Unformed(why)
            if matches!(**why, BootstrapError::Refused { .. })),
        "{ended:?}"
    );
    assert!(ended.to_string().contains("refuses this node"), "{ended}");
    assert_eq!(wiped.ask("GET", "/readyz", None, None).await.status, 503);
    wiped.manager.shutdown().await.unwrap();
    // Asked again, it says the same.
    assert!(matches!(wiped.manager.join().await, ManagerError::Unformed(_)));
    for running in &all {
        running.manager.halt().await;
        assert!(matches!(running.manager.join().await, ManagerError::Stopped(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_cannot_start_gives_everything_back() {
    let site = Site::new(1, LONG);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let discovery_listen = Some(taken.local_addr().unwrap());
    let config = ManagerConfig { discovery_listen, ..site.config(1) };
    let failed = Box::pin(Manager::bind(config)).await;
    assert!(matches!(failed, Err(ManagerError::Bind { .. })), "{failed:?}");
    // Directory and ports are free again, at once.
    let running = site.start(1).await;
    running.until_ready().await;
    let second = Box::pin(Manager::bind(ManagerConfig {
        rest_listen: "127.0.0.1:0".parse().unwrap(),
        ..site.config(1)
    }))
    .await;
    assert!(second.is_err(), "two managers in one directory");
    running.until_ready().await;
    running.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_at_the_door_and_places_given_back() {
    let site = Site::new(1, LONG);
    let at = site.start_with(ManagerConfig { max_connections: 2, ..site.config(1) }).await;
    // Silent ones: no byte of TLS is needed to be closed, or to hold a place.
    let connect = async || tokio::net::TcpStream::connect(at.manager.rest_addr()).await.unwrap();
    let held = [connect().await, connect().await];
    let mut third = connect().await;
    let read = tokio::time::timeout(Duration::from_secs(30), third.read_u8()).await;
    assert!(read.expect("closed, not kept waiting").is_err());
    drop(held);
    until("a place is free", async || {
        at.client.get(format!("{}/livez", at.base)).send().await.is_ok()
    })
    .await;
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_are_shed_but_health_is_answered() {
    let site = Site::new(1, LONG);
    let config = ManagerConfig { max_requests: 1, bcrypt_cost: 10, ..site.config(1) };
    let at = site.start_with(config).await;
    at.until_ready().await;
    let alice = Person::new("alice", at.manager.node().cluster_id());
    alice.register(&at).await;
    until("a request beside a slow one is shed", async || {
        let slow = at.ask("POST", "/login", None, Some(alice.login_body()));
        let (slow, other, live) = tokio::join!(
            slow,
            at.ask("GET", "/cluster", None, None),
            at.ask("GET", "/livez", None, None)
        );
        assert_eq!(live.status, 200);
        assert!([200, 503].contains(&slow.status), "{slow:?}");
        other.kind() == "overloaded"
    })
    .await;
    assert_eq!(at.ask("GET", "/cluster", None, None).await.status, 200, "the place is free");
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_logins_is_shed_and_the_next_one_served() {
    let site = Site::new(1, LONG);
    let at = site.start_with(ManagerConfig { bcrypt_cost: 8, ..site.config(1) }).await;
    at.until_ready().await;
    let alice = Person::new("alice", at.manager.node().cluster_id());
    alice.register(&at).await;
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..200 {
        let mut body = alice.login_body();
        body["username"] = json!(format!("stranger-{number}"));
        let request = at.client.post(format!("{}/login", at.base)).json(&body);
        flood.spawn(async move { answered(request.send().await.unwrap()).await });
    }
    let (mut wrong, mut shed) = (0, 0);
    while let Some(answered) = flood.join_next().await {
        match answered.unwrap().kind() {
            "wrong-credentials" => wrong += 1,
            "overloaded" => shed += 1,
            other => panic!("{other}"),
        }
    }
    assert!(wrong > 0 && shed > 0, "{wrong} checked, {shed} shed");
    alice.login(&at).await;
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_answered_while_the_manager_runs() {
    let site = Site::new(1, LONG);
    let at = site.start(1).await;
    let address = at.manager.discovery_addr().unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = br#"{"action":"discover"}"#;
    let mut reply = [0; 1500];
    until("an answer", async || {
        socket.send_to(request, address).await.unwrap();
        let heard = socket.recv_from(&mut reply);
        tokio::time::timeout(Duration::from_secs(1), heard).await.is_ok()
    })
    .await;
    let read = String::from_utf8_lossy(&reply);
    assert!(read.starts_with(&json!({ "status": "active" }).to_string()), "{read}");
    at.manager.shutdown().await.unwrap();
    assert!(UdpSocket::bind(address).is_ok(), "the port is given back");
}
