//! The sweep and the responder, over real sockets on the loopback network.

#![allow(clippy::unwrap_used)] // In tests, and in what they share.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use raft_core_discovery::{
    AddressRange, Answer, Candidate, Discovery, DiscoveryError, Responder, Source, Sweep,
};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const BARE_REQUEST: &[u8] = br#"{"action":"discover"}"#;

fn answer(port: u16) -> Answer {
    Answer::new(port, "c0ffee").unwrap()
}

/// Responders on two loopback addresses and one port that was free on both.
async fn two_responders() -> (Responder, Responder, u16) {
    for _ in 0..100 {
        let first = Responder::bind("127.0.0.3:0".parse().unwrap(), answer(8003)).await.unwrap();
        let port = first.local_addr().port();
        let second = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 5), port));
        if let Ok(second) = Responder::bind(second, answer(8005)).await {
            return (first, second, port);
        }
    }
    panic!("no port is free on both addresses");
}

fn sweep(range: &str, port: u16) -> Discovery {
    let range: AddressRange = range.parse().unwrap();
    let budget = Duration::from_secs(1);
    let sweep = Sweep { range, port, service_port: 8000, budget };
    Discovery { sweep: Some(sweep), ..Discovery::default() }
}

async fn searcher(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

/// Waits until the responder has dealt with `datagrams` of them.
async fn until_handled(responder: &Responder, datagrams: u64) {
    let start = Instant::now();
    loop {
        let stats = responder.stats();
        if stats.answered + stats.ignored + stats.limited >= datagrams {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{stats:?}, waiting for {datagrams}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_sweep_finds_the_members_in_the_range_and_what_they_say_of_themselves() {
    let (first, second, port) = two_responders().await;
    let mut found = sweep("127.0.0.0/28", port).find().await;
    found.sort_by(|a, b| a.address.cmp(&b.address));
    let expected = ["127.0.0.3:8003", "127.0.0.5:8005"].map(|address| Candidate {
        address: address.to_owned(),
        source: Source::Sweep,
        cluster_hint: Some("c0ffee".to_owned()),
    });
    assert_eq!(found, expected);
    first.shutdown().await;
    let left = sweep("127.0.0.1-127.0.0.14", port).find().await;
    assert_eq!(left, expected[1..]);
    second.shutdown().await;
}

#[tokio::test]
async fn a_sweep_ends_early_when_all_have_answered_and_in_time_when_none_has() {
    let (first, second, port) = two_responders().await;
    let start = Instant::now();
    let mut discovery = sweep("127.0.0.3", port);
    discovery.sweep.as_mut().unwrap().budget = Duration::from_secs(10);
    assert_eq!(discovery.find().await.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    first.shutdown().await;
    second.shutdown().await;

    let mut nobody = sweep("127.0.0.0/22", port);
    nobody.sweep.as_mut().unwrap().budget = Duration::from_millis(300);
    let start = Instant::now();
    assert_eq!(nobody.find().await, []);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_range_is_swept_last_and_only_on_demand() {
    let (first, second, port) = two_responders().await;
    let mut discovery = sweep("127.0.0.3-127.0.0.5", port);
    discovery.static_list = vec!["127.0.0.3:8003".to_owned()];
    assert_eq!(discovery.find().await.len(), 1);
    assert_eq!(first.stats().answered, 0, "swept although the list had an address");

    let mut stages = discovery.stages();
    assert_eq!(stages.next().await.unwrap()[0].source, Source::Static);
    let swept = stages.next().await.unwrap();
    assert_eq!(swept.len(), 1, "an address of the list was handed out again: {swept:?}");
    assert_eq!(swept[0].address, "127.0.0.5:8005");
    assert_eq!(stages.next().await, None);
    second.shutdown().await;
}

#[tokio::test]
async fn a_bare_reply_names_the_configured_service_port_and_liars_are_passed_over() {
    let impostor = UdpSocket::bind("127.0.0.9:0").await.unwrap();
    let port = impostor.local_addr().unwrap().port();
    let elsewhere = UdpSocket::bind("127.0.0.9:0").await.unwrap();
    let playing = tokio::spawn(async move {
        let mut buffer = [0_u8; 2048];
        while let Ok((_, from)) = impostor.recv_from(&mut buffer).await {
            elsewhere.send_to(br#"{"status":"active","port":6666}"#, from).await.unwrap();
            impostor.send_to(b"\xff\xfe garbage", from).await.unwrap();
            impostor.send_to(br#"{"status":"active","port":0}"#, from).await.unwrap();
            impostor.send_to(br#"{"status":"active"}"#, from).await.unwrap();
            impostor.send_to(br#"{"status":"active","port":7777}"#, from).await.unwrap();
        }
    });
    let found = sweep("127.0.0.8-127.0.0.10", port).find().await;
    playing.abort();
    let addresses: Vec<_> = found.iter().map(|candidate| candidate.address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.9:8000"]);
    assert_eq!(found[0].cluster_hint, None);
}

#[tokio::test]
async fn no_reply_is_longer_than_its_request_whatever_the_length() {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let mut buffer = [0_u8; 2048];
    for block in 0..60 {
        // A responder answers eight requests at once; a fresh one for each block of 25 lengths,
        // asked from as many addresses.
        let responder = Responder::bind(loopback, answer(65_535)).await.unwrap();
        for offset in 1..=25_u8 {
            let length = block * 25 + usize::from(offset);
            let local = SocketAddr::from((Ipv4Addr::new(127, 0, 1, offset), 0));
            let socket = UdpSocket::bind(local).await.unwrap();
            socket.connect(responder.local_addr()).await.unwrap();
            let mut request = BARE_REQUEST.to_vec();
            request.resize(length, b' ');
            socket.send(&request).await.unwrap();
            if length < BARE_REQUEST.len() {
                continue;
            }
            let received = timeout(PATIENCE, socket.recv(&mut buffer)).await;
            let reply = received.unwrap_or_else(|_| panic!("no reply to {length} bytes")).unwrap();
            assert!(reply <= length, "{reply} bytes in return for {length}");
        }
        until_handled(&responder, 25).await;
        let stats = responder.stats();
        assert_eq!(stats.ignored, if block == 0 { 20 } else { 0 }, "{stats:?}");
        responder.shutdown().await;
    }
}

#[tokio::test]
async fn the_request_of_the_original_design_gets_its_reply_to_the_letter() {
    let responder = Responder::bind("127.0.0.1:0".parse().unwrap(), answer(8000)).await.unwrap();
    let socket = searcher(responder.local_addr()).await;
    socket.send(BARE_REQUEST).await.unwrap();
    let mut buffer = [0_u8; 2048];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], br#"{"status":"active"}"#);
}

#[tokio::test]
async fn garbage_gets_no_answer_and_does_no_harm() {
    let responder = Responder::bind("127.0.0.1:0".parse().unwrap(), answer(8000)).await.unwrap();
    let socket = searcher(responder.local_addr()).await;
    let mut long = BARE_REQUEST.to_vec();
    long.resize(9_000, b' ');
    let nested = vec![b'['; 1400];
    let garbage: [&[u8]; 7] = [
        b"",
        b"\0",
        &[0xff; 512],
        &nested,
        br#"{"action":"shutdown","pad":"                                    "}"#,
        br#"{"status":"active"}"#,
        &long,
    ];
    for bytes in garbage {
        socket.send(bytes).await.unwrap();
    }
    until_handled(&responder, 7).await;
    assert_eq!((responder.stats().answered, responder.stats().ignored), (0, 7));
    socket.send(BARE_REQUEST).await.unwrap();
    let mut buffer = [0_u8; 2048];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..length].starts_with(b"{\"status\""), "the first answer is to the last one");
}

#[tokio::test]
async fn one_source_cannot_have_more_than_its_rate() {
    let responder = Responder::bind("127.0.0.1:0".parse().unwrap(), answer(8000)).await.unwrap();
    let socket = searcher(responder.local_addr()).await;
    let start = Instant::now();
    for sent in 1..=200 {
        socket.send(BARE_REQUEST).await.unwrap();
        until_handled(&responder, sent).await;
    }
    let earned = start.elapsed().as_millis() / 125 + 1;
    let stats = responder.stats();
    assert!(u128::from(stats.answered) <= 8 + earned, "{stats:?} in {:?}", start.elapsed());
    assert!(stats.answered >= 8 && stats.limited > 0, "{stats:?}");
}

#[tokio::test]
async fn shutting_down_gives_the_port_back_and_so_does_dropping() {
    let first = Responder::bind("127.0.0.1:0".parse().unwrap(), answer(8000)).await.unwrap();
    let address = first.local_addr();
    assert!(Responder::bind(address, answer(8000)).await.is_err());
    first.shutdown().await;
    let second = Responder::bind(address, answer(8000)).await.unwrap();
    drop(second);
    let start = Instant::now();
    while Responder::bind(address, answer(8000)).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "the port is still taken");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_sweep_outside_its_bounds_is_refused() {
    let whole = |change: fn(&mut Sweep)| {
        let mut sweep = Sweep::new("10.0.0.0/24".parse().unwrap(), 8000);
        change(&mut sweep);
        Discovery { sweep: Some(sweep), ..Discovery::default() }.validate()
    };
    whole(|_| ()).unwrap();
    for outcome in [
        whole(|sweep| sweep.port = 0),
        whole(|sweep| sweep.service_port = 0),
        whole(|sweep| sweep.budget = Duration::ZERO),
        whole(|sweep| sweep.budget = Duration::from_secs(11)),
    ] {
        assert!(matches!(outcome, Err(DiscoveryError::Setting { .. })), "{outcome:?}");
    }
}
