use std::collections::BTreeMap;

use super::*;

mod golden;

const SMALL: Limits =
    Limits { sessions: 3, window: 4, replies: 6, reply_bytes: 4, lifetime_ms: 100, idle_ms: 20 };

fn client(id: u8) -> ClientId {
    [id; 16]
}

fn stamp(id: u8, sequence: u64, lowest_unacknowledged: u64) -> Stamp {
    Stamp { client: client(id), sequence, lowest_unacknowledged }
}

fn at(index: u64) -> Position {
    Position { term: 1, index }
}

/// A table that is told each command alone, and of which the records are kept.
struct Table {
    sessions: Sessions,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    index: u64,
}

impl Table {
    fn new() -> Table {
        Table { sessions: Sessions::new(SMALL), records: BTreeMap::new(), index: 0 }
    }

    /// A command whose reply, if it is applied, is this one.
    fn command(&mut self, time: u64, stamp: Stamp, reply: &'static str) -> Verdict {
        self.batch(&[(time, stamp)], reply).remove(0)
    }

    /// Commands in one transaction, all with the same reply.
    fn batch(&mut self, commands: &[(u64, Stamp)], reply: &'static str) -> Vec<Verdict> {
        let mut pending = Vec::new();
        let mut verdicts = Vec::new();
        for (time, stamp) in commands {
            self.index += 1;
            let verdict = self.sessions.admit(at(self.index), *time, *stamp);
            if verdict == Verdict::Apply {
                let (client, sequence, nth) = (stamp.client, stamp.sequence, pending.len());
                pending.push(Pending { client, sequence, position: at(self.index), nth });
            }
            verdicts.push(verdict);
        }
        let replies = vec![Bytes::from_static(reply.as_bytes()); pending.len()];
        let changes = self.sessions.take_changes(pending);
        let mut records = Vec::new();
        changes.append_records(&replies, &mut records);
        for (key, value) in records {
            match value {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
        self.sessions.keep(&changes, &replies);
        verdicts
    }

    fn open(&mut self, time: u64, id: u8) -> Verdict {
        self.command(time, stamp(id, 0, 1), "")
    }

    /// What the records say is what the table says.
    fn check(&self) {
        let kept: Vec<_> = self.records.clone().into_iter().collect();
        let read = Sessions::read(&kept).unwrap();
        assert_eq!(read, self.sessions);
        let whole: BTreeMap<_, _> =
            self.sessions.records().into_iter().map(|(key, value)| (key, value.unwrap())).collect();
        assert_eq!(whole, self.records);
        let mut image = Vec::new();
        self.sessions.write(&mut image).unwrap();
        assert_eq!(image.len() as u64, self.sessions.encoded_len());
        let length = image.len() as u64;
        assert_eq!(Sessions::load(&mut image.as_slice(), length).unwrap(), self.sessions);
        assert_eq!(self.sessions.by_use.len(), self.sessions.open.len());
        let kept: usize = self.sessions.open.values().map(|session| session.replies.len()).sum();
        assert_eq!(kept, self.sessions.kept);
        assert!(kept <= SMALL.replies && self.sessions.open.len() <= SMALL.sessions);
    }
}

fn replay(index: u64, reply: &'static str) -> Verdict {
    Verdict::Replay(at(index), Some(Bytes::from_static(reply.as_bytes())))
}

#[test]
fn a_command_is_applied_once_and_answered_alike_ever_after() {
    let mut table = Table::new();
    assert_eq!(table.open(1, 1), Verdict::Open(false));
    assert_eq!(table.open(2, 1), Verdict::Open(true));
    assert_eq!(table.command(3, stamp(1, 1, 1), "one"), Verdict::Apply);
    assert_eq!(table.command(4, stamp(1, 2, 1), "two"), Verdict::Apply);
    for _ in 0..3 {
        assert_eq!(table.command(5, stamp(1, 1, 1), "other"), replay(3, "one"));
        assert_eq!(table.command(5, stamp(1, 2, 1), "other"), replay(4, "two"));
    }
    // Another client's numbers are its own.
    table.open(6, 2);
    assert_eq!(table.command(6, stamp(2, 1, 1), ""), Verdict::Apply);
    table.check();
}

#[test]
fn a_command_that_comes_twice_in_one_batch_is_applied_once() {
    let mut table = Table::new();
    let twice = [(1, stamp(1, 0, 1)), (1, stamp(1, 1, 1)), (1, stamp(1, 1, 1))];
    let verdicts = table.batch(&twice, "one");
    let second = Verdict::Replay(at(2), None);
    assert_eq!(verdicts, [Verdict::Open(false), Verdict::Apply, second]);
    assert_eq!(table.command(2, stamp(1, 1, 1), ""), replay(2, "one"));
    table.check();
}

#[test]
fn commands_of_a_session_may_come_in_any_order_within_its_window() {
    let mut table = Table::new();
    table.open(1, 1);
    for sequence in [4, 2, 3, 1] {
        assert_eq!(table.command(1, stamp(1, sequence, 1), "reply"), Verdict::Apply);
    }
    let beyond = Verdict::Refuse(Denial::Crowded);
    assert_eq!(table.command(1, stamp(1, 5, 1), ""), beyond);
    assert_eq!(table.command(1, stamp(1, 5, 2), ""), Verdict::Apply);
    table.check();
}

#[test]
fn what_was_acknowledged_is_forgotten_and_never_applied_again() {
    let mut table = Table::new();
    table.open(1, 1);
    assert_eq!(table.command(1, stamp(1, 1, 1), "one"), Verdict::Apply);
    assert_eq!(table.command(1, stamp(1, 3, 3), "three"), Verdict::Apply);
    assert_eq!(table.records.len(), 2, "the session and its one reply");
    for sequence in [1, 2] {
        let forgotten = Verdict::Refuse(Denial::Forgotten);
        assert_eq!(table.command(1, stamp(1, sequence, 1), ""), forgotten);
    }
    table.check();
}

#[test]
fn a_session_that_is_not_open_applies_nothing() {
    let mut table = Table::new();
    assert_eq!(table.command(1, stamp(1, 1, 1), ""), Verdict::Refuse(Denial::Expired));
    assert_eq!(table.records.len(), 0);
    table.check();
}

#[test]
fn a_session_expires_by_log_time_and_one_in_use_does_not() {
    let mut table = Table::new();
    table.open(0, 1);
    table.open(0, 2);
    table.command(0, stamp(1, 1, 1), "one");
    assert_eq!(table.command(99, stamp(2, 1, 1), "two"), Verdict::Apply);
    assert_eq!(table.command(100, stamp(1, 1, 1), ""), Verdict::Refuse(Denial::Expired));
    assert_eq!(table.command(198, stamp(2, 1, 1), ""), replay(4, "two"));
    assert_eq!(table.open(200, 1), Verdict::Open(false), "its name may be used anew");
    assert_eq!(table.command(200, stamp(1, 1, 1), "again"), Verdict::Apply);
    table.check();
}

#[test]
fn a_full_table_gives_way_only_where_nobody_has_been_for_a_while() {
    let mut table = Table::new();
    for id in 1..=3 {
        table.open(u64::from(id), id);
    }
    assert_eq!(table.open(20, 4), Verdict::Refuse(Denial::Crowded));
    assert_eq!(table.open(21, 4), Verdict::Open(false));
    assert_eq!(table.command(21, stamp(1, 1, 1), ""), Verdict::Refuse(Denial::Expired));
    assert_eq!(table.command(21, stamp(2, 1, 1), ""), Verdict::Apply);
    table.check();
}

#[test]
fn all_sessions_together_keep_so_many_replies_and_no_more() {
    let mut table = Table::new();
    table.open(1, 1);
    table.open(1, 2);
    for (id, sequence) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)] {
        assert_eq!(table.command(1, stamp(id, sequence, 1), ""), Verdict::Apply);
    }
    assert_eq!(table.command(1, stamp(1, 4, 1), ""), Verdict::Refuse(Denial::Crowded));
    assert_eq!(table.command(1, stamp(2, 4, 4), ""), Verdict::Apply, "three were given back");
    table.check();
}

