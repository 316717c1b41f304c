//! Random work, stopped anywhere: what was acknowledged is there, what was truncated is not.

use super::*;
use crate::disk::sim::Crash;
use crate::disk::sim::random::Random;
use crate::disk::sim::state::Fault;
use crate::memory_log::MemoryLog;

const CRASHES: [Crash; 3] = [Crash::Process, Crash::PowerNothing, Crash::PowerTorn];

/// What the log may hold after a crash: the content after each change, from the last
/// acknowledged one on.
struct History {
    twin: MemoryLog,
    possible: Vec<Content>,
    waiting: Vec<Receiver<io::Result<()>>>,
}

impl History {
    /// Starts with a log that holds `start`, all of it durable.
    fn new(start: Content) -> History {
        let twin = MemoryLog::new();
        if let Some(vote) = start.vote.clone() {
            twin.save_vote(vote, ticket().0);
        }
        if let Some(purged) = start.purged {
            twin.purge(purged, ticket().0);
        }
        twin.append(start.records.clone(), ticket().0);
        assert_eq!(content(&twin), start);
        History { twin, possible: vec![start], waiting: Vec::new() }
    }

    /// Makes one random change on both logs.
    fn change(&mut self, wal: &Wal, random: &mut Random) {
        let LogState { purged, last, .. } = self.twin.state();
        let next = last.map_or(1, |last| last.index + 1);
        let purged = purged.map_or(0, |purged| purged.index);
        let term = last.map_or(1, |last| last.term);
        let (done, result) = ticket();
        let (twin_done, twin_result) = ticket();
        match random.below(12) {
            0 => {
                let vote = Bytes::from(format!("vote {}", random.below(1000)));
                wal.save_vote(vote.clone(), done);
                self.twin.save_vote(vote, twin_done);
            }
            1 | 2 => {
                let keep = purged + random.below(next - purged);
                let keep = (random.below(8) > 0).then_some(keep);
                wal.truncate_after(keep, done);
                self.twin.truncate_after(keep, twin_done);
            }
            3 => {
                // Now and then beyond the end, as after a snapshot from the leader.
                let reach = if random.below(5) == 0 { 20 } else { 0 };
                let index = purged + random.below(next + reach - purged);
                wal.purge(at(index, term), done);
                self.twin.purge(at(index, term), twin_done);
            }
            4 => {
                wal.save_committed(Bytes::from(format!("committed {next}")));
                done(Ok(()));
                twin_done(Ok(()));
            }
            _ => {
                let records = entries(next..=next + random.below(6), term + random.below(8) / 7);
                wal.append(records.clone(), done);
                self.twin.append(records, twin_done);
            }
        }
        twin_result.try_recv().unwrap().unwrap();
        self.waiting.push(result);
        self.possible.push(content(&self.twin));
    }

    /// Forgets what can no longer be, now that some changes are acknowledged.
    fn note_acknowledged(&mut self) {
        let results: Vec<_> = self.waiting.iter().map(|result| result.try_recv()).collect();
        let acknowledged = results.iter().rposition(|result| matches!(result, Ok(Ok(()))));
        // A committed pointer completes at once and proves nothing about what was before it.
        let durable = results.iter().take_while(|result| matches!(result, Ok(Ok(())))).count();
        if acknowledged.is_some() {
            self.possible.drain(..durable);
            self.waiting.drain(..durable);
            assert!(!self.possible.is_empty());
        }
    }

    fn check(&self, found: &Content, what: &str) {
        if !self.possible.contains(found) {
            let ends: Vec<_> = self.possible.iter().map(|content| content.last).collect();
            panic!("{what}: found {:?}, possible {ends:?}", found.last);
        }
    }
}

