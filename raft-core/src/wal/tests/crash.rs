//! Random work, stopped anywhere: what was acknowledged is there, what was truncated is not.

use super::history::History;
use super::*;
use crate::disk::sim::Crash;
use crate::disk::sim::random::Random;
use crate::disk::sim::state::Fault;

const CRASHES: [Crash; 3] = [Crash::Process, Crash::PowerNothing, Crash::PowerTorn];

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
