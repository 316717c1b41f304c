//! What makes a change of the members impossible, whoever asks for it.

use crate::config::MEMBERS_MAX;
use crate::member::NodeId;
use crate::members::{ChangeError, MemberRecord, Members};

/// Refuses a newcomer that is none, was removed, or has what somebody else has.
pub(super) fn check_new(members: &Members, record: &MemberRecord) -> Result<(), ChangeError> {
    let id = record.member.id;
    if id == 0 {
        return Err(ChangeError::Unsuitable { id, why: "is no node: 0 is nobody's id" });
    }
    if members.removed.contains(&id) {
        return Err(ChangeError::Removed(id));
    }
    if members.get(id).is_some() {
        return Err(ChangeError::Taken { what: "id", by: id });
    }
    if members.iter().count() >= MEMBERS_MAX {
        return Err(ChangeError::Full { most: MEMBERS_MAX });
    }
    if record.member.address.is_empty() {
        return Err(ChangeError::Unsuitable { id, why: "has no address" });
    }
    check_taken(members, record, None)
}

/// Refuses what another member has; `was` is what the member had before, and may keep though its
/// successor has it, too.
pub(super) fn check_taken(
    members: &Members,
    record: &MemberRecord,
    was: Option<&MemberRecord>,
) -> Result<(), ChangeError> {
    let (here, was) = (&record.member, was.map(|was| &was.member));
    for other in members.iter().map(|record| &record.member).filter(|other| other.id != here.id) {
        let taken = |what| Err(ChangeError::Taken { what, by: other.id });
        let keeps = was.is_some_and(|was| was.address == here.address);
        if !keeps && other.address == here.address {
            return taken("address");
        }
        let keeps = was.is_some_and(|was| was.name == here.name);
        if !keeps && !here.name.is_empty() && other.name == here.name {
            return taken("name");
        }
    }
    Ok(())
}

/// Refuses who is not a member, or was removed.
pub(super) fn check_member(members: &Members, id: NodeId) -> Result<(), ChangeError> {
    if members.removed.contains(&id) {
        return Err(ChangeError::Removed(id));
    }
    match members.get(id) {
        Some(_) => Ok(()),
        None => Err(ChangeError::Unsuitable { id, why: "is not a member" }),
    }
}

/// Refuses who is not a learner.
pub(super) fn check_learner(members: &Members, id: NodeId) -> Result<(), ChangeError> {
    check_member(members, id)?;
    match members.is_voter(id) {
        true => Err(ChangeError::Unsuitable { id, why: "has a vote already" }),
        false => Ok(()),
    }
}
