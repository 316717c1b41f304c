//! Laws of images.

use std::io::{self, Write};
use std::thread;

use crate::testing::suite::batch::Batch;
use crate::testing::suite::bench::{Bench, Full, same, same_images, write};

pub(super) fn without_records(bench: &mut Bench<'_>) -> Result<(), String> {
    let expected = bench.seen_after(bench.batches.len())?;
    let mut other = bench.fresh()?;
    for batch in &bench.batches {
        let records = vec![(b"of another kind".to_vec(), Some(vec![7; batch.entries.len()]))];
        other.apply(&Batch { entries: batch.entries.clone(), records })?;
    }
    let found = bench.see(&mut other)?;
    same_images("the same entries with other records", &expected.image, &found.image)
}

pub(super) fn of_one_moment(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = bench.batches.clone();
    let end = bench.seen_after(all.len())?;
    for cut in cuts(bench) {
        let expected = bench.seen_after(cut)?;
        let what = format!("captured after {cut} of {} batches", all.len());
        // Written when everything else is applied, and written meanwhile.
        for meanwhile in [false, true] {
            let mut subject = bench.fresh()?;
            for batch in &all[..cut] {
                subject.apply(batch)?;
            }
            let image = subject.capture()?;
            let mut writer = None;
            let mut waiting = Some(image);
            if meanwhile {
                let image = waiting.take().ok_or("no image")?;
                writer = Some(thread::spawn(move || {
                    let mut bytes = Slow(Vec::new());
                    image(&mut bytes).map(|()| bytes.0).map_err(|error| error.to_string())
                }));
            }
            for batch in &all[cut..] {
                subject.apply(batch)?;
            }
            let bytes = match (writer, waiting) {
                (Some(writer), _) => writer.join().map_err(|_| "writing an image panicked")??,
                (None, Some(image)) => write(image)?,
                (None, None) => Vec::new(),
            };
            let when = if meanwhile { "written meanwhile" } else { "written later" };
            let found = bench.comparable(&bytes);
            same_images(&format!("{what}, {when}"), &expected.image, &found)?;
            same(
                &format!("applied while an image {what} was open"),
                &end,
                &bench.see(&mut subject)?,
            )?;
        }
    }
    Ok(())
}

pub(super) fn given_up(bench: &mut Bench<'_>) -> Result<(), String> {
    let all = bench.batches.clone();
    let end = bench.seen_after(all.len())?;
    for cut in cuts(bench) {
        let mut subject = bench.fresh()?;
        for batch in &all[..cut] {
            subject.apply(batch)?;
        }
        drop(subject.capture()?);
        let length = write(subject.capture()?)?.len();
        let image = subject.capture()?;
        let mut rest = all[cut..].iter();
        if let Some(batch) = rest.next() {
            subject.apply(batch)?;
        }
        if image(&mut Full(length / 2)).is_ok() && length > 0 {
            return Err(format!("{length} bytes were written where {} fit", length / 2));
        }
        for batch in rest {
            subject.apply(batch)?;
        }
        let found = bench.see(&mut subject)?;
        same("after images were given up", &end, &found)?;
    }
    Ok(())
}

/// The beginning, the end, and some places between.
fn cuts(bench: &mut Bench<'_>) -> Vec<usize> {
    let count = bench.batches.len();
    let mut cuts = vec![0, count];
    cuts.extend((0..3).map(|_| bench.random.below(count as u64) as usize));
    cuts
}

/// Lets others run between its bytes.
struct Slow(Vec<u8>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        thread::yield_now();
        let some = bytes.len().min(64);
        self.0.extend_from_slice(&bytes[..some]);
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
