use super::*;
use crate::engine::types::{Proposal, log_id};
use openraft::entry::RaftEntry as _;

const HOUR_MS: u64 = 60 * 60 * 1000;

fn command(index: u64, time: u64, sequence: Option<u64>) -> LogEntry {
    let session = sequence.map(|sequence| proto::Session {
        client_id: Bytes::from_static(&[7; 16]),
        sequence,
        lowest_unacknowledged: 1,
    });
    let payload = Bytes::from(format!("command {index}"));
    let command = proto::Command { version: 1, time_unix_ms: time, session, payload };
    let id = log_id(Position { term: 1, index });
    LogEntry::new(id, Payload::Normal(Proposal::new(&command)))
}

fn decide(batch: Vec<LogEntry>, held: &mut Held, readable: u32) -> Result<Decided, Undecided> {
    let mut decided = Decided::default();
    batch.into_iter().try_for_each(|entry| decided.add(entry, held, readable))?;
    Ok(decided)
}

/// The entry with its command changed.
fn changed(entry: LogEntry, change: impl FnOnce(&mut proto::Command)) -> LogEntry {
    let Payload::Normal(proposal) = &entry.payload else { panic!("{entry} is no command") };
    let mut command = proposal.command().unwrap();
    change(&mut command);
    LogEntry::new(entry.id, Payload::Normal(Proposal::new(&command)))
}

fn outcomes(held: &mut Held, batch: Vec<LogEntry>) -> (Vec<Bytes>, Vec<Outcome>) {
    let mut decided = decide(batch, held, 1).unwrap();
    let changes = held.sessions.take_changes(std::mem::take(&mut decided.pending));
    let applied: Vec<Bytes> = decided.entries.iter().map(|e| e.payload.clone()).collect();
    let replies: Vec<Bytes> =
        applied.iter().map(|payload| [b"re: ", payload.as_ref()].concat().into()).collect();
    held.sessions.keep(&changes, &replies);
    (applied, decided.outcomes(replies).collect())
}

#[test]
fn what_is_passed_over_is_named_unless_it_opens_a_session() {
    let mut held = Held::default();
    let batch = vec![
        command(1, 5, Some(1)),
        command(2, 5, Some(0)),
        command(3, 5, Some(1)),
        command(4, 5, Some(1)),
        command(5, 5, None),
        command(6, 5, Some(0)),
        command(7, 5, Some(u64::MAX)),
    ];
    assert_eq!(decide(batch, &mut held, 1).unwrap().skipped, [1, 4, 7]);
}

fn replied(index: u64) -> Bytes {
    format!("re: command {index}").into()
}

#[test]
fn the_state_machine_never_sees_a_command_twice_and_every_proposer_gets_the_first_reply() {
    let mut held = Held::default();
    let blank = LogEntry::new(log_id(Position { term: 1, index: 1 }), Payload::Blank);
    let batch = vec![
        blank,
        command(2, 5, Some(0)),
        command(3, 5, Some(1)),
        command(4, 5, None),
        command(5, 5, Some(1)),
    ];
    let (applied, told) = outcomes(&mut held, batch);
    assert_eq!(applied, ["command 3", "command 4"]);
    let first = Outcome::Replayed(Position { term: 1, index: 3 }, replied(3));
    let expected = [
        Outcome::default(),
        Outcome::default(),
        Outcome::Applied(replied(3)),
        Outcome::Applied(replied(4)),
        first.clone(),
    ];
    assert_eq!(told, expected);
    let again = vec![command(6, 5, Some(0)), command(7, 5, Some(1))];
    let (applied, told) = outcomes(&mut held, again);
    assert_eq!(applied, [""; 0]);
    let open = Outcome::Replayed(Position { term: 1, index: 6 }, Bytes::new());
    assert_eq!(told, [open, first]);
}

#[test]
fn a_session_ends_a_day_of_log_time_after_its_last_command() {
    let mut held = Held::default();
    let begun = 1_700_000_000_000;
    outcomes(&mut held, vec![command(1, begun, Some(0)), command(2, begun, Some(1))]);
    // A clock that leaps years ahead ends it no sooner: log time goes an hour at a time.
    for hour in 1..24 {
        outcomes(&mut held, vec![command(2 + hour, begun * 2, None)]);
    }
    assert_eq!(held.facts.time_unix_ms, begun + 23 * HOUR_MS);
    let late = begun + 24 * HOUR_MS - 1;
    let (applied, _) = outcomes(&mut held.clone(), vec![command(30, late, Some(1))]);
    assert!(applied.is_empty(), "its reply is still known");
    let (applied, told) = outcomes(&mut held, vec![command(30, late + 1, Some(2))]);
    assert!(applied.is_empty());
    assert_eq!(told, [Outcome::Refused(Denial::Expired)]);
    assert_eq!(held.sessions, Held::default().sessions);
}

#[test]
fn a_session_without_a_sound_name_applies_nothing() {
    let entry = changed(command(1, 5, Some(0)), |command| {
        command.session.as_mut().unwrap().client_id = Bytes::from_static(b"short");
    });
    let (applied, told) = outcomes(&mut Held::default(), vec![entry]);
    assert!(applied.is_empty());
    assert_eq!(told, [Outcome::Refused(Denial::Expired)]);
}

#[test]
fn a_command_that_is_newer_than_the_program_stops_it_and_says_which() {
    let newer = changed(command(9, 5, None), |command| command.version = 3);
    let batch = || vec![command(8, 5, None), newer.clone()];
    assert!(decide(batch(), &mut Held::default(), 3).is_ok());
    let error = decide(batch(), &mut Held::default(), 2).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("T1-I9") && text.contains("version 3") && text.contains("up to 2"));
}

#[test]
fn a_command_that_nobody_can_read_is_named_and_nothing_is_decided_about_it() {
    let garbage = Payload::Normal(Proposal(Bytes::from_static(b"garbage")));
    let entry = LogEntry::new(log_id(Position { term: 1, index: 9 }), garbage);
    let error = decide(vec![command(8, 5, None), entry], &mut Held::default(), 1).unwrap_err();
    assert!(matches!(error, Undecided::Damaged(Position { index: 9, .. }, _)), "{error}");
}
