//! Laws of restoring and resetting.

use crate::testing::suite::batch::Held;
use crate::testing::suite::bench::{
    Bench, Failing, Seen, Subject, same, same_images, same_records, same_replies, write,
};

/// The records a restored machine is given.
fn new_records() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    vec![
        (b"position".to_vec(), Some(b"restored".to_vec())),
        (b"record/a".to_vec(), Some(vec![0, 255])),
        // Removes nothing.
        (b"record/b".to_vec(), None),
    ]
}

fn new_records_held() -> Held {
    let set = new_records().into_iter().filter_map(|(key, value)| Some((key, value?)));
    set.collect()
}

/// A machine that has applied the first `count` batches, and its image as it is sent.
fn sender(bench: &mut Bench<'_>, count: usize) -> Result<(Subject, Vec<u8>), String> {
    let mut subject = bench.fresh()?;
    for batch in &bench.batches[..count] {
        subject.apply(batch)?;
    }
    let image = write(subject.capture()?)?;
    Ok((subject, image))
}

fn cuts(bench: &Bench<'_>) -> [usize; 3] {
    let count = bench.batches.len();
    [0, count / 2, count]
}

pub(super) fn round_trip(bench: &mut Bench<'_>) -> Result<(), String> {
    for cut in cuts(bench) {
        let (mut original, image) = sender(bench, cut)?;
        let image_seen = bench.see(&mut original)?.image;
        let expected = Seen { image: image_seen, records: new_records_held() };
        let mut restored = bench.fresh()?;
        restored.restore(&image, &new_records())?;
        let what = format!("restored after {cut} batches");
        same(&what, &expected, &bench.see(&mut restored)?)?;
        bench.reopen(&mut restored);
        if !restored.records()?.is_empty() {
            same(&format!("{what} and opened again"), &expected, &bench.see(&mut restored)?)?;
        }
    }
    Ok(())
}

pub(super) fn apply_after_restore(bench: &mut Bench<'_>) -> Result<(), String> {
    for cut in cuts(bench) {
        let (mut original, image) = sender(bench, cut)?;
        let mut restored = bench.fresh()?;
        restored.restore(&image, &new_records())?;
        let what = format!("restored after {cut} batches, and gone on");
        for batch in &bench.batches[cut..] {
            same_replies(&what, &original.apply(batch)?, &restored.apply(batch)?)?;
        }
        let expected = bench.see(&mut original)?;
        same_images(&what, &expected.image, &bench.see(&mut restored)?.image)?;
    }
    Ok(())
}

pub(super) fn replaces(bench: &mut Bench<'_>) -> Result<(), String> {
    let count = bench.batches.len();
    for (had, given) in [(count, 0), (count, count / 3), (count / 3, count), (count, count)] {
        let (mut original, image) = sender(bench, given)?;
        let expected = Seen { image: bench.see(&mut original)?.image, records: new_records_held() };
        let (mut subject, _) = sender(bench, had)?;
        subject.restore(&image, &new_records())?;
        let what = format!("restored to {given} batches after {had}");
        same(&what, &expected, &bench.see(&mut subject)?)?;
        for batch in &bench.batches[given..] {
            same_replies(&what, &original.apply(batch)?, &subject.apply(batch)?)?;
        }
    }
    Ok(())
}

pub(super) fn failed(bench: &mut Bench<'_>) -> Result<(), String> {
    let count = bench.batches.len();
    let (mut original, image) = sender(bench, count)?;
    let whole = Seen { image: bench.see(&mut original)?.image, records: new_records_held() };
    let had = count / 3;
    let expected = bench.seen_after(had)?;
    for readable in [0, image.len() / 3, image.len() / 2] {
        if image.is_empty() {
            break;
        }
        let (mut subject, _) = sender(bench, had)?;
        let failed = subject.restore_from(&mut Failing(&image[..readable]), &new_records());
        if failed.is_ok() {
            return Err(format!(
                "it succeeded although only {readable} of {} bytes could be read",
                image.len()
            ));
        }
        bench.reopen(&mut subject);
        let what = format!("opened again after reading failed at byte {readable}");
        if !subject.records()?.is_empty() {
            same(&what, &expected, &bench.see(&mut subject)?)?;
        }
        subject.reset()?;
        subject.restore(&image, &new_records())?;
        same(&format!("{what}, reset and restored"), &whole, &bench.see(&mut subject)?)?;
    }
    Ok(())
}

pub(super) fn reset(bench: &mut Bench<'_>) -> Result<(), String> {
    let empty = bench.seen_after(0)?;
    let mut steady = bench.fresh()?;
    let (mut subject, _) = sender(bench, bench.batches.len())?;
    subject.reset()?;
    same("reset", &empty, &bench.see(&mut subject)?)?;
    bench.reopen(&mut subject);
    same_records("reset and opened again", &empty.records, &subject.records()?)?;
    same("reset and opened again", &empty, &bench.see(&mut subject)?)?;
    for batch in &bench.batches {
        same_replies("after a reset", &steady.apply(batch)?, &subject.apply(batch)?)?;
    }
    let expected = bench.see(&mut steady)?;
    same("after a reset", &expected, &bench.see(&mut subject)?)
}
