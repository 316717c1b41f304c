//! Clocks that are wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use raft_core::ProposeError;
use raft_core::testing::{Cluster, LogKind};

use super::ledger::Ledgers;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// What the machine may be late by while other tests run, in milliseconds.
const SLACK_MS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_time_neither_runs_back_nor_leaps_whatever_the_leaders_clocks_say() {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    let cluster = Cluster::of(3).log(LogKind::Memory).start(move |id, _| open.open(id)).await;
    // A day behind, right, and a day ahead.
    for member in 1..=3 {
        cluster.clock(member).shift_ms((member as i64 - 2) * 24 * HOUR_MS);
    }
    for _ in 0..4 {
        let leader = cluster.leader().await;
        for _ in 0..3 {
            let command = Bytes::from_static(b"tick");
            cluster.node(leader).propose(command, cluster.patience()).await.unwrap();
        }
        cluster.crash(leader).await;
        cluster.leader().await;
        cluster.start(leader).await;
    }
    let times = cluster.agree_on(|id| ledgers.times(id)).await;
    assert_eq!(times.len(), 12);
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0]), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= HOUR_MS as u64), "{times:?}");
}

fn now_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Log time where it is furthest.
fn newest(ledgers: &Ledgers) -> u64 {
    (1..=3).filter_map(|id| ledgers.times(id).last().copied()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_clock_even_the_leaders_moves_log_time_by_no_more_than_seconds() {
    let ledgers = Ledgers::default();
    let open = ledgers.clone();
    let cluster = Cluster::of(3).log(LogKind::Memory).start(move |id, _| open.open(id)).await;
    let limit = cluster.patience();
    // Already before the first command: nothing bounds that but the others' clocks.
    let wrong = cluster.leader().await;
    for days in [1, -1] {
        cluster.clock(wrong).shift_ms(days * 24 * HOUR_MS);
        let session = cluster.node(wrong).open_session(limit).await.unwrap();
        // At an hour per command this would be more than a session lives.
        for _ in 0..30 {
            let before = now_unix_ms();
            let command = Bytes::from_static(b"tick");
            cluster.node(wrong).propose(command, limit).await.unwrap();
            let told = newest(&ledgers);
            let allowed = before - SLACK_MS..=now_unix_ms() + SLACK_MS;
            assert!(allowed.contains(&told), "{told} is not in {allowed:?}");
        }
        session.propose(Bytes::from_static(b"mine"), limit).await.unwrap();
    }
    // The others' clocks go on by two days, and log time with them.
    let session = cluster.node(wrong).open_session(limit).await.unwrap();
    for member in (1..=3).filter(|member| *member != wrong) {
        cluster.clock(member).shift_ms(48 * HOUR_MS);
    }
    let mut commands = 0;
    let expired = loop {
        let command = Bytes::from_static(b"tick");
        cluster.node(wrong).propose(command, limit).await.unwrap();
        commands += 1;
        assert!(commands < 1000, "log time does not follow the majority");
        if newest(&ledgers) > now_unix_ms() + 25 * HOUR_MS as u64 {
            break session.propose(Bytes::from_static(b"late"), limit).await;
        }
    };
    assert!(matches!(expired, Err(ProposeError::SessionExpired { .. })), "{expired:?}");
}
