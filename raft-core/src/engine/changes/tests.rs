use bytes::Bytes;
use openraft::entry::RaftEntry as _;
use telegraph_proto::raft as proto;

use super::*;
use crate::engine::types::{LogEntry, Proposal, log_id};
use crate::engine::wire::encode_entry;
use crate::error::SubscriptionError;
use crate::memory_log::MemoryLog;
use crate::subscription::Subscription;

fn at(term: u64, index: u64) -> Position {
    Position { term, index }
}

fn record(at: Position, payload: Payload) -> Record {
    let payload = encode_entry(&LogEntry::new(log_id(at), payload));
    Record { index: at.index, term: at.term, payload }
}

fn command(at: Position, bytes: usize, session: Option<proto::Session>) -> Record {
    let payload = Bytes::from(vec![at.index as u8; bytes]);
    let command = proto::Command { version: 1, time_unix_ms: at.index, session, payload };
    record(at, Payload::Normal(Proposal::new(&command)))
}

/// A log in which entry 0 formed the cluster, the even ones are commands of so many bytes, and the
/// odd ones are none.
fn log(entries: u64, bytes: usize) -> (Arc<MemoryLog>, Arc<Progress>, Changes) {
    let log = Arc::new(MemoryLog::new());
    let records = (0..entries).map(|index| match index % 2 {
        0 if index > 0 => command(at(1, index), bytes, None),
        _ => record(at(u64::from(index > 0), index), Payload::Blank),
    });
    log.append(records.collect(), Box::new(|result| result.unwrap()));
    let progress = Arc::new(Progress::new(u64::MAX));
    let changes = Changes::new(log.clone(), Arc::clone(&progress), None).unwrap();
    (log, progress, changes)
}

/// Subscribes at a node that never ends.
fn subscribe(changes: &Changes, from: Option<Position>) -> Subscription {
    let ended = Box::leak(Box::new(watch::Sender::new(None)));
    Subscription::begin(changes.clone(), from, ended.subscribe())
}

async fn indexes(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(subscription.next().await.unwrap().unwrap().position.index);
    }
    found
}

#[tokio::test]
async fn nothing_is_told_before_it_is_applied() {
    let (_log, progress, changes) = log(10, 1);
    let ended = watch::Sender::new(None);
    let mut subscription =
        Subscription::begin(changes, Some(Position::default()), ended.subscribe());
    assert!(futures_util::poll!(Box::pin(subscription.next())).is_pending());
    progress.applied.send_replace(Some(at(1, 5)));
    assert_eq!(indexes(&mut subscription, 2).await, [2, 4]);
    assert!(futures_util::poll!(Box::pin(subscription.next())).is_pending());
    assert_eq!(subscription.position(), at(1, 5), "what is no command is passed over");
    progress.applied.send_replace(Some(at(1, 8)));
    assert_eq!(indexes(&mut subscription, 2).await, [6, 8]);
    ended.send_replace(Some(crate::error::StopReason::Shutdown));
    assert!(subscription.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_subscription_without_a_place_begins_with_what_is_applied_next() {
    let (_log, progress, changes) = log(10, 1);
    progress.applied.send_replace(Some(at(1, 4)));
    let mut subscription = subscribe(&changes, None);
    progress.applied.send_replace(Some(at(1, 9)));
    assert_eq!(indexes(&mut subscription, 2).await, [6, 8]);
}

#[tokio::test]
async fn little_is_held_for_a_subscriber_whatever_it_has_to_read() {
    let bytes = 10_000;
    let (_log, progress, changes) = log(2000, bytes);
    progress.applied.send_replace(Some(at(1, 1999)));
    let (mut after, mut commands) = (Position::default(), 0);
    while after.index < 1999 {
        let stretch = changes.read(after, true, at(1, 1999)).await.unwrap();
        let held: usize = stretch.changes.iter().map(|change| change.payload.len()).sum();
        assert!(held <= HELD_BYTES + bytes, "{held} bytes are held");
        assert!(stretch.last > after);
        (after, commands) = (stretch.last, commands + stretch.changes.len());
    }
    assert_eq!(commands, 999);
}

#[tokio::test]
async fn a_place_must_be_in_this_log() {
    let (_log, progress, changes) = log(10, 1);
    progress.applied.send_replace(Some(at(1, 6)));
    for foreign in [at(2, 4), at(2, 6), at(7, 0)] {
        let refused = subscribe(&changes, Some(foreign)).next().await.unwrap_err();
        let SubscriptionError::OtherLog { position } = refused else { panic!("{refused}") };
        assert_eq!(position, foreign);
    }
    assert_eq!(indexes(&mut subscribe(&changes, Some(at(1, 3))), 2).await, [4, 6]);
    // One that is not here yet is waited for, and then looked at.
    let mut early = subscribe(&changes, Some(at(1, 7)));
    assert!(futures_util::poll!(Box::pin(early.next())).is_pending());
    progress.applied.send_replace(Some(at(1, 9)));
    assert_eq!(indexes(&mut early, 1).await, [8]);
}

#[tokio::test]
async fn what_was_purged_or_came_with_a_snapshot_is_not_told() {
    let (log, progress, changes) = log(20, 1);
    progress.applied.send_replace(Some(at(1, 12)));
    let mut behind = subscribe(&changes, Some(Position::default()));
    assert_eq!(indexes(&mut behind, 1).await, [2]);
    log.purge(LogPosition { index: 6, term: 1 }, Box::new(|result| result.unwrap()));
    let refused = subscribe(&changes, Some(at(1, 3))).next().await.unwrap_err();
    let SubscriptionError::Purged { resume_from } = refused else { panic!("{refused}") };
    assert_eq!(resume_from, at(1, 6));
    assert_eq!(indexes(&mut subscribe(&changes, Some(resume_from)), 2).await, [8, 10]);
    let refused = subscribe(&changes, Some(at(2, 6))).next().await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::OtherLog { .. }), "{refused}");

    // The log still has entries before the snapshot's last one, that it may contradict.
    let mut follower = subscribe(&changes, Some(at(1, 12)));
    progress.skipped().leap(at(3, 17));
    progress.applied.send_replace(Some(at(3, 17)));
    let refused = follower.next().await.unwrap_err();
    let SubscriptionError::Purged { resume_from } = refused else { panic!("{refused}") };
    assert_eq!(resume_from, at(3, 17));
    progress.applied.send_replace(Some(at(3, 19)));
    assert!(follower.next().await.is_err(), "it does not leap over what it missed");
    assert_eq!(indexes(&mut subscribe(&changes, Some(resume_from)), 1).await, [18]);
}

