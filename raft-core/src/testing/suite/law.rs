//! The laws by name.

use std::fmt;

use thiserror::Error;

/// What a state machine has to guarantee; see
/// [`OnDiskStateMachine`](crate::OnDiskStateMachine).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Law {
    /// A machine in an empty directory has no records.
    FreshIsEmpty,
    /// `apply` returns one reply for each entry, and asks for the records with these replies.
    OneReplyPerEntry,
    /// The same entries leave the same state and give the same replies on every machine, whatever
    /// its hash seeds, its clock and its directory.
    Determinism,
    /// Records that are named change as they are told, the others stay.
    Records,
    /// It does not matter how entries are divided into batches.
    Batches,
    /// An image is of the state alone, and not of the records.
    ImageWithoutRecords,
    /// A machine that is opened again contains exactly the entries its records tell of; or it is
    /// empty, and has none.
    Reopening,
    /// An image is of the moment it was captured at, whatever is applied while it is written.
    ImageOfOneMoment,
    /// An image that cannot be written is an error, and one that is given up leaves no trace.
    ImageGivenUp,
    /// What is restored from an image writes the same image again.
    RoundTrip,
    /// A machine that was restored goes on as the one that wrote the image.
    ApplyAfterRestore,
    /// Restoring leaves nothing of the state and the records before.
    RestoreReplaces,
    /// Restoring from what cannot be read is an error, and leaves the old state with the old
    /// records, or no records.
    FailedRestore,
    /// A reset leaves nothing of the state and the records.
    Reset,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Law::FreshIsEmpty => "a machine in an empty directory has no records",
            Law::OneReplyPerEntry => {
                "each entry has one reply, with which the records are asked for"
            }
            Law::Determinism => "the same entries have the same effect on every machine",
            Law::Batches => "it does not matter how entries are divided into batches",
            Law::Records => "records change as they are told and stay otherwise",
            Law::ImageWithoutRecords => "an image does not depend on the records",
            Law::Reopening => "records tell which entries a machine opened again contains",
            Law::ImageOfOneMoment => "an image is of the moment it was captured at",
            Law::ImageGivenUp => "an image that fails is an error and leaves no trace",
            Law::RoundTrip => "what is restored from an image writes the same image",
            Law::ApplyAfterRestore => "a restored machine goes on as the one that wrote the image",
            Law::RestoreReplaces => "restoring leaves nothing of what was before",
            Law::FailedRestore => "a restore that fails leaves the old state or no records",
            Law::Reset => "a reset leaves nothing",
        })
    }
}

/// A law that a state machine breaks. `Debug` shows what `Display` does, for `unwrap` in a test.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("broken law: {law} ({law:?}): {what}; to repeat: RAFT_TEST_SEED={seed}")]
pub struct BrokenLaw {
    /// Which.
    pub law: Law,
    /// How it came out.
    pub what: String,
    /// What the commands followed from.
    pub seed: u64,
}

impl fmt::Debug for BrokenLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
