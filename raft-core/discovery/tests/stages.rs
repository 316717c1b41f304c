//! What a search yields, in which order, and what survives between searches.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use raft_core_discovery::{Candidate, Discovery, DiscoveryError, DnsAlias, Source};

fn addresses(candidates: &[Candidate], source: Source) -> Vec<&str> {
    let of_source = candidates.iter().filter(|candidate| candidate.source == source);
    of_source.map(|candidate| candidate.address.as_str()).collect()
}

fn with_cache(file: &Path) -> Discovery {
    Discovery { cache_file: Some(file.to_owned()), ..Discovery::default() }
}

fn localhost(port: u16) -> Option<DnsAlias> {
    Some(DnsAlias { name: "localhost".to_owned(), port })
}

fn unknown_name() -> Option<DnsAlias> {
    Some(DnsAlias { name: "no-such-member.invalid".to_owned(), port: 8000 })
}

#[tokio::test]
async fn stages_come_in_order_and_no_address_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut discovery = with_cache(&directory.path().join("addresses.json"));
    let cached = ["second:1", "127.0.0.1:8000", "cached:3"].map(str::to_owned);
    discovery.remember(&cached).await.unwrap();
    discovery.static_list = ["first:1", "second:1", "first:1"].map(str::to_owned).to_vec();
    discovery.dns = localhost(8000);
    discovery.validate().unwrap();

    let mut stages = discovery.stages();
    let listed = stages.next().await.unwrap();
    assert_eq!(addresses(&listed, Source::Static), ["first:1", "second:1"]);
    let resolved = stages.next().await.unwrap();
    assert!(addresses(&resolved, Source::Dns).contains(&"127.0.0.1:8000"), "{resolved:?}");
    let remembered = stages.next().await.unwrap();
    assert_eq!(addresses(&remembered, Source::Cache), ["cached:3"]);
    assert_eq!(stages.next().await, None);
    assert_eq!(stages.next().await, None);

    let mut all = listed;
    all.extend(resolved);
    all.extend(remembered);
    assert_eq!(discovery.find().await, all);
}

#[tokio::test]
async fn a_search_with_nowhere_to_look_finds_nothing() {
    assert_eq!(Discovery::default().find().await, []);
    assert_eq!(Discovery::default().stages().next().await, None);
}

#[tokio::test]
async fn an_unknown_name_costs_a_second_at_most_and_later_stages_still_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut discovery = with_cache(&directory.path().join("addresses.json"));
    discovery.remember(&["cached:3".to_owned()]).await.unwrap();
    discovery.dns = unknown_name();
    let start = Instant::now();
    let found = discovery.find().await;
    // One second is the promise; the rest is for a machine that is busy with other tests.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(addresses(&found, Source::Cache), ["cached:3"]);
}

#[tokio::test]
async fn the_cache_keeps_the_first_64_addresses_and_replaces_older_ones() {
    let directory = tempfile::tempdir().unwrap();
    let discovery = with_cache(&directory.path().join("addresses.json"));
    discovery.remember(&["old:1".to_owned()]).await.unwrap();
    let many: Vec<String> = (1..=100).map(|number| format!("host-{number}:8000")).collect();
    discovery.remember(&many).await.unwrap();
    let found = discovery.find().await;
    assert_eq!(addresses(&found, Source::Cache), many[..64]);
    discovery.remember(&[]).await.unwrap();
    assert_eq!(discovery.find().await.len(), 64, "remembering nothing must forget nothing");
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(names.len(), 1, "a temporary file was left behind: {names:?}");
}

#[tokio::test]
async fn a_damaged_cache_is_an_empty_one_and_is_mended_by_the_next_remembering() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("addresses.json");
    let discovery = with_cache(&file);
    discovery.remember(&["good:1".to_owned()]).await.unwrap();
    let good = fs::read(&file).unwrap();
    for length in 0..good.len() {
        fs::write(&file, &good[..length]).unwrap();
        assert_eq!(discovery.find().await, [], "cut after {length} bytes");
    }
    for position in 0..good.len() {
        let mut damaged = good.clone();
        damaged[position] ^= 0x80;
        fs::write(&file, &damaged).unwrap();
        assert_eq!(discovery.find().await, [], "byte {position} damaged");
    }
    fs::write(&file, br#"{"version":2,"addresses":["good:1"]}"#).unwrap();
    assert_eq!(discovery.find().await, []);
    fs::write(&file, br#"{"version":1,"addresses":["bad","x y:1","good:1","h:0"]}"#).unwrap();
    assert_eq!(addresses(&discovery.find().await, Source::Cache), ["good:1"]);
    fs::write(&file, vec![b'['; 1 << 20]).unwrap();
    assert_eq!(discovery.find().await, []);
    discovery.remember(&["mended:1".to_owned()]).await.unwrap();
    assert_eq!(addresses(&discovery.find().await, Source::Cache), ["mended:1"]);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_reported_and_keeps_what_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let missing = with_cache(&directory.path().join("missing").join("addresses.json"));
    let outcome = missing.remember(&["good:1".to_owned()]).await;
    assert!(matches!(outcome, Err(DiscoveryError::Cache { .. })), "{outcome:?}");

    let discovery = with_cache(&directory.path().join("addresses.json"));
    discovery.remember(&["good:1".to_owned()]).await.unwrap();
    let outcome = discovery.remember(&["better:1".to_owned(), "no port".to_owned()]).await;
    assert!(matches!(outcome, Err(DiscoveryError::Address { .. })), "{outcome:?}");
    assert_eq!(addresses(&discovery.find().await, Source::Cache), ["good:1"]);
}

#[test]
fn settings_that_cannot_work_are_refused_before_the_search() {
    let no_port = Discovery::fixed(["manager"]);
    assert!(matches!(no_port.validate(), Err(DiscoveryError::Address { .. })));
    let dns = Some(DnsAlias { name: "two words".to_owned(), port: 1 });
    assert!(Discovery { dns, ..Discovery::default() }.validate().is_err());
    let dns = Some(DnsAlias { name: DnsAlias::DEFAULT_NAME.to_owned(), port: 0 });
    assert!(Discovery { dns, ..Discovery::default() }.validate().is_err());
    Discovery::fixed(["manager:8000", "[::1]:8000"]).validate().unwrap();
}