#[tokio::test]
async fn a_log_that_was_not_purged_up_to_its_snapshot_is_not_believed_at_start() {
    let (log, progress, _) = log(10, 1);
    let changes = Changes::new(log.clone(), progress.clone(), Some(at(1, 8))).unwrap();
    progress.applied.send_replace(Some(at(1, 9)));
    assert_eq!(indexes(&mut subscribe(&changes, Some(at(1, 3))), 1).await, [4]);
    let changes = Changes::new(log, progress, Some(at(4, 8))).unwrap();
    let refused = subscribe(&changes, Some(at(1, 3))).next().await.unwrap_err();
    assert!(
        matches!(refused, SubscriptionError::Purged { resume_from } if resume_from == at(4, 8))
    );
}

#[tokio::test]
async fn what_was_passed_over_is_not_told() {
    let (log, progress, changes) = log(20, 1);
    let step = progress.skipped().step(vec![4, 6, 10], None);
    progress.skipped().keep(step);
    progress.applied.send_replace(Some(at(1, 10)));
    let mut subscription = subscribe(&changes, Some(Position::default()));
    assert_eq!(indexes(&mut subscription, 2).await, [2, 8]);
    assert!(futures_util::poll!(Box::pin(subscription.next())).is_pending());
    assert_eq!(subscription.position(), at(1, 10));
    let mut resumed = subscribe(&changes, Some(at(1, 4)));
    assert_eq!(indexes(&mut resumed, 1).await, [8]);

    // A note that went with its entry does not show the entry again.
    log.purge(LogPosition { index: 6, term: 1 }, Box::new(|result| result.unwrap()));
    let step = progress.skipped().step(Vec::new(), Some(6));
    progress.skipped().keep(step);
    let refused = subscribe(&changes, Some(at(1, 3))).next().await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::Purged { .. }), "{refused}");
    assert_eq!(indexes(&mut subscribe(&changes, Some(at(1, 6))), 1).await, [8]);
}

#[tokio::test]
async fn commands_of_sessions_name_them_and_the_opening_of_one_is_passed_over() {
    let log = Arc::new(MemoryLog::new());
    let session =
        |sequence| proto::Session { client_id: vec![7; 16].into(), sequence, ..<_>::default() };
    let records = vec![
        command(at(1, 1), 0, Some(session(0))),
        command(at(1, 2), 3, Some(session(1))),
        command(at(1, 3), 3, Some(session(1))),
    ];
    log.append(records, Box::new(|result| result.unwrap()));
    let progress = Arc::new(Progress::new(u64::MAX));
    let changes = Changes::new(log, progress.clone(), None).unwrap();
    progress.applied.send_replace(Some(at(1, 3)));
    let mut subscription = subscribe(&changes, Some(Position::default()));
    for index in [2, 3] {
        let change = subscription.next().await.unwrap().unwrap();
        assert_eq!((change.position.index, change.session), (index, Some(([7; 16], 1))));
        assert_eq!((change.time_unix_ms, change.version), (index, 1));
    }
}
