//! The membership: what openraft knows of it, and how it is changed.
//!
//! openraft changes voters in two steps (Raft paper §6): an entry with the old and the new set,
//! then one with the new set alone. We choose the change, compare it with what is committed, and
//! let openraft write it only if nothing else was written meanwhile.

mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::engine::applier::Raft;
use crate::engine::members::checks::{check_learner, check_member, check_new, check_taken};
use crate::engine::observe::{Seen, Watched};
use crate::engine::types::{LogId, Place, StoredMembership, TypeConfig, position};
use crate::engine::versions::{Entering, Reader, Versions};
use crate::error::StopReason;
use crate::member::{Member, NodeId};
use crate::members::{Change, ChangeError, MemberRecord, Members};
use crate::position::Position;

type Changes = ChangeMembers<NodeId, Place>;

type WriteError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

/// Whose turn it is to change the members.
///
/// - One change at a time is under way here; openraft refuses a second one, too.
/// - An operator's change does not wait for another one, but does for what the node itself notes
///   about members, which takes one entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// The membership entry written last; held while one is being written.
    writing: Arc<Mutex<Option<LogId>>>,
    asked: Arc<AtomicBool>,
    /// The command versions that changes must respect.
    pub(super) versions: Versions,
}

/// Held by the one change that was asked for.
struct Asked(Arc<AtomicBool>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Turn {
    fn ask(&self) -> Result<Asked, ChangeError> {
        match self.asked.swap(true, Ordering::AcqRel) {
            true => Err(ChangeError::Busy),
            false => Ok(Asked(Arc::clone(&self.asked))),
        }
    }

    /// Waits for what the node itself notes about members: one entry, which a majority commits long
    /// before any deadline if there is one.
    async fn write(
        &self,
        deadline: Instant,
    ) -> Result<OwnedMutexGuard<Option<LogId>>, ChangeError> {
        let writing = Arc::clone(&self.writing).lock_owned();
        timeout_at(deadline, writing).await.map_err(|_| ChangeError::NotNow)
    }
}

/// Changes the members. The change goes on when the caller does not wait for its end.
pub(crate) async fn change(
    raft: &Raft,
    watched: &Watched,
    turn: &Turn,
    change: Change,
    deadline: Instant,
) -> Result<Position, ChangeError> {
    let asked = match change {
        Change::Update(_) => None,
        _ => Some(turn.ask()?),
    };
    let writing = turn.write(deadline).await?;
    let before = committed(watched, *writing, deadline).await?;
    let members = members(&before);
    let changes = plan(&members, &change)?;
    let (newcomers, restated) = readers(&members, &change);
    let entering = turn.versions.enter(watched.version_applied(), &newcomers, &restated)?;
    let write = Write {
        raft: raft.clone(),
        watched: watched.clone(),
        writing,
        _entering: Some(entering),
        _asked: asked,
    };
    let written = tokio::spawn(write.run(*before.membership.log_id(), changes));
    match timeout_at(deadline, written).await {
        Ok(Ok(done)) => done,
        // A panic: nobody knows how far it came.
        Ok(Err(_)) | Err(_) => Err(ChangeError::Unknown),
    }
}

/// Ends a change that a former leader, or this one before it was restarted, left between its two
/// steps. False if there is none that could be ended now.
pub(crate) async fn finish(raft: &Raft, watched: &Watched, turn: &Turn) -> bool {
    let Ok(writing) = Arc::clone(&turn.writing).try_lock_owned() else { return false };
    let seen = watched.seen();
    if !seen.leads || seen.membership != seen.committed_membership || !is_joint(&seen.membership) {
        return false;
    }
    let write = Write {
        raft: raft.clone(),
        watched: watched.clone(),
        writing,
        // Both sets of voters are looked at already.
        _entering: None,
        _asked: None,
    };
    // Nothing is added: what is left to do is the second step.
    let nothing = ChangeMembers::AddVoterIds(BTreeSet::new());
    tokio::spawn(write.run(*seen.membership.log_id(), nothing)).await.is_ok_and(|done| done.is_ok())
}

/// The members as `seen`.
pub(crate) fn members(seen: &Seen) -> Members {
    let membership = seen.membership.membership();
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let (with_vote, without): (Vec<_>, Vec<_>) = membership
        .nodes()
        .map(|(id, place)| place.record(*id))
        .partition(|record| voters.contains(&record.member.id));
    Members {
        voters: with_vote,
        learners: without,
        removed: seen.removed.iter().copied().collect(),
        changing: is_joint(&seen.membership) || seen.membership != seen.committed_membership,
        position: seen.membership.log_id().map(position).unwrap_or_default(),
    }
}

/// Everybody who counts as a member: by the newest membership or by the last committed one, which
/// stays in force if the newest never is; and who was removed.
pub(crate) fn roll(seen: Seen) -> (Vec<MemberRecord>, Arc<BTreeSet<NodeId>>) {
    let mut roll = BTreeMap::new();
    for stored in [&seen.committed_membership, &seen.membership] {
        for (id, place) in stored.membership().nodes() {
            roll.insert(*id, place.record(*id));
        }
    }
    (roll.into_values().collect(), seen.removed)
}

fn is_joint(stored: &StoredMembership) -> bool {
    stored.membership().get_joint_config().len() > 1
}

/// What is committed and applied here as leader, as soon as it is: at first a leader may have the
/// newest membership uncommitted. `written` is an entry we know of, which openraft may not have
/// told of yet. Fails at once when a change is left between its steps: others end it.
async fn committed(
    watched: &Watched,
    written: Option<LogId>,
    deadline: Instant,
) -> Result<Seen, ChangeError> {
    let mut watched = watched.clone();
    loop {
        let seen = watched.seen();
        if !seen.leads {
            let leader = seen.leader.and_then(|id| member(&seen.membership, id));
            return Err(ChangeError::NotLeader { leader });
        }
        let newest = *seen.membership.log_id();
        if newest >= written && is_joint(&seen.membership) {
            return Err(ChangeError::Busy);
        }
        let is_committed = seen.membership == seen.committed_membership;
        // What former leaders left is applied together with the first entry of our own.
        let is_caught_up = watched.term_applied() == Some(seen.vote.leader_id.term);
        if newest >= written && is_committed && seen.removed_as_of >= newest && is_caught_up {
            return Ok(seen);
        }
        match timeout_at(deadline, watched.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(StopReason::Halted.into()),
            // No majority has committed what there is.
            Err(_) => return Err(ChangeError::NotNow),
        }
    }
}

/// Checks a change against the members it is made to, and says it in openraft's words.
fn plan(members: &Members, change: &Change) -> Result<Changes, ChangeError> {
    match change {
        Change::AddLearner(record) => {
            check_new(members, record)?;
            Ok(ChangeMembers::AddNodes(places([record])))
        }
        Change::AddSuccessor(record, former) => {
            check_member(members, *former)?;
            let mut others = members.clone();
            others.voters.retain(|other| other.member.id != *former);
            others.learners.retain(|other| other.member.id != *former);
            check_new(&others, record)?;
            Ok(ChangeMembers::AddNodes(places([record])))
        }
        Change::Promote(id) => {
            check_learner(members, *id)?;
            Ok(ChangeMembers::AddVoterIds(BTreeSet::from([*id])))
        }
        Change::Replace { old, new } => {
            check_learner(members, *new)?;
            check_member(members, *old)?;
            if old == new {
                return Err(ChangeError::Unsuitable { id: *old, why: "cannot replace itself" });
            }
            if !members.is_voter(*old) {
                return Ok(ChangeMembers::RemoveNodes(BTreeSet::from([*old])));
            }
            Ok(ChangeMembers::Batch(vec![
                ChangeMembers::RemoveVoters(BTreeSet::from([*old])),
                ChangeMembers::AddVoterIds(BTreeSet::from([*new])),
            ]))
        }
        Change::Remove(id) => {
            check_member(members, *id)?;
            if !members.is_voter(*id) {
                return Ok(ChangeMembers::RemoveNodes(BTreeSet::from([*id])));
            }
            if members.voters.len() == 1 {
                return Err(ChangeError::LastVoter);
            }
            Ok(ChangeMembers::RemoveVoters(BTreeSet::from([*id])))
        }
        Change::Update(records) => {
            let mut after = members.clone();
            for record in records {
                check_member(members, record.member.id)?;
                let all = after.voters.iter_mut().chain(&mut after.learners);
                all.filter(|other| other.member.id == record.member.id)
                    .for_each(|other| *other = record.clone());
            }
            for record in records {
                check_taken(&after, record, members.get(record.member.id))?;
            }
            Ok(ChangeMembers::SetNodes(places(records)))
        }
    }
}

/// Who is to vote or learn from now on, and of which voters something else is said, with what they
/// read. Of a learner that has said nothing it is asked when it is to vote.
fn readers(members: &Members, change: &Change) -> (Vec<Reader>, Vec<Reader>) {
    let reader =
        |record: &MemberRecord| Reader { id: record.member.id, readable: record.readable_version };
    let new = match change {
        Change::AddLearner(record) | Change::AddSuccessor(record, _) => {
            Some(record).filter(|record| record.readable_version > 0)
        }
        Change::Promote(id) => members.get(*id),
        Change::Replace { old, new } if members.is_voter(*old) => members.get(*new),
        Change::Replace { .. } | Change::Remove(_) => None,
        Change::Update(records) => {
            let voters = records.iter().filter(|record| members.is_voter(record.member.id));
            return (Vec::new(), voters.map(reader).collect());
        }
    };
    (new.map(reader).into_iter().collect(), Vec::new())
}

fn places<'a>(records: impl IntoIterator<Item = &'a MemberRecord>) -> BTreeMap<NodeId, Place> {
    records.into_iter().map(|record| (record.member.id, Place::from(record))).collect()
}

