//! The laws, in the order in which they are tried: each relies on those before it.

mod applying;
mod images;
mod restoring;

use crate::testing::suite::bench::Bench;
use crate::testing::suite::law::Law;

/// Tries one law; fails with what came out otherwise than it should.
pub(super) type Check = fn(&mut Bench<'_>) -> Result<(), String>;

/// All laws.
pub(super) fn laws() -> [(Law, Check); 14] {
    [
        (Law::FreshIsEmpty, applying::fresh_is_empty),
        (Law::OneReplyPerEntry, applying::one_reply_per_entry),
        (Law::Determinism, applying::determinism),
        (Law::Records, applying::records),
        (Law::Batches, applying::batches),
        (Law::ImageWithoutRecords, images::without_records),
        (Law::Reopening, applying::reopening),
        (Law::ImageOfOneMoment, images::of_one_moment),
        (Law::ImageGivenUp, images::given_up),
        (Law::RoundTrip, restoring::round_trip),
        (Law::ApplyAfterRestore, restoring::apply_after_restore),
        (Law::RestoreReplaces, restoring::replaces),
        (Law::FailedRestore, restoring::failed),
        (Law::Reset, restoring::reset),
    ]
}
