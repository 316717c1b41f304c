//! What the log really asks of the system, as strace sees it.
//!
//! The test runs itself once more under strace, as a process that appends, rolls, purges, and says
//! so whenever something is acknowledged; then the calls are read in their order
//! (`tests/traced.rs`). On a machine without strace, or where tracing is forbidden, the same order
//! is shown on the simulated disk only (`behaviour.rs`).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;

use super::*;
use crate::disk::RealDisk;
use crate::tests::traced::{self, Call};

#[test]
fn the_traced_process() {
    let Some(dir) = traced::directory() else { return };
    let acknowledged = Arc::new(Mutex::new(File::create(dir.join("acknowledged")).unwrap()));
    let (wal, _) = Wal::open(&dir.join("log"), Arc::new(RealDisk), small()).unwrap();
    let change = |name: String, make: &dyn Fn(Durable)| {
        let (done, result) = ticket();
        let file = Arc::clone(&acknowledged);
        make(Box::new(move |outcome| {
            file.lock().unwrap().write_all(name.as_bytes()).unwrap();
            done(outcome);
        }));
        result.recv().unwrap().unwrap();
    };
    for first in (1..=90).step_by(3) {
        change(format!("append {first}"), &|done| wal.append(entries(first..=first + 2, 1), done));
        if first % 5 == 0 {
            let vote = Bytes::from(format!("vote {first}"));
            change(format!("vote {first}"), &|done| wal.save_vote(vote.clone(), done));
        }
        if first % 10 == 1 && first > 20 {
            change(format!("purge {first}"), &|done| wal.purge(at(first - 10, 1), done));
        }
    }
    change("truncate".into(), &|done| wal.truncate_after(Some(85), done));
    wal.close().unwrap();
}

/// hiqlite#361: entries were called durable before they were.
#[test]
fn as_the_system_sees_it_every_acknowledgement_follows_a_sync_of_all_that_was_written() {
    let keep = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(keep.path()).unwrap();
    let process = "wal::tests::trace::the_traced_process";
    let Some(calls) = traced::run(process, &dir) else { return };
    let log = dir.join("log").to_str().unwrap().to_owned();
    let (mut unsynced, mut names_unsynced) = (HashSet::new(), false);
    let (mut acknowledged, mut created, mut removed, mut syncs) = (0, 0, 0, 0);
    for Call { name, path, line } in calls {
        let in_log = path.starts_with(&log) && path.ends_with(".wal");
        match name.as_str() {
            "pwrite64" if in_log => {
                unsynced.insert(path);
            }
            "fdatasync" if in_log => {
                syncs += 1;
                assert!(unsynced.remove(&path), "a sync of nothing: {line}");
            }
            "openat" if in_log && line.contains("O_CREAT") => {
                assert!(line.contains("O_EXCL"), "{line}");
                created += 1;
                names_unsynced = true;
            }
            "unlink" | "unlinkat" if in_log => {
                removed += 1;
                assert!(!names_unsynced, "one removal at a time: {line}");
                names_unsynced = true;
            }
            "fsync" if path == log => names_unsynced = false,
            "write" if path.ends_with("/acknowledged") => {
                acknowledged += 1;
                assert!(unsynced.is_empty(), "{line} before the sync of {unsynced:?}");
                assert!(!names_unsynced, "{line} before the sync of the directory");
            }
            _ => {}
        }
    }
    assert!(unsynced.is_empty() && !names_unsynced);
    assert!(
        acknowledged > 35 && created >= 3 && removed >= 2,
        "{acknowledged} {created} {removed}"
    );
    // One for each group, and three for each segment but the first, which took one.
    assert!(syncs <= acknowledged + 2 * created, "{syncs} syncs of {acknowledged} groups");
}