fn member(stored: &StoredMembership, id: NodeId) -> Option<Member> {
    stored.membership().get_node(&id).map(|place| place.member(id))
}

/// A change on its way into the log.
struct Write {
    raft: Raft,
    watched: Watched,
    writing: OwnedMutexGuard<Option<LogId>>,
    _entering: Option<Entering>,
    _asked: Option<Asked>,
}

impl Write {
    async fn run(mut self, was: Option<LogId>, changes: Changes) -> Result<Position, ChangeError> {
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: was };
        // Who loses its vote leaves: `false` keeps nobody as a learner.
        match self.raft.change_membership_if(changes, false, [unchanged]).await {
            Ok(written) => {
                *self.writing = Some(written.log_id);
                // From then on whoever proposes sees the new voters.
                while *self.watched.seen().membership.log_id() < Some(written.log_id) {
                    if self.watched.changed().await.is_err() {
                        break;
                    }
                }
                Ok(position(written.log_id))
            }
            Err(error) => Err(self.failure(was, error)),
        }
    }

    fn failure(&self, was: Option<LogId>, error: WriteError) -> ChangeError {
        let error = match error {
            RaftError::APIError(error) => error,
            // Perhaps others have the entry, and go on without this node.
            RaftError::Fatal(_) => return ChangeError::Unknown,
        };
        let seen = self.watched.seen();
        match error {
            ClientWriteError::ForwardToLeader(to) => {
                // The first step may be in the log: another leader then takes the second.
                if *seen.membership.log_id() != was {
                    return ChangeError::Unknown;
                }
                if seen.leads {
                    return ChangeError::NotNow;
                }
                let leader = to.leader_id.or(seen.leader);
                let leader = leader.and_then(|id| member(&seen.membership, id));
                ChangeError::NotLeader { leader }
            }
            ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
            ClientWriteError::PreconditionFailed(_) => ChangeError::Busy,
            ClientWriteError::ChangeMembershipError(error) => match error {
                ChangeMembershipError::EmptyMembership(_) => ChangeError::LastVoter,
                ChangeMembershipError::LearnerNotFound(lacking) => {
                    ChangeError::Unsuitable { id: lacking.node_id, why: "is not a member" }
                }
                _ => ChangeError::Busy,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MEMBERS_MAX;

    fn record(id: NodeId) -> MemberRecord {
        let (address, name) = (format!("m{id}:1"), format!("m-{id}"));
        let member = Member { id, address, name, ..Member::default() };
        MemberRecord { member, ..MemberRecord::default() }
    }

    /// Voters 1 to 3, learners 4 and 5, and 9 has left.
    fn five() -> Members {
        Members {
            voters: [1, 2, 3].map(record).to_vec(),
            learners: [4, 5].map(record).to_vec(),
            removed: vec![9],
            ..Members::default()
        }
    }

    fn refusal(change: Change) -> ChangeError {
        plan(&five(), &change).unwrap_err()
    }

    #[tokio::test]
    async fn a_note_that_no_majority_commits_is_no_other_change_under_way() {
        let turn = Turn::default();
        let noting = turn.write(Instant::now()).await.unwrap();
        let refused = turn.write(Instant::now()).await.unwrap_err();
        assert!(matches!(refused, ChangeError::NotNow), "{refused}");
        drop(noting);
        turn.write(Instant::now()).await.unwrap();
        let _asked = turn.ask().unwrap();
        assert!(matches!(turn.ask().err(), Some(ChangeError::Busy)));
    }

    #[test]
    fn a_change_that_contradicts_the_members_is_refused() {
        for id in [7, 9] {
            for change in [
                Change::Promote(id),
                Change::Remove(id),
                Change::Replace { old: id, new: 4 },
                Change::Replace { old: 1, new: id },
                Change::Update(vec![record(1), record(id)]),
            ] {
                let refused = refusal(change);
                match id {
                    9 => assert!(matches!(refused, ChangeError::Removed(9)), "{refused}"),
                    _ => assert!(matches!(refused, ChangeError::Unsuitable { id: 7, .. })),
                }
            }
        }
        let taken = |record| match refusal(Change::AddLearner(record)) {
            ChangeError::Taken { what, by } => (what, by),
            other => panic!("{other}"),
        };
        let with = |change: fn(&mut Member)| {
            let mut record = record(6);
            change(&mut record.member);
            record
        };
        assert_eq!(taken(record(4)), ("id", 4));
        assert_eq!(taken(with(|member| member.address = "m5:1".into())), ("address", 5));
        assert_eq!(taken(with(|member| member.name = "m-2".into())), ("name", 2));
        let removed = refusal(Change::AddLearner(record(9)));
        assert!(matches!(removed, ChangeError::Removed(9)), "{removed}");
        for change in [Change::Promote(1), Change::Replace { old: 1, new: 2 }] {
            assert!(matches!(refusal(change), ChangeError::Unsuitable { .. }));
        }
        assert!(matches!(
            refusal(Change::Replace { old: 4, new: 4 }),
            ChangeError::Unsuitable { .. }
        ));
    }

    #[test]
    fn a_full_cluster_takes_in_only_who_takes_anothers_place() {
        let most = MEMBERS_MAX as u64;
        let full = Members { learners: (4..=most).map(record).collect(), ..five() };
        let newcomer = record(most + 1);
        let refused = plan(&full, &Change::AddLearner(newcomer.clone())).unwrap_err();
        assert!(matches!(refused, ChangeError::Full { most: MEMBERS_MAX }), "{refused}");
        assert!(plan(&full, &Change::AddSuccessor(newcomer.clone(), 2)).is_ok());
        // One at a time.
        let over = Members { learners: (4..=most + 1).map(record).collect(), ..five() };
        let next = Change::AddSuccessor(record(most + 2), 2);
        let refused = plan(&over, &next).unwrap_err();
        assert!(matches!(refused, ChangeError::Full { .. }), "{refused}");
    }

    #[test]
    fn the_last_voter_stays() {
        let alone = Members { voters: vec![record(1)], ..five() };
        let refused = plan(&alone, &Change::Remove(1)).unwrap_err();
        assert!(matches!(refused, ChangeError::LastVoter), "{refused}");
        assert!(plan(&alone, &Change::Replace { old: 1, new: 4 }).is_ok());
    }

    #[test]
    fn members_may_exchange_addresses_in_one_update_but_not_share_one() {
        let moved = |id, address: &str| {
            let mut record = record(id);
            record.member.address = address.into();
            record
        };
        let swap = vec![moved(1, "m2:1"), moved(2, "m1:1")];
        assert!(plan(&five(), &Change::Update(swap)).is_ok());
        let share = refusal(Change::Update(vec![moved(1, "m2:1")]));
        assert!(matches!(share, ChangeError::Taken { what: "address", by: 2 }), "{share}");
    }

    #[test]
    fn a_replacement_is_one_change_that_leaves_as_many_voters() {
        let planned = plan(&five(), &Change::Replace { old: 1, new: 4 }).unwrap();
        let expected = ChangeMembers::Batch(vec![
            ChangeMembers::RemoveVoters(BTreeSet::from([1])),
            ChangeMembers::AddVoterIds(BTreeSet::from([4])),
        ]);
        assert_eq!(planned, expected);
        // Among learners nobody gains a vote.
        let planned = plan(&five(), &Change::Replace { old: 5, new: 4 }).unwrap();
        assert_eq!(planned, ChangeMembers::RemoveNodes(BTreeSet::from([5])));
    }
}
