//! What a leader does next to bring the members to what they should be.
//!
//! Pure: the members are what is, a few times are what happened, and the answer is the next single
//! change. Whoever leads computes the same from the same members, so that what one leader began
//! the next one finishes.

use std::time::Duration;

use crate::assembly::admission::namesakes;
use crate::member::NodeId;
use crate::members::{MemberRecord, Members};

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aims {
    /// Voters there should be.
    pub(crate) expect: usize,
    /// Time for which a learner must have kept up to be promoted.
    pub(crate) promote_after: Duration,
    /// Time for which a member must have been silent to be replaced.
    pub(crate) replace_after: Duration,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give `new` the place of `old`, its former self.
    Replace {
        /// Silent.
        old: NodeId,
        /// Caught up, under the same name.
        new: NodeId,
    },
    /// Give a learner a vote.
    Promote(NodeId),
}

/// The next step; `None` when there is nothing to do now. `silence` tells for how long a member has
/// not been heard of, `kept_up` for how long a learner has had all but the last entries.
pub(crate) fn next_step(
    members: &Members,
    aims: Aims,
    silence: impl Fn(NodeId) -> Duration,
    kept_up: impl Fn(NodeId) -> Option<Duration>,
) -> Option<Step> {
    if members.changing {
        // One change at a time; a half that was left is finished elsewhere (`node/upkeep.rs`).
        return None;
    }
    let ready = |learner: &&MemberRecord| kept_up(learner.member.id).is_some();
    let mut learners: Vec<&MemberRecord> = members.learners.iter().filter(ready).collect();
    learners.sort_by_key(|learner| (&learner.member.name, learner.member.id));
    for learner in &learners {
        if let Some(old) = former(members, learner)
            && silence(old) >= aims.replace_after
        {
            return Some(Step::Replace { old, new: learner.member.id });
        }
    }
    if members.voters.len() >= aims.expect {
        return None;
    }
    let stable = |id| kept_up(id).is_some_and(|kept_up| kept_up >= aims.promote_after);
    let newcomer = learners
        .into_iter()
        .find(|learner| former(members, learner).is_none() && stable(learner.member.id));
    newcomer.map(|learner| Step::Promote(learner.member.id))
}

/// The voter whose place a learner is to take: that of the same name.
pub(crate) fn former(members: &Members, learner: &MemberRecord) -> Option<NodeId> {
    let mut voters = namesakes(members, &learner.member.name)
        .map(|record| record.member.id)
        .filter(|id| *id != learner.member.id && members.is_voter(*id));
    voters.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;

    const AIMS: Aims = Aims {
        expect: 3,
        promote_after: Duration::from_secs(10),
        replace_after: Duration::from_secs(5),
    };

    fn record(id: NodeId, name: &str) -> MemberRecord {
        let member = Member { id, name: name.into(), ..Member::default() };
        MemberRecord { member, ..MemberRecord::default() }
    }

    fn members(voters: &[(NodeId, &str)], learners: &[(NodeId, &str)]) -> Members {
        let records =
            |of: &[(NodeId, &str)]| of.iter().map(|(id, name)| record(*id, name)).collect();
        Members { voters: records(voters), learners: records(learners), ..Members::default() }
    }

    /// The next step when these are silent, and these have kept up, for so many seconds.
    fn step(
        members: &Members,
        silent: &[(NodeId, u64)],
        kept_up: &[(NodeId, u64)],
    ) -> Option<Step> {
        let find = |list: &[(NodeId, u64)], wanted| {
            let found = list.iter().find(|(id, _)| *id == wanted);
            found.map(|(_, seconds)| Duration::from_secs(*seconds))
        };
        let silence = |id| find(silent, id).unwrap_or_default();
        next_step(members, AIMS, silence, |id| find(kept_up, id))
    }

    #[test]
    fn a_newcomer_is_promoted_after_stable_catch_up_while_voters_are_missing() {
        let two = members(&[(1, "a"), (2, "b")], &[(3, "c")]);
        assert_eq!(step(&two, &[], &[]), None);
        assert_eq!(step(&two, &[], &[(3, 9)]), None);
        assert_eq!(step(&two, &[], &[(3, 10)]), Some(Step::Promote(3)));
    }

    #[test]
    fn beyond_the_expected_size_a_newcomer_stays_a_standby() {
        let four = members(&[(1, "a"), (2, "b"), (3, "c")], &[(4, "d")]);
        assert_eq!(step(&four, &[(3, 1000)], &[(4, 1000)]), None);
    }

    #[test]
    fn a_wiped_node_replaces_its_former_self_once_it_has_caught_up_and_that_is_silent() {
        let wiped = members(&[(1, "a"), (2, "b"), (3, "c")], &[(4, "c")]);
        assert_eq!(step(&wiped, &[(3, 5)], &[]), None);
        assert_eq!(step(&wiped, &[(3, 4)], &[(4, 0)]), None);
        let replace = Step::Replace { old: 3, new: 4 };
        assert_eq!(step(&wiped, &[(3, 5)], &[(4, 0)]), Some(replace));
    }

    #[test]
    fn a_node_that_is_to_replace_another_is_not_promoted_beside_it() {
        let wiped = members(&[(1, "a"), (2, "b")], &[(4, "b")]);
        assert_eq!(step(&wiped, &[], &[(4, 1000)]), None);
    }

    #[test]
    fn names_that_are_not_given_replace_nobody() {
        let nameless = members(&[(1, ""), (2, ""), (3, "")], &[(4, "")]);
        assert_eq!(step(&nameless, &[(1, 9), (2, 9), (3, 9)], &[(4, 9)]), None);
    }

    #[test]
    fn while_a_change_is_under_way_no_other_one_is_begun() {
        let mut changing = members(&[(1, "a"), (2, "b")], &[(3, "c")]);
        changing.changing = true;
        assert_eq!(step(&changing, &[], &[(3, 10)]), None);
    }
}