#[test]
fn of_a_reply_that_is_too_long_it_is_known_that_it_was_given() {
    let mut table = Table::new();
    table.open(1, 1);
    assert_eq!(table.command(1, stamp(1, 1, 1), "too long"), Verdict::Apply);
    assert_eq!(table.command(1, stamp(1, 1, 1), ""), Verdict::Replay(at(2), None));
    table.check();
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let mut table = Table::new();
    let late = u64::MAX - SMALL.lifetime_ms - 1;
    assert_eq!(table.command(late, stamp(1, 0, u64::MAX), ""), Verdict::Open(false));
    assert_eq!(table.command(late, stamp(1, u64::MAX, 0), ""), Verdict::Apply);
    assert_eq!(table.command(late, stamp(1, 1, 0), ""), Verdict::Refuse(Denial::Forgotten));
    table.command(u64::MAX, stamp(2, 0, 0), "");
    table.check();
}

/// The rules once more, as plainly as possible: no order of use, no sweeping, no records.
#[derive(Default)]
struct Model(BTreeMap<u8, (u64, u64, BTreeMap<u64, u64>)>);

impl Model {
    fn admit(&mut self, index: u64, time: u64, id: u8, sequence: u64, lowest: u64) -> String {
        self.0.retain(|_, (used, _, _)| *used + SMALL.lifetime_ms > time);
        if sequence == 0 && !self.0.contains_key(&id) {
            if self.0.len() == SMALL.sessions {
                let oldest = self.0.iter().min_by_key(|(id, (used, _, _))| (*used, **id));
                let (oldest, used) = oldest.map(|(id, (used, _, _))| (*id, *used)).unwrap();
                if used + SMALL.idle_ms > time {
                    return "crowded".into();
                }
                self.0.remove(&oldest);
            }
            self.0.insert(id, (time, lowest.max(1), BTreeMap::new()));
            return "opened".into();
        }
        let Some((used, kept_from, replies)) = self.0.get_mut(&id) else { return "expired".into() };
        *used = time;
        *kept_from = lowest.max(*kept_from);
        replies.retain(|sequence, _| sequence >= kept_from);
        let from = *kept_from;
        if sequence == 0 {
            return "open".into();
        }
        if sequence < from {
            return "forgotten".into();
        }
        if let Some(first) = replies.get(&sequence) {
            return format!("replay {first}");
        }
        let in_all: usize = self.0.values().map(|(_, _, replies)| replies.len()).sum();
        if sequence >= from + SMALL.window || in_all >= SMALL.replies {
            return "crowded".into();
        }
        self.0.get_mut(&id).unwrap().2.insert(sequence, index);
        "apply".into()
    }
}

