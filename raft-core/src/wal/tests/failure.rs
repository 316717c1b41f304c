//! Disks that refuse: every callback is called, nothing is retried, nothing acknowledged is lost.

use super::*;
use crate::disk::sim::Crash;
use crate::disk::sim::state::Fault;

/// What happened to the changes of one run: acknowledged content, and the number of results.
struct Run {
    acknowledged: Content,
    results: Vec<Result<(), io::ErrorKind>>,
}

/// Submits a fixed sequence of changes, two to a group, until the log has failed.
fn run(disk: &SimDisk) -> Run {
    let mut run = Run { acknowledged: Content::default(), results: Vec::new() };
    let Ok((wal, _)) = open(disk) else { return run };
    let mut pending = Vec::new();
    for round in 0..14_u64 {
        let first = round * 8 + 1;
        let (done, appended) = ticket();
        wal.append(entries(first..=first + 7, 1), done);
        pending.push(appended);
        let (done, other) = ticket();
        match round {
            3 => wal.save_vote(Bytes::from_static(b"a vote"), done),
            9 => wal.purge(at(30, 1), done),
            _ => wal.truncate_after(Some(first + 7), done),
        }
        pending.push(other);
        let now = wal.failed().is_none().then(|| content(&wal));
        while wal.step() {}
        let results: Vec<_> =
            pending.drain(..).map(|result| result.try_recv().expect("called")).collect();
        if let (Some(now), true) = (now, results.iter().all(Result::is_ok)) {
            run.acknowledged = now;
        }
        run.results.extend(results.into_iter().map(|result| result.map_err(|e| e.kind())));
        if wal.failed().is_some() {
            assert!(wal.read(0, 999, 999).is_err(), "a failed log serves nothing");
            assert!(wal.read_cached(0, 999, 999).is_err());
            assert!(wal.close().is_err());
        }
    }
    run
}

fn check_prefix(run: &Run, what: &str) {
    let failed = run.results.iter().position(Result::is_err).unwrap_or(run.results.len());
    assert!(run.results[failed..].iter().all(Result::is_err), "{what}: {:?}", run.results);
}

/// Opens the log and checks that all that was acknowledged is in it, and goes on.
fn reopen(disk: &SimDisk, acknowledged: &Content, what: &str) -> Content {
    let (wal, _) = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = content(&wal);
    let purged = found.purged.map_or(0, |purged| purged.index);
    let expected = acknowledged.records.iter().filter(|record| record.index > purged);
    assert!(
        expected.eq(found.records.iter().take(
            found
                .records
                .len()
                .min(acknowledged.records.iter().filter(|record| record.index > purged).count())
        )),
        "{what}: lost an acknowledged entry"
    );
    assert!(found.last.map(|l| l.index) >= acknowledged.last.map(|l| l.index), "{what}");
    assert!(acknowledged.vote.is_none() || found.vote == acknowledged.vote, "{what}");
    found
}

#[test]
fn after_an_error_at_any_operation_every_callback_gets_it_and_a_restart_heals() {
    let healthy = SimDisk::new(1);
    let all = run(&healthy);
    assert!(all.results.iter().all(Result::is_ok));
    let total = healthy.op_count();
    assert!(total > 40, "rolls and removals are among the operations");
    for skip in 0..total {
        for crash in [Crash::Process, Crash::PowerNothing, Crash::PowerTorn] {
            let what = format!("operation {skip} fails, then {crash:?}");
            let disk = SimDisk::new(skip);
            disk.fail_after(skip, Fault::Io);
            let run = run(&disk);
            assert!(run.results.is_empty() || run.results.len() == all.results.len(), "{what}");
            check_prefix(&run, &what);
            disk.crash(crash);
            let found = reopen(&disk, &run.acknowledged, &what);
            // After a failed sync the cache may show what the disk does not have: what is
            // served once must stay.
            disk.crash(Crash::PowerNothing);
            assert_eq!(reopen(&disk, &run.acknowledged, &what), found, "{what}");
        }
    }
}

