use bytes::Bytes;
use raft_core::testing::{BrokenLaw, Law, MachineSuite, Random};

use super::shelf::{Flaw, Shelf};

/// Few keys, so that commands meet.
fn command(random: &mut Random) -> Bytes {
    match random.below(4) {
        0 => format!("key {}", random.below(6)).into(),
        _ => format!("key {}={}", random.below(6), random.below(1000)).into(),
    }
}

fn checked(flaw: Flaw) -> Result<(), BrokenLaw> {
    MachineSuite::new(move |directory| Shelf::open(directory, flaw), command).check()
}

fn breaks(flaw: Flaw, law: Law) {
    let broken = checked(flaw).unwrap_err();
    assert_eq!(broken.law, law, "{flaw:?} is taken for another flaw: {broken}");
    let told = broken.to_string();
    assert!(told.contains(&law.to_string()) && told.contains(&broken.seed.to_string()), "{told}");
}

#[test]
fn a_machine_that_keeps_the_laws_passes() {
    checked(Flaw::None).unwrap();
}

#[test]
fn a_machine_that_keeps_nothing_over_a_restart_passes() {
    checked(Flaw::Volatile).unwrap();
}

#[test]
fn a_fresh_machine_with_records_is_found() {
    breaks(Flaw::BornWithRecords, Law::FreshIsEmpty);
}

#[test]
fn replies_that_are_missing_or_kept_from_the_records_are_found() {
    breaks(Flaw::SwallowsReply, Law::OneReplyPerEntry);
    breaks(Flaw::HidesReplies, Law::OneReplyPerEntry);
}

#[test]
fn whatever_differs_from_machine_to_machine_is_found() {
    breaks(Flaw::RepliesInHashOrder, Law::Determinism);
    breaks(Flaw::CountsInstances, Law::Determinism);
}

#[test]
fn a_reply_that_depends_on_the_batch_is_found() {
    breaks(Flaw::RepliesByBatch, Law::Batches);
}

#[test]
fn records_that_stay_or_go_against_what_was_told_are_found() {
    breaks(Flaw::NeverRemovesRecords, Law::Records);
    breaks(Flaw::ForgetsOtherRecords, Law::Records);
}

#[test]
fn records_in_an_image_are_found() {
    breaks(Flaw::RecordsInImage, Law::ImageWithoutRecords);
}

#[test]
fn state_and_records_that_are_not_saved_together_are_found() {
    breaks(Flaw::SavesRecordsBeforeState, Law::Reopening);
    breaks(Flaw::SavesStateBeforeRecords, Law::Reopening);
    breaks(Flaw::ForgetsRecordsAtRestart, Law::Reopening);
}

#[test]
fn an_image_of_another_moment_is_found() {
    breaks(Flaw::ImageOfLater, Law::ImageOfOneMoment);
}

#[test]
fn an_image_that_fails_in_silence_or_spoils_the_state_is_found() {
    breaks(Flaw::ImageNeverFails, Law::ImageGivenUp);
    breaks(Flaw::ImageThatFailsSpoils, Law::ImageGivenUp);
}

#[test]
fn an_image_without_part_of_the_state_is_found() {
    breaks(Flaw::ForgetsHowMany, Law::RoundTrip);
    breaks(Flaw::HidesHowMany, Law::ApplyAfterRestore);
}

#[test]
fn what_a_restore_leaves_of_the_old_state_is_found() {
    breaks(Flaw::RestoreMerges, Law::RestoreReplaces);
    breaks(Flaw::RestoreKeepsRecords, Law::RestoreReplaces);
}

#[test]
fn a_restore_that_fails_in_silence_or_half_way_is_found() {
    breaks(Flaw::RestoreSwallowsErrors, Law::FailedRestore);
    breaks(Flaw::RestoreClearsFirst, Law::FailedRestore);
}

#[test]
fn what_a_reset_leaves_is_found() {
    breaks(Flaw::ResetKeepsRecords, Law::Reset);
    breaks(Flaw::ResetIsForgotten, Law::Reset);
    breaks(Flaw::ResetKeepsHowMany, Law::Reset);
}