fn name(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Open(true) => "open".into(),
        Verdict::Open(false) => "opened".into(),
        Verdict::Apply => "apply".into(),
        Verdict::Replay(first, _) => format!("replay {}", first.index),
        Verdict::Refuse(Denial::Expired) => "expired".into(),
        Verdict::Refuse(Denial::Forgotten) => "forgotten".into(),
        Verdict::Refuse(Denial::Crowded) => "crowded".into(),
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn any_history_follows_the_rules_however_it_is_cut_into_batches() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut time = 1000;
        let mut history = Vec::new();
        for _ in 0..200 {
            time += [0, 0, 1, 3, 30][dice.below(5) as usize];
            let (id, sequence) = (1 + dice.below(5) as u8, dice.below(8));
            history.push((time, stamp(id, sequence, dice.below(5))));
        }
        let mut model = Model::default();
        let told: Vec<String> = (1..)
            .zip(&history)
            .map(|(index, (time, stamp))| {
                let id = stamp.client[0];
                model.admit(index, *time, id, stamp.sequence, stamp.lowest_unacknowledged)
            })
            .collect();
        let mut one_by_one = Table::new();
        for (turn, (time, stamp)) in history.iter().enumerate() {
            let verdict = one_by_one.command(*time, *stamp, "re");
            assert_eq!(name(&verdict), told[turn], "seed {seed}, command {turn}: {stamp:?}");
        }
        one_by_one.check();
        let mut in_batches = Table::new();
        let mut rest = history.as_slice();
        let mut verdicts = Vec::new();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((1 + dice.below(20) as usize).min(rest.len()));
            verdicts.extend(in_batches.batch(batch, "re"));
            in_batches.check();
            // A restart, now and then.
            if dice.below(4) == 0 {
                let kept: Vec<_> = in_batches.records.clone().into_iter().collect();
                in_batches.sessions = Sessions::read(&kept).unwrap();
                in_batches.sessions.limits = SMALL;
            }
            rest = later;
        }
        assert_eq!(verdicts.iter().map(name).collect::<Vec<_>>(), told, "seed {seed}");
        assert_eq!(in_batches.records, one_by_one.records, "seed {seed}");
        assert_eq!(in_batches.sessions, one_by_one.sessions, "seed {seed}");
    }
}