#[test]
fn after_a_full_disk_every_callback_gets_the_error_and_a_restart_with_room_heals() {
    let healthy = SimDisk::new(1);
    let all = run(&healthy);
    for capacity in (0..healthy.used_bytes() + 4096).step_by(61) {
        let what = format!("{capacity} bytes");
        let disk = SimDisk::new(1);
        disk.set_capacity(capacity);
        let run = run(&disk);
        check_prefix(&run, &what);
        let full = run.results.iter().find_map(|result| result.err());
        assert!(full.is_none_or(|kind| kind == io::ErrorKind::StorageFull), "{what}: {full:?}");
        disk.crash(Crash::Process);
        if !run.results.is_empty() {
            // It opens on the full disk too, and serves what it has.
            reopen(&disk, &run.acknowledged, &what);
        }
        disk.set_capacity(u64::MAX);
        let found = reopen(&disk, &run.acknowledged, &what);
        let (wal, _) = open(&disk).unwrap();
        let next = found.last.map_or(1, |last| last.index + 1);
        append(&wal, entries(next..=next, 3));
    }
    assert!(all.results.iter().all(Result::is_ok));
}

#[test]
fn a_failed_sync_is_not_retried_and_the_error_names_its_cause() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(1..=3, 1));
    disk.take_ops();
    disk.fail_after(1, Fault::Io);
    let (done, first) = ticket();
    wal.append(entries(4..=4, 1), done);
    let (done, second) = ticket();
    wal.save_vote(Bytes::from_static(b"v"), done);
    wal.step();
    let (done, later) = ticket();
    wal.save_vote(Bytes::from_static(b"w"), done);
    while wal.step() {}
    assert_eq!(disk.take_ops().len(), 1, "the write alone, and nothing after the failed sync");
    for result in [first, second, later] {
        let error = result.try_recv().unwrap().unwrap_err();
        let cause = std::error::Error::source(error.get_ref().unwrap()).unwrap();
        assert_eq!(cause.to_string(), "simulated I/O error");
    }
    assert_eq!(wal.failed().unwrap().to_string(), "simulated I/O error");
    assert_eq!(wal.durable_last(), Some(at(3, 1)));
}

#[test]
fn who_waits_for_room_is_told_when_the_log_fails() {
    let disk = SimDisk::new(1);
    let config = WalConfig { room_bytes: 1, ..small() };
    let (wal, _) = Wal::open_stepped(dir(), Arc::new(disk.clone()), config).unwrap();
    wal.append(entries(1..=3, 1), ticket().0);
    let (sender, receiver) = mpsc::channel();
    wal.when_room(Box::new(move || sender.send(()).unwrap()));
    disk.fail_after(0, Fault::Io);
    wal.step();
    receiver.try_recv().unwrap();
    assert!(wal.failed().is_some());
}

#[test]
fn a_callback_that_panics_fails_the_log_and_nobody_waits_for_ever() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    wal.append(entries(1..=1, 1), Box::new(|_| panic!("on purpose")));
    let (done, same_group) = ticket();
    wal.append(entries(2..=2, 1), done);
    wal.step();
    assert!(same_group.try_recv().unwrap().is_ok(), "it is durable");
    assert!(wal.failed().is_some());
    let (done, later) = ticket();
    wal.append(entries(3..=3, 1), done);
    assert!(later.try_recv().unwrap().is_err());
}

#[test]
fn a_dropped_log_completes_what_it_accepted() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    let (done, result) = ticket();
    wal.append(entries(1..=1, 1), done);
    drop(wal);
    result.try_recv().unwrap().unwrap();
    assert_eq!(content(&open(&disk).unwrap().0).records, entries(1..=1, 1));
}

#[test]
fn a_failed_log_touches_the_disk_no_more() {
    let disk = SimDisk::new(1);
    let (wal, _) = open(&disk).unwrap();
    append(&wal, entries(1..=60, 1));
    append(&wal, entries(61..=90, 1));
    wal.purge(at(60, 1), ticket().0);
    wal.step();
    wal.save_committed(Bytes::from_static(b"60"));
    wal.append(entries(91..=91, 1), ticket().0);
    disk.fail_after(0, Fault::Io);
    while wal.failed().is_none() {
        assert!(wal.step());
    }
    let count = disk.op_count();
    while wal.step() {}
    assert!(wal.close().is_err());
    assert_eq!(disk.op_count(), count);
}
