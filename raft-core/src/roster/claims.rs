//! What members say of themselves, made to fit together.

use std::collections::BTreeMap;

use crate::member::NodeId;
use crate::members::MemberRecord;

/// Takes back what members say of themselves where another one says, or keeps, the same: an
/// address or a name belongs to one of them. Members that have swapped theirs keep nothing of
/// each other, and are believed.
pub(crate) fn settle(
    listed: &BTreeMap<NodeId, MemberRecord>,
    claims: &mut BTreeMap<NodeId, MemberRecord>,
) {
    let listed = |id: &NodeId| listed.get(id).map(|record| record.member.clone());
    loop {
        let contested = claims.iter().find_map(|(id, claim)| {
            let (mine, was) = (&claim.member, listed(id)?);
            let others = || claims.values().map(|other| &other.member).filter(|o| o.id != *id);
            let address = mine.address != was.address
                && (mine.address.is_empty() || others().any(|o| o.address == mine.address));
            let name = mine.name != was.name
                && (mine.name.is_empty() || others().any(|o| o.name == mine.name));
            (address || name).then_some((*id, was, address, name))
        });
        // Each turn takes something back, so it ends.
        let Some((id, was, address, name)) = contested else { return };
        let Some(claim) = claims.get_mut(&id) else { return };
        if address {
            claim.member.address = was.address;
        }
        if name {
            claim.member.name = was.name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Member;

    #[test]
    fn members_that_swapped_addresses_are_believed_and_one_that_claims_anothers_is_not() {
        let listed = |id, address: &str| MemberRecord {
            member: Member { id, address: address.into(), ..Member::default() },
            ..MemberRecord::default()
        };
        let before = [listed(1, "a:1"), listed(2, "b:1"), listed(3, "c:1")];
        let before = before.map(|record| (record.member.id, record)).into();
        let settled = |claims: [&str; 3]| {
            let claims = (1..).zip(claims).map(|(id, address)| (id, listed(id, address)));
            let mut claims: BTreeMap<NodeId, MemberRecord> = claims.collect();
            settle(&before, &mut claims);
            let settled: Vec<String> = claims.into_values().map(|c| c.member.address).collect();
            settled
        };
        assert_eq!(settled(["b:1", "a:1", "c:1"]), ["b:1", "a:1", "c:1"]);
        assert_eq!(settled(["b:1", "c:1", "a:1"]), ["b:1", "c:1", "a:1"]);
        assert_eq!(settled(["b:1", "b:1", "c:1"]), ["a:1", "b:1", "c:1"]);
        assert_eq!(settled(["d:1", "d:1", "c:1"]), ["a:1", "d:1", "c:1"]);
        // What one takes back is another's again.
        assert_eq!(settled(["b:1", "c:1", "c:1"]), ["a:1", "b:1", "c:1"]);
        assert_eq!(settled(["", "b:1", "e:1"]), ["a:1", "b:1", "e:1"]);
    }
}
