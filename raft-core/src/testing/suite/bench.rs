//! Where machines are made, and what is done to them there; every failure says what was done.

use std::cell::RefCell;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use crate::disk::sim::random::Random;
use crate::state_machine::{Image, OnDiskStateMachine, Records};
use crate::testing::suite::batch::{Batch, Held};

/// Makes a machine from what is in a directory.
pub(super) type Open = Box<dyn FnMut(&Path) -> Box<dyn OnDiskStateMachine>>;

/// Makes images comparable.
pub(super) type Canonical = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Machines, and what they are given.
pub(super) struct Bench<'a> {
    open: &'a mut Open,
    canonical: &'a Canonical,
    root: TempDir,
    made: u64,
    pub(super) batches: Vec<Batch>,
    pub(super) random: Random,
}

/// A machine in its directory.
pub(super) struct Subject {
    machine: Option<Box<dyn OnDiskStateMachine>>,
    directory: PathBuf,
}

/// What can be seen of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) image: Vec<u8>,
    pub(super) records: Held,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        open: &'a mut Open,
        canonical: &'a Canonical,
        batches: Vec<Batch>,
        random: Random,
    ) -> Result<Bench<'a>, String> {
        let root = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
        Ok(Bench { open, canonical, root, made: 0, batches, random })
    }

    /// A machine in an empty directory.
    pub(super) fn fresh(&mut self) -> Result<Subject, String> {
        self.made += 1;
        let directory = self.root.path().join(self.made.to_string());
        std::fs::create_dir(&directory).map_err(|error| format!("no directory: {error}"))?;
        let machine = Some((self.open)(&directory));
        Ok(Subject { machine, directory })
    }

    /// Drops a machine and opens its directory again.
    pub(super) fn reopen(&mut self, subject: &mut Subject) {
        subject.machine = None;
        subject.machine = Some((self.open)(&subject.directory));
    }

    /// All that can be seen of a machine.
    pub(super) fn see(&self, subject: &mut Subject) -> Result<Seen, String> {
        let image = write(subject.capture()?)?;
        Ok(Seen { image: self.comparable(&image), records: subject.records()? })
    }

    /// An image as it is compared.
    pub(super) fn comparable(&self, image: &[u8]) -> Vec<u8> {
        (self.canonical)(image)
    }

    /// What a machine shows that has applied the first `count` batches.
    pub(super) fn seen_after(&mut self, count: usize) -> Result<Seen, String> {
        let mut subject = self.fresh()?;
        for batch in &self.batches.clone()[..count] {
            subject.apply(batch)?;
        }
        self.see(&mut subject)
    }
}

impl Subject {
    pub(super) fn apply(&mut self, batch: &Batch) -> Result<Vec<Bytes>, String> {
        let first = batch.entries.first().map_or_else(String::new, |e| format!(" {}", e.position));
        let count = batch.entries.len();
        let told = RefCell::new(None);
        let records = |replies: &[Bytes]| {
            told.replace(Some(replies.to_vec()));
            batch.records.clone()
        };
        let replies = self
            .machine()?
            .apply(&batch.entries, &records)
            .map_err(|error| format!("applying {count} entries from{first} failed: {error}"))?;
        if replies.len() != count {
            return Err(format!("{} replies to {count} entries from{first}", replies.len()));
        }
        if told.take().is_none_or(|told| told != replies) {
            return Err(format!("the records of {count} entries from{first} were not asked for"));
        }
        Ok(replies)
    }

    pub(super) fn capture(&mut self) -> Result<Image, String> {
        self.machine()?.snapshot().map_err(|error| format!("capturing an image failed: {error}"))
    }

    pub(super) fn records(&mut self) -> Result<Held, String> {
        let records = self
            .machine()?
            .records()
            .map_err(|error| format!("reading the records failed: {error}"))?;
        let count = records.len();
        let held: Held = records.into_iter().collect();
        match held.len() == count {
            true => Ok(held),
            false => Err("one record was returned twice".into()),
        }
    }

    pub(super) fn restore(&mut self, image: &[u8], records: &Records) -> Result<(), String> {
        self.restore_from(&mut &*image, records)
            .map_err(|error| format!("restoring {} bytes failed: {error}", image.len()))
    }

    pub(super) fn restore_from(
        &mut self,
        from: &mut dyn Read,
        records: &Records,
    ) -> Result<(), String> {
        self.machine()?.restore(from, records).map_err(|error| error.to_string())
    }

    pub(super) fn reset(&mut self) -> Result<(), String> {
        self.machine()?.reset().map_err(|error| format!("resetting failed: {error}"))
    }

    fn machine(&mut self) -> Result<&mut dyn OnDiskStateMachine, String> {
        let machine = self.machine.as_mut().map(|machine| &mut **machine as _);
        machine.ok_or_else(|| "the machine was not opened again".into())
    }
}

/// Writes an image out.
pub(super) fn write(image: Image) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    image(&mut bytes).map_err(|error| format!("writing an image failed: {error}"))?;
    Ok(bytes)
}

/// Compares what two machines show.
pub(super) fn same(what: &str, expected: &Seen, found: &Seen) -> Result<(), String> {
    same_records(what, &expected.records, &found.records)?;
    same_images(what, &expected.image, &found.image)
}

pub(super) fn same_images(what: &str, expected: &[u8], found: &[u8]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let at = expected.iter().zip(found).take_while(|(one, other)| one == other).count();
    Err(format!(
        "{what}: an image of {} bytes and one of {} differ from byte {at}: {} and {}",
        expected.len(),
        found.len(),
        excerpt(expected, at),
        excerpt(found, at)
    ))
}

pub(super) fn same_records(what: &str, expected: &Held, found: &Held) -> Result<(), String> {
    let keys = expected.keys().chain(found.keys());
    for key in keys {
        let (one, other) = (expected.get(key), found.get(key));
        if one != other {
            let show = |value: Option<&Vec<u8>>| value.map_or("nothing".into(), hex::encode);
            let name = String::from_utf8_lossy(key);
            return Err(format!("{what}: record {name:?} is {}, not {}", show(other), show(one)));
        }
    }
    Ok(())
}

pub(super) fn same_replies(what: &str, expected: &[Bytes], found: &[Bytes]) -> Result<(), String> {
    let mut pairs = expected.iter().zip(found).enumerate();
    match pairs.find(|(_, (one, other))| one != other) {
        Some((at, (one, other))) => {
            Err(format!("{what}: the replies to command {at} are {one:?} and {other:?}"))
        }
        None if expected.len() != found.len() => Err(format!("{what}: replies are missing")),
        None => Ok(()),
    }
}

/// Some bytes around a place, as text where they are.
fn excerpt(bytes: &[u8], at: usize) -> String {
    let part = &bytes[at.saturating_sub(16).min(bytes.len())..bytes.len().min(at + 16)];
    format!("\"{}\"", part.escape_ascii())
}

/// A source that fails after some bytes.
pub(super) struct Failing<'a>(pub(super) &'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to) {
            Ok(0) if !to.is_empty() => Err(io::Error::other("the source fails, as it was told to")),
            read => read,
        }
    }
}

/// A sink that fails after so many bytes.
pub(super) struct Full(pub(super) usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => {
                self.0 = left;
                Ok(bytes.len())
            }
            None => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