/// Runs `changes` random changes, several to a group, until the disk goes off.
fn work(disk: &SimDisk, history: &mut History, random: &mut Random, changes: u64) {
    let Ok((wal, _)) = open(disk) else { return };
    for _ in 0..changes {
        // Submitting one at a time lets a result arrive before the next change is made.
        history.change(&wal, random);
        if random.below(3) == 0 {
            wal.step();
        }
        if wal.failed().is_some() {
            break;
        }
        history.note_acknowledged();
    }
    while wal.step() {}
    history.note_acknowledged();
}

#[test]
fn a_crash_at_every_disk_operation_loses_nothing_acknowledged_and_resurrects_nothing() {
    for seed in 0..6 {
        let healthy = SimDisk::new(seed);
        work(&healthy, &mut History::new(Content::default()), &mut Random::new(seed), 60);
        for stop in 0..healthy.op_count() {
            for crash in CRASHES {
                let what = format!("seed {seed}, operation {stop}, {crash:?}");
                let disk = SimDisk::new(seed);
                disk.fail_after(stop, Fault::PowerOff);
                let mut history = History::new(Content::default());
                work(&disk, &mut history, &mut Random::new(seed), 60);
                disk.crash(crash);
                let (wal, _) = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                let found = content(&wal);
                history.check(&found, &what);
                drop(wal);
                // What was served after the restart survives the next power loss.
                disk.crash(Crash::PowerNothing);
                assert_eq!(content(&open(&disk).unwrap().0), found, "{what}");
            }
        }
    }
}

#[test]
fn a_crash_at_every_step_of_recovery_is_harmless() {
    for seed in 10..13 {
        let healthy = SimDisk::new(seed);
        work(&healthy, &mut History::new(Content::default()), &mut Random::new(seed), 60);
        for stop in (0..healthy.op_count()).step_by(3) {
            let disk = SimDisk::new(seed);
            disk.fail_after(stop, Fault::PowerOff);
            let mut history = History::new(Content::default());
            work(&disk, &mut history, &mut Random::new(seed), 60);
            disk.crash(Crash::PowerTorn);
            for again in 0.. {
                let what = format!("seed {seed}, operation {stop}, recovery step {again}");
                let disk = disk.fork(seed + again);
                disk.fail_after(again, Fault::PowerOff);
                let opened = open(&disk).is_ok();
                disk.crash(CRASHES[again as usize % 3]);
                let (wal, _) = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                history.check(&content(&wal), &what);
                if opened {
                    break;
                }
            }
        }
    }
}

#[test]
fn many_crashes_in_one_life_are_survived() {
    for seed in 100..160 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(seed);
        let mut content_now = Content::default();
        for life in 0..12 {
            let what = format!("seed {seed}, life {life}");
            disk.fail_after(random.below(60), Fault::PowerOff);
            let mut history = History::new(content_now.clone());
            work(&disk, &mut history, &mut random, 40);
            disk.crash(CRASHES[random.below(3) as usize]);
            let (wal, _) = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            content_now = content(&wal);
            history.check(&content_now, &what);
            assert_eq!(wal.durable_last(), content_now.last, "{what}");
        }
    }
}

#[test]
fn without_a_crash_the_log_is_what_its_twin_is() {
    for seed in 200..230 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(seed);
        let (wal, _) = open(&disk).unwrap();
        let mut history = History::new(Content::default());
        for _ in 0..150 {
            history.change(&wal, &mut random);
            if random.below(4) == 0 {
                wal.step();
            }
            let expected = history.possible.last().unwrap();
            assert_eq!(content(&wal), *expected, "seed {seed}");
            let from = random.below(expected.last.map_or(1, |last| last.index + 2));
            let (to, max) = (from + random.below(30), random.below(2000) as usize);
            let read = wal.read(from, to, max).unwrap();
            assert_eq!(read, history.twin.read(from, to, max).unwrap(), "seed {seed}");
        }
        let expected = history.possible.last().unwrap().clone();
        wal.close().unwrap();
        let (wal, _) = open(&disk).unwrap();
        assert_eq!(content(&wal), expected, "seed {seed}");
    }
}
