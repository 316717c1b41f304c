use super::*;

/// Counts commands; replies with their number, answers with the last.
#[derive(Default)]
struct Counter {
    last: Bytes,
    count: u64,
}

impl Model for Counter {
    fn apply(&mut self, command: &[u8]) -> Bytes {
        self.last = Bytes::copy_from_slice(command);
        self.count += 1;
        Bytes::from(self.count.to_string())
    }

    fn answer(&self, _question: &[u8]) -> Bytes {
        self.last.clone()
    }
}

fn at(index: u64) -> Position {
    Position { term: 1, index }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn log(commands: &[(u64, &str)]) -> Vec<(Position, Bytes)> {
    commands.iter().map(|(index, command)| (at(*index), bytes(command))).collect()
}

fn wrote(history: &History, command: &str, index: u64, reply: &str) {
    history.write(bytes(command)).done(at(index), bytes(reply));
}

fn read(history: &History, index: u64, reply: &str) {
    history.read(bytes("last?")).done(at(index), bytes(reply));
}

fn checked(history: &History, commands: &[(u64, &str)]) -> Result<Summary, Anomaly> {
    history.check(&log(commands), &mut Counter::default())
}

#[test]
fn a_history_in_order_is_counted() {
    let history = History::new();
    read(&history, 1, "");
    wrote(&history, "a", 2, "1");
    history.write(bytes("b")).unknown();
    history.write(bytes("c")).unknown();
    history.write(bytes("d")).refused();
    read(&history, 6, "b");
    wrote(&history, "e", 7, "3");
    let summary = checked(&history, &[(2, "a"), (4, "b"), (7, "e")]).unwrap();
    let expected =
        Summary { acknowledged: 2, unknown_applied: 1, unknown_lost: 1, refused: 1, reads: 2 };
    assert_eq!(summary, expected);
}

#[test]
fn operations_that_overlap_may_stand_in_any_order() {
    let history = History::new();
    let first = history.write(bytes("a"));
    let second = history.write(bytes("b"));
    let looked = history.read(bytes("last?"));
    second.done(at(2), bytes("1"));
    first.done(at(3), bytes("2"));
    looked.done(at(1), Bytes::new());
    checked(&history, &[(2, "b"), (3, "a")]).unwrap();
}

#[test]
fn a_lost_write_is_found() {
    let history = History::new();
    wrote(&history, "a", 2, "1");
    assert_eq!(checked(&history, &[]), Err(Anomaly::Lost { write: Shown(bytes("a")) }));
}

#[test]
fn a_doubled_write_is_found_whatever_its_caller_was_told() {
    let told: [fn(Call); 2] = [|call| call.done(at(2), bytes("1")), Call::unknown];
    for end in told {
        let history = History::new();
        end(history.write(bytes("a")));
        let anomaly = checked(&history, &[(2, "a"), (3, "a")]).unwrap_err();
        assert!(matches!(anomaly, Anomaly::Doubled { .. }), "{anomaly}");
    }
}

#[test]
fn a_stale_read_is_found() {
    let history = History::new();
    wrote(&history, "a", 2, "1");
    wrote(&history, "b", 3, "2");
    read(&history, 2, "a");
    let anomaly = checked(&history, &[(2, "a"), (3, "b")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::StaleRead { .. }), "{anomaly}");
}

#[test]
fn a_read_that_goes_back_behind_another_read_is_found() {
    let history = History::new();
    history.write(bytes("a")).unknown();
    read(&history, 2, "a");
    read(&history, 1, "");
    let anomaly = checked(&history, &[(2, "a")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::StaleRead { .. }), "{anomaly}");
}

#[test]
fn a_read_that_claims_a_position_it_has_not_seen_is_found() {
    let history = History::new();
    wrote(&history, "a", 2, "1");
    wrote(&history, "b", 3, "2");
    read(&history, 3, "a");
    let anomaly = checked(&history, &[(2, "a"), (3, "b")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::WrongReply { .. }), "{anomaly}");
}

#[test]
fn a_write_that_overtakes_one_that_had_ended_is_found() {
    let history = History::new();
    wrote(&history, "a", 3, "2");
    wrote(&history, "b", 2, "1");
    let anomaly = checked(&history, &[(2, "b"), (3, "a")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::WriteBeforeItsTime { .. }), "{anomaly}");
}

#[test]
fn a_wrong_reply_and_a_wrong_place_are_found() {
    let history = History::new();
    wrote(&history, "a", 2, "7");
    let anomaly = checked(&history, &[(2, "a")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::WrongReply { .. }), "{anomaly}");
    let anomaly = checked(&history, &[(5, "a")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::Misplaced { .. }), "{anomaly}");
}

#[test]
fn a_refused_write_that_happened_and_one_that_nobody_made_are_found() {
    let history = History::new();
    history.write(bytes("a")).refused();
    let anomaly = checked(&history, &[(2, "a")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::RefusedAndApplied { .. }), "{anomaly}");
    let anomaly = checked(&History::new(), &[(2, "a")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::OutOfNowhere { .. }), "{anomaly}");
}

#[test]
fn a_log_that_is_none_is_found() {
    let anomaly = checked(&History::new(), &[(2, "a"), (2, "b")]).unwrap_err();
    assert!(matches!(anomaly, Anomaly::Disorder { .. }), "{anomaly}");
}

#[test]
#[should_panic(expected = "written twice")]
fn a_command_that_is_like_another_is_no_command_to_count() {
    let history = History::new();
    history.write(bytes("a")).unknown();
    history.write(bytes("a")).unknown();
}
