//! The `raft-core` program, run on the directories of real nodes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use raft_core::{Config, NodeId, StartError};

use super::harness::{Cluster, PATIENCE, wait};

/// Snapshots are written when a test asks for one.
fn settings(config: &mut Config) {
    config.snapshot_after_entries = 1_000_000;
    config.keep_entries = 10;
    config.segment_bytes = 16 << 10;
}

/// How the program ended, and what it said.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_raft-core")).args(arguments).output().unwrap();
    Ended {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it and expects success; returns its output.
fn sound(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.out, ended.err);
    assert_eq!(ended.err, "", "{arguments:?}");
    ended.out
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A field of the first line about `kind`.
fn field(out: &str, kind: &str, name: &str) -> String {
    let line = out.lines().find(|line| line.split(' ').next() == Some(kind));
    let line = line.unwrap_or_else(|| panic!("no {kind} in {out}"));
    let start = format!("{name}=");
    let found = line.split(' ').find_map(|part| part.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
}

/// Every file below `path`, with its bytes and the time of its last change.
fn files(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    found
}

/// A cluster that has run, with snapshots and entries behind them, and is shut down; and what it
/// was told.
async fn stopped(size: u64) -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::prepare(size, settings).await;
    cluster.start_all().await;
    cluster.node(1).bootstrap().await.unwrap();
    cluster.leader().await;
    let mut commands = Vec::new();
    for round in 0..3 {
        commands.extend(cluster.propose_many(1, &format!("round-{round}"), 50).await);
    }
    cluster.agree_on(&commands).await;
    for id in cluster.running() {
        cluster.node(id).take_snapshot().await.unwrap();
    }
    commands.extend(cluster.propose_many(1, "last", 7).await);
    cluster.agree_on(&commands).await;
    for id in cluster.running() {
        let node = cluster.nodes[id as usize - 1].take().unwrap();
        node.shutdown().await.unwrap();
    }
    (cluster, commands)
}

/// The same members, without any data yet.
fn successor(old: &Cluster) -> Cluster {
    Cluster {
        directory: tempfile::tempdir().unwrap(),
        members: old.members.clone(),
        proxies: old.proxies.clone(),
        kept: old.members.iter().map(|_| super::journal::Kept::default()).collect(),
        nodes: old.members.iter().map(|_| None).collect(),
        adjust: Box::new(settings),
        founders: None,
    }
}

fn restore(cluster: &Cluster, id: NodeId, backup: &Path) -> String {
    let data_dir = cluster.data_dir(id);
    let members: Vec<String> =
        cluster.members.iter().map(|m| format!("--member={}={}", m.id, m.address)).collect();
    let id = id.to_string();
    let mut arguments = vec!["restore", text(backup), "--data-dir", text(&data_dir)];
    arguments.extend(["--node-id", &id]);
    arguments.extend(members.iter().map(String::as_str));
    field(&sound(&arguments), "restored", "cluster")
}

/// Restores all members, starts them, and waits until they hold what the old cluster held.
async fn risen(old: &Cluster, backup: &Path, commands: &[String]) -> Cluster {
    let mut new = successor(old);
    let ids: Vec<String> =
        new.members.iter().map(|member| restore(&new, member.id, backup)).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    new.start_all().await;
    for id in new.running() {
        assert_eq!(hex::encode(new.node(id).cluster_id()), ids[0]);
        new.node(id).bootstrap().await.unwrap();
    }
    new.leader().await;
    new.agree_on(commands).await;
    // Whose history it is has not changed, and every machine was told.
    let said = sound(&["snapshot", "verify", text(backup)]);
    let lineage = field(&said, "backup", "lineage");
    for id in new.running() {
        assert_eq!(hex::encode(new.node(id).lineage_id()), lineage);
        let told = new.kept[id as usize - 1].with(|held| held.lineage);
        assert_eq!(told, Some(new.node(id).lineage_id()));
    }
    assert_ne!(ids[0], lineage);
    new
}

fn refused(cluster: &Cluster, id: NodeId) -> u64 {
    let metrics = cluster.node(id).metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix("raft_refused_callers_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_brings_a_lost_cluster_back_under_another_id_and_its_old_nodes_are_refused() {
    let (old, mut commands) = stopped(3).await;
    let old_id = field(&sound(&["identity", text(&old.data_dir(1))]), "identity", "cluster");
    let backup = old.directory.path().join("saved");
    let said = sound(&["backup", text(&old.data_dir(1)), text(&backup)]);
    assert_eq!(field(&said, "backup", "cluster"), old_id);
    assert_eq!(field(&said, "backup", "lineage"), old_id);
    assert_ne!(field(&said, "backup", "entries"), "0", "there is a tail behind the snapshot");
    assert_eq!(sound(&["snapshot", "verify", text(&backup)]), said);
    let kept_aside = old.directory.path().join("old-3");
    fs::rename(old.data_dir(3), &kept_aside).unwrap();
    for id in [1, 2] {
        fs::remove_dir_all(old.data_dir(id)).unwrap();
    }

    let mut new = risen(&old, &backup, &commands).await;
    assert_ne!(hex::encode(new.node(1).cluster_id()), old_id);
    commands.extend(new.propose_many(2, "after", 20).await);
    new.agree_on(&commands).await;

    // An old node in the place of a new one: nobody talks to it, and the others go on.
    new.halt(3).await;
    let aside = new.directory.path().join("new-3");
    fs::rename(new.data_dir(3), &aside).unwrap();
    fs::rename(&kept_aside, new.data_dir(3)).unwrap();
    // A machine's state lies with its node's directory, and goes where that goes.
    let machine_aside = std::mem::take(&mut new.kept[2]);
    let before = refused(&new, 1) + refused(&new, 2);
    new.start(3).await;
    wait("refusals", || refused(&new, 1) + refused(&new, 2) > before + 3).await;
    wait("the old node to refuse, too", || refused(&new, 3) > 3).await;
    assert_eq!(new.node(3).status().leader, None);
    assert_eq!(hex::encode(new.node(3).cluster_id()), old_id);
    commands.push(new.insist(1, "without the old one").await);
    new.halt(3).await;
    fs::remove_dir_all(new.data_dir(3)).unwrap();
    fs::rename(&aside, new.data_dir(3)).unwrap();
    new.kept[2] = machine_aside;
    new.start(3).await;
    new.agree_on(&commands).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_node_restores_to_the_same_state() {
    let cluster = Cluster::formed(settings).await;
    let commands = cluster.propose_many(1, "told", 30).await;
    let id = cluster.follower().await;
    cluster.node(id).read_barrier(PATIENCE).await.unwrap();
    let backup = cluster.directory.path().join("saved");
    let summary = cluster.node(id).backup(&backup).await.unwrap();
    assert_eq!(summary.entries, 0);
    assert_eq!(Some(summary.last), cluster.node(id).status().snapshot);
    assert!(cluster.node(id).backup(&backup).await.is_err(), "a file is never written over");
    for id in cluster.running() {
        cluster.node(id).halt().await;
    }
    let mut new = risen(&cluster, &backup, &commands).await;
    // And once more, of the restored one; a majority of the wrong copies makes no cluster.
    let again = new.directory.path().join("again");
    let summary = new.node(1).backup(&again).await.unwrap();
    assert_eq!(summary.cluster_id, new.node(1).cluster_id());
    assert_eq!(summary.lineage_id, cluster.node(1).cluster_id());
    let stray = successor(&new);
    let stray_id = restore(&stray, 3, &again);
    let stray_lineage =
        field(&sound(&["identity", text(&stray.data_dir(3))]), "identity", "lineage");
    assert_eq!(stray_lineage, hex::encode(cluster.node(1).cluster_id()));
    assert_ne!(stray_id, hex::encode(new.node(1).cluster_id()));
    new.halt(3).await;
    fs::remove_dir_all(new.data_dir(3)).unwrap();
    fs::rename(stray.data_dir(3), new.data_dir(3)).unwrap();
    let before = refused(&new, 1) + refused(&new, 2);
    new.start(3).await;
    wait("refusals", || refused(&new, 1) + refused(&new, 2) > before).await;
    new.insist(1, "on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_snapshots_is_backed_up_by_its_log_alone() {
    let mut cluster = Cluster::prepare(3, |_| {}).await;
    cluster.start_all().await;
    cluster.node(1).bootstrap().await.unwrap();
    let commands = cluster.propose_many(1, "told", 20).await;
    cluster.agree_on(&commands).await;
    let fresh = tempfile::tempdir().unwrap();
    let leader = cluster.leader().await;
    for id in cluster.running() {
        cluster.halt(id).await;
    }
    let backup = fresh.path().join("saved");
    // Killed, a node may not know of the last commits; its log has them.
    let said = sound(&["backup", "--whole-log", text(&cluster.data_dir(leader)), text(&backup)]);
    assert!(!said.contains("snapshot"), "{said}");
    let new = risen(&cluster, &backup, &commands).await;
    assert_eq!(new.node(1).status().voters.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_changes_no_byte_and_a_running_node_is_left_alone() {
    let (mut cluster, _) = stopped(1).await;
    let data_dir = cluster.data_dir(1);
    let (log, snapshots) = (data_dir.join("log"), data_dir.join("snapshots"));
    let before = files(&data_dir);
    let looks = [
        ["log", "dump", text(&data_dir)],
        ["log", "dump", text(&log)],
        ["log", "verify", text(&data_dir)],
        ["log", "verify", text(&log)],
        ["snapshot", "dump", text(&data_dir)],
        ["snapshot", "dump", text(&snapshots)],
        ["snapshot", "verify", text(&data_dir)],
        ["identity", "--json", text(&data_dir)],
    ];
    for look in looks {
        assert!(!sound(&look).is_empty());
        let mut json = look.to_vec();
        json.push("--json");
        if look[1] != "--json" {
            for line in sound(&json).lines() {
                assert!(line.starts_with("{\"kind\":\"") && line.ends_with('}'), "{line}");
            }
        }
    }
    let dump = sound(&["log", "dump", text(&data_dir)]);
    let verified = sound(&["log", "verify", text(&data_dir)]);
    assert!(dump.ends_with(&verified), "a dump ends with what verify says");
    assert_eq!(field(&verified, "log", "last"), field(&verified, "log", "committed"));
    let saved = cluster.directory.path().join("saved");
    sound(&["backup", text(&data_dir), text(&saved)]);
    assert_eq!(files(&data_dir), before, "also a backup only looks");
    assert_eq!(field(&sound(&["identity", text(&data_dir)]), "identity", "in_use"), "false");

    cluster.start(1).await;
    cluster.leader().await;
    for look in &looks[..4] {
        let ended = run(look);
        assert_eq!(ended.code, 1, "{look:?}: {}", ended.err);
        assert!(ended.err.contains("in use by a running node"), "{}", ended.err);
        assert_eq!(ended.out, "");
    }
    let other = cluster.directory.path().join("other");
    let ended = run(&["backup", text(&data_dir), text(&other)]);
    assert!(ended.code == 1 && ended.err.contains("in use"), "{}", ended.err);
    assert!(!other.exists());
    assert_eq!(field(&sound(&["identity", text(&data_dir)]), "identity", "in_use"), "true");
    cluster.insist(1, "unharmed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_with_file_and_offset_and_never_a_panic() {
    let (cluster, _) = stopped(1).await;
    let data_dir = cluster.data_dir(1);
    let saved = cluster.directory.path().join("saved");
    sound(&["backup", text(&data_dir), text(&saved)]);
    let target = cluster.directory.path().join("target");
    let (data, target) = (text(&data_dir), text(&target));
    let into = ["restore", text(&saved), "--data-dir", target, "--node-id=1", "--member=1=a:1"];
    let found = files(&data_dir);
    let of = |end: &str| {
        let named = found.keys().filter(|path| path.to_str().unwrap().ends_with(end));
        named.cloned().next_back().unwrap_or_else(|| panic!("no {end}"))
    };
    let cases: [(PathBuf, Vec<Vec<&str>>); 4] = [
        (of(".wal"), vec![vec!["log", "verify", data], vec!["log", "dump", data]]),
        (of(".snap"), vec![vec!["snapshot", "verify", data]]),
        (of("identity"), vec![vec!["identity", data], vec!["backup", data, target]]),
        (saved.clone(), vec![vec!["snapshot", "verify", text(&saved)], into.to_vec()]),
    ];
    for (file, commands) in cases {
        let whole = fs::read(&file).unwrap();
        let mut spoilt: Vec<Vec<u8>> = Vec::new();
        for part in 0..12 {
            let place = (whole.len() - 2) * part / 11;
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (part % 7);
            spoilt.push(flipped);
        }
        if !file.ends_with("identity") && file.extension().is_none_or(|end| end != "wal") {
            // The end of a log may be missing; the end of nothing else may.
            spoilt.extend(
                [0, 1, 30, whole.len() / 2, whole.len() - 1].map(|end| whole[..end].to_vec()),
            );
        }
        for (number, bytes) in spoilt.into_iter().enumerate() {
            fs::write(&file, &bytes).unwrap();
            for command in &commands {
                let ended = run(command);
                let what = format!("{command:?}, case {number}: {}{}", ended.out, ended.err);
                assert_eq!(ended.code, 3, "{what}");
                assert!(ended.err.contains(text(&file)), "{what}");
                assert!(ended.err.contains("at byte "), "{what}");
                assert!(!Path::new(target).exists(), "nothing is made of it: {what}");
            }
        }
        fs::write(&file, whole).unwrap();
    }
    sound(&["log", "verify", data]);
    fs::remove_file(of(".wal")).unwrap();
    let ended = run(&["log", "verify", data]);
    assert!(ended.code == 3 || ended.err.contains("holds no log"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_whose_restore_broke_off_is_no_node_and_is_not_restored_into() {
    let (old, _) = stopped(1).await;
    let backup = old.directory.path().join("saved");
    sound(&["backup", text(&old.data_dir(1)), text(&backup)]);
    let mut new = successor(&old);
    restore(&new, 1, &backup);
    // The last step undone: the log has not got its name yet.
    fs::rename(new.data_dir(1).join("log"), new.data_dir(1).join("log.restoring")).unwrap();
    assert!(matches!(new.try_start(1).await, Err(StartError::Damaged(_))));
    let member = format!("--member=1={}", new.members[0].address);
    let data_dir = new.data_dir(1);
    let again = ["restore", text(&backup), "--data-dir", text(&data_dir), "--node-id=1", &member];
    let ended = run(&again);
    assert!(ended.code == 1 && ended.err.contains("is not empty"), "{}", ended.err);
    fs::remove_dir_all(&data_dir).unwrap();
    fs::create_dir_all(data_dir.join("lost+found")).unwrap();
    let first = field(&sound(&again), "restored", "cluster");
    fs::remove_dir_all(&data_dir).unwrap();
    let mut other = again.to_vec();
    other.push("--attempt=1");
    assert_ne!(field(&sound(&other), "restored", "cluster"), first);
    new.start(1).await;
    new.leader().await;
}

#[test]
fn wrong_arguments_are_refused_with_the_usage() {
    let member = "--member=1=a:1";
    let cases: [&[&str]; 20] = [
        &[],
        &["log"],
        &["log", "dump"],
        &["log", "mend", "dir"],
        &["snapshot", "verify"],
        &["identity"],
        &["identity", "a", "b"],
        &["backup", "dir"],
        &["backup", "dir", "file", "more"],
        &["restore"],
        &["restore", "file", "--data-dir=d", "--node-id=1"],
        &["restore", "file", "--node-id=1", member],
        &["restore", "file", "--data-dir=d", member],
        &["restore", "file", "--data-dir=d", "--node-id=x", member],
        &["restore", "file", "--data-dir=d", "--node-id=1", "--member=a:1"],
        &["restore", "file", "--data-dir=d", "--node-id=1", "--member=0=a:1"],
        &["restore", "file", "--data-dir=d", "--node-id=1", "--member=1=a"],
        &["restore", "file", "--data-dir=d", "--node-id=1", "--member=1=a:99999"],
        &["restore", "file", "--data-dir=d", "--node-id=1", "--member=1=a:1,colour=red"],
        &["--loud", "identity", "dir"],
    ];
    for arguments in cases {
        let ended = run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{arguments:?}");
        assert!(!ended.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_is_not_there_or_cannot_be_is_an_error_and_no_damage() {
    let keep = tempfile::tempdir().unwrap();
    let (dir, absent) = (keep.path().join("dir"), keep.path().join("absent"));
    fs::create_dir(&dir).unwrap();
    let file = keep.path().join("file");
    fs::write(&file, "text").unwrap();
    let (dir, absent, file) = (text(&dir), text(&absent), text(&file));
    let cases: [&[&str]; 12] = [
        &["log", "dump", absent],
        &["log", "verify", dir],
        &["log", "verify", file],
        &["snapshot", "dump", absent],
        &["identity", dir],
        &["identity", absent],
        &["identity", file],
        &["backup", dir, absent],
        &["backup", absent, file],
        &["restore", absent, "--data-dir", dir, "--node-id=1", "--member=1=a:1"],
        &["restore", file, "--data-dir", absent, "--node-id=2", "--member=1=a:1"],
        &["restore", file, "--data-dir", file, "--node-id=1", "--member=1=a:1"],
    ];
    for arguments in cases {
        let ended = run(arguments);
        assert_eq!(ended.code, 1, "{arguments:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{arguments:?}");
    }
    assert_eq!(run(&["--help"]).code, 0);
    assert_eq!(run(&["snapshot", "verify", dir]).code, 0, "no snapshot is damaged there");
}
