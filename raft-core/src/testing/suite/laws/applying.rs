//! Laws of entries and records.

use std::collections::BTreeMap;

use crate::testing::suite::batch::{Batch, Held};
use crate::testing::suite::bench::{Bench, same, same_images, same_records, same_replies};

/// Machines that are given the same entries, each with hash seeds of its own.
const REPLICAS: usize = 3;

pub(super) fn fresh_is_empty(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut subject = bench.fresh()?;
    same_records("fresh", &Held::new(), &subject.records()?)?;
    bench.reopen(&mut subject);
    same_records("fresh and opened again", &Held::new(), &subject.records()?)
}

/// `apply` of a [`Subject`](super::super::bench::Subject) counts the replies.
pub(super) fn one_reply_per_entry(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut subject = bench.fresh()?;
    subject.apply(&Batch { entries: Vec::new(), records: Vec::new() })?;
    for batch in &bench.batches {
        subject.apply(batch)?;
    }
    Ok(())
}

pub(super) fn determinism(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(bench.fresh()?);
    }
    for batch in &bench.batches {
        let mut first = None;
        for replica in &mut replicas {
            let replies = replica.apply(batch)?;
            let seen = bench.see(replica)?;
            let what = "two machines that applied the same";
            let (expected, shown) = first.get_or_insert_with(|| (replies.clone(), seen.clone()));
            same_replies(what, expected, &replies)?;
            same(what, shown, &seen)?;
        }
    }
    Ok(())
}

pub(super) fn records(bench: &mut Bench<'_>) -> Result<(), String> {
    let mut subject = bench.fresh()?;
    let mut expected = Held::new();
    for batch in &bench.batches {
        subject.apply(batch)?;
        batch.change(&mut expected);
        same_records("after a batch", &expected, &subject.records()?)?;
    }
    let everything = Batch {
        entries: Vec::new(),
        records: expected.keys().map(|key| (key.clone(), None)).collect(),
    };
    subject.apply(&everything)?;
    same_records("after all were removed", &Held::new(), &subject.records()?)
}

pub(super) fn batches(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = bench.batches.clone();
    let one_by_one: Vec<Batch> = all.iter().flat_map(singly).collect();
    let (mut expected, mut shown) = (None, None);
    for division in [all.clone(), one_by_one, vec![together(&all)]] {
        let mut subject = bench.fresh()?;
        let mut replies = Vec::new();
        for batch in &division {
            replies.extend(subject.apply(batch)?);
        }
        let seen = bench.see(&mut subject)?;
        let what = format!("the same entries in {} batches", division.len());
        same_replies(&what, expected.get_or_insert_with(|| replies.clone()), &replies)?;
        same(&what, shown.get_or_insert_with(|| seen.clone()), &seen)?;
    }
    Ok(())
}

/// A batch for each entry; the last one changes the records.
fn singly(batch: &Batch) -> Vec<Batch> {
    let mut parts: Vec<Batch> = batch
        .entries
        .iter()
        .map(|entry| Batch { entries: vec![entry.clone()], records: Vec::new() })
        .collect();
    match parts.last_mut() {
        Some(last) => last.records = batch.records.clone(),
        None => parts.push(batch.clone()),
    }
    parts
}

fn together(batches: &[Batch]) -> Batch {
    let mut records = BTreeMap::new();
    for (key, value) in batches.iter().flat_map(|batch| &batch.records) {
        records.insert(key.clone(), value.clone());
    }
    let entries = batches.iter().flat_map(|batch| batch.entries.clone()).collect();
    Batch { entries, records: records.into_iter().collect() }
}

pub(super) fn reopening(bench: &mut Bench<'_>) -> Result<(), String> {
    let empty = bench.seen_after(0)?;
    let mut steady = bench.fresh()?;
    let mut subject = bench.fresh()?;
    let batches = bench.batches.clone();
    for (count, batch) in batches.iter().enumerate() {
        let expected = steady.apply(batch)?;
        let replies = subject.apply(batch)?;
        let what = format!("opened again after batch {count}");
        same_replies(&what, &expected, &replies)?;
        bench.reopen(&mut subject);
        if subject.records()?.is_empty() {
            // Its state does not survive: then nothing of it may.
            let seen = bench.see(&mut subject)?;
            same_images("opened again, without records", &empty.image, &seen.image)?;
            // The first batches may have left no trace, so that one look would say little.
            for batch in batches.iter().take(count + 1) {
                subject.apply(batch)?;
            }
        }
        let expected = bench.see(&mut steady)?;
        same(&what, &expected, &bench.see(&mut subject)?)?;
    }
    Ok(())
}
