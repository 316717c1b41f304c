use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::meters::Rpc;

fn status() -> Status {
    Status {
        node_id: 1,
        cluster_id: [0; 16],
        role: Role::Leader,
        term: 3,
        leader: Some(1),
        committed: Position { term: 3, index: 9 },
        applied: Position::default(),
        last_log: Position { term: 3, index: 12 },
        snapshot: None,
        voters: Vec::new(),
        rebuilds: 2,
    }
}

/// A page on which everything has happened.
fn full() -> String {
    let (status, counters, meters) = (status(), Counters::default(), Meters::default());
    counters.proposal(&Ok(()));
    counters.proposal::<()>(&Err(ProposeError::Timeout));
    meters.append.time(Duration::from_micros(1_500));
    meters.peer(2).replicate.time(Duration::from_millis(3));
    meters.peer(3).replicate.time(Duration::from_secs(100));
    meters.apply_entries.value(7);
    meters.deadline(Rpc::Vote);
    let mut log = LogStats::default();
    log.sync_buckets[1] = 4;
    expose(&Shown {
        status: &status,
        counters: &counters,
        meters: &meters,
        low_disk: &LowDisk::default(),
        log,
        purged_index: 5,
        replicated: vec![(1, None), (2, Some(Position { term: 3, index: 10 })), (3, None)],
        queues: vec![("proposals", 1, 16)],
    })
}

/// One sample of a page.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn read_sample(line: &str) -> Sample {
    let (name, value) = line.rsplit_once(' ').unwrap();
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
    let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
    let inner = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
    let labels = inner.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
        assert!(is_name(name) && !value.contains(['"', '\\']), "{line}");
        (name.to_owned(), value.to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}

/// Reads a page as strictly as the format is meant; families with their kind and samples.
fn parse(page: &str) -> BTreeMap<String, (String, Vec<Sample>)> {
    let mut families: BTreeMap<String, (String, Vec<Sample>)> = BTreeMap::new();
    let (mut family, mut helped) = (String::new(), String::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(text.ends_with('.') && text.len() < 160, "{line}");
            helped = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, helped, "help stands before type");
            assert!(is_name(name) && name.starts_with("raft_"), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            family = name.to_owned();
            let before = families.insert(family.clone(), (kind.to_owned(), Vec::new()));
            assert!(before.is_none(), "{name} is told twice");
        } else {
            let sample = read_sample(line);
            let (kind, samples) = families.get_mut(&family).unwrap();
            match kind.as_str() {
                "histogram" => {
                    let part = sample.name.strip_prefix(&family).unwrap();
                    assert!(["_bucket", "_sum", "_count"].contains(&part), "{line}");
                    assert_eq!(part == "_bucket", sample.labels.contains_key("le"), "{line}");
                }
                _ => assert_eq!(sample.name, family, "{line}"),
            }
            assert!(kind != "counter" || sample.value >= 0.0, "{line}");
            samples.push(sample);
        }
    }
    families
}

/// Every series of a histogram: buckets cumulative, the last infinite and equal to the count.
fn check_histogram(family: &str, samples: &[Sample]) {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        series.entry(labels).or_default().push(sample);
    }
    for samples in series.values() {
        let buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|sample| {
                let le = sample.labels.get("le")?;
                let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
                Some((bound, sample.value))
            })
            .collect();
        assert!(buckets.is_sorted_by(|(a, n), (b, m)| a < b && n <= m), "{family}: {buckets:?}");
        let value = |suffix| {
            let name = format!("{family}_{suffix}");
            samples.iter().find(|sample| sample.name == name).unwrap().value
        };
        assert_eq!(buckets.last().copied(), Some((f64::INFINITY, value("count"))), "{family}");
        assert!(value("sum") >= 0.0);
        assert_eq!(samples.len(), buckets.len() + 2, "{family}");
    }
}

#[test]
fn the_whole_page_is_sound_prometheus_text() {
    let families = parse(&full());
    for (family, (kind, samples)) in &families {
        let distinct: BTreeSet<_> =
            samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
        assert_eq!(distinct.len(), samples.len(), "{family} tells a sample twice");
        if kind == "histogram" {
            check_histogram(family, samples);
            let unit = ["_seconds", "_entries", "_bytes"];
            assert!(unit.iter().any(|unit| family.ends_with(unit)), "{family} has no unit");
        }
    }
    assert!(families.len() > 50, "{} families", families.len());
}

#[test]
fn what_happened_is_on_the_page() {
    let page = full();
    for line in [
        "raft_commit_index 9",
        "raft_purged_index 5",
        "raft_proposals_total{outcome=\"applied\"} 1",
        "raft_wal_sync_seconds_bucket{le=\"0.0002\"} 4",
        "raft_wal_sync_seconds_bucket{le=\"+Inf\"} 4",
        "raft_append_seconds_bucket{le=\"0.001\"} 0",
        "raft_append_seconds_bucket{le=\"0.0025\"} 1",
        "raft_append_seconds_sum 0.0015",
        "raft_replicate_seconds_bucket{peer=\"2\",le=\"0.005\"} 1",
        "raft_replicate_seconds_bucket{peer=\"3\",le=\"10\"} 0",
        "raft_replicate_seconds_count{peer=\"3\"} 1",
        "raft_apply_batch_entries_bucket{le=\"8\"} 1",
        "raft_rpc_deadlines_total{rpc=\"vote\"} 1",
        "raft_peer_lag_entries{peer=\"2\"} 2",
        "raft_peer_lag_entries{peer=\"3\"} 12",
        "raft_queue_depth{queue=\"proposals\"} 1",
        "raft_queue_capacity{queue=\"proposals\"} 16",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not on\n{page}");
    }
    assert!(!page.contains("raft_peer_lag_entries{peer=\"1\"}"), "no lag behind itself");
}
