//! Who may call whom: the check before anything else in every call between members.
//!
//! TLS says that a caller is some member; the `Caller` in its first message says which one, of
//! which cluster, and whether it still is the one first met under that number.

mod book;
mod claims;
mod fresh;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use telegraph_proto::raft::Caller;

use crate::error::Stranger;
use crate::identity::Identity;
use crate::identity::cluster_line::NO_CLUSTER;
use crate::identity::lineage::Lineage;
use crate::identity::pins::{Met, Pins, Start};
use crate::member::{Member, NodeId};
use crate::members::MemberRecord;
use crate::roster::book::Book;
use crate::roster::claims::settle;

/// Version of the protocol between members that this crate speaks.
pub(crate) const PROTOCOL_VERSION: u32 = 1;

/// Nodes kept in mind that are not, or not yet, members as far as this node knows: more than any
/// cluster takes in at a time. Beyond it a newcomer is not remembered until others are members.
const NEWCOMERS_MAX: usize = 64;

/// Who belongs to the cluster, as far as this node knows.
///
/// - Whoever was removed is refused, whatever else is known of it.
/// - A member keeps its incarnation: the one in the membership, and the one first met here.
#[derive(Debug)]
pub(crate) struct Roster {
    identity: Identity,
    start: Start,
    /// The cluster this node came to belong to since it was started.
    adopted: OnceLock<[u8; 16]>,
    lineage: Lineage,
    own: MemberRecord,
    pins: Pins,
    book: Mutex<Book>,
}

impl Roster {
    /// A roster that begins with the configured members. `own` is what this node is, by its own
    /// account, and `start` this start of it.
    pub(crate) fn new(
        identity: Identity,
        start: Start,
        own: MemberRecord,
        members: &[Member],
        pins: Pins,
        lineage: Lineage,
    ) -> Roster {
        let configured = members.iter().map(|member| (member.id, member.clone())).collect();
        let book = Mutex::new(Book { configured, ..Book::default() });
        Roster { identity, start, adopted: OnceLock::new(), lineage, own, pins, book }
    }

    /// Who we are.
    pub(crate) fn identity(&self) -> Identity {
        let cluster_id = self.adopted.get().copied().unwrap_or(self.identity.cluster_id);
        Identity { cluster_id, restored: self.lineage.restored(), ..self.identity }
    }

    /// True once this node belongs to a cluster.
    pub(crate) fn belongs(&self) -> bool {
        self.identity().cluster_id != NO_CLUSTER
    }

    /// Makes this node, which belonged to none, belong to a cluster; its identity on disk says so
    /// already.
    pub(crate) fn adopt(&self, cluster_id: [u8; 16]) {
        let before = *self.adopted.get_or_init(|| cluster_id);
        assert!(before == cluster_id, "a node belongs to one cluster for ever");
    }

    /// What we say of ourselves.
    pub(crate) fn own(&self) -> &MemberRecord {
        &self.own
    }

    /// Everybody, ourselves included: the members, or before there are any the configured ones.
    pub(crate) fn members(&self) -> BTreeMap<NodeId, Member> {
        let book = self.book();
        if book.listed.is_empty() {
            return book.configured.clone();
        }
        book.listed.iter().map(|(id, record)| (*id, record.member.clone())).collect()
    }

    /// One member, or one that is configured as such.
    pub(crate) fn member(&self, id: NodeId) -> Option<Member> {
        let book = self.book();
        let listed = book.listed.get(&id).map(|record| record.member.clone());
        listed.or_else(|| book.configured.get(&id).cloned())
    }

    /// Everybody we may reach.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let ids: BTreeSet<NodeId> = {
            let book = self.book();
            let known = book.configured.keys().chain(book.listed.keys()).chain(book.met.keys());
            known.copied().collect()
        };
        ids.into_iter().filter(|id| !self.addresses(*id).is_empty()).collect()
    }

    /// True for an id that left.
    pub(crate) fn is_removed(&self, id: NodeId) -> bool {
        self.book().removed.contains(&id)
    }

    /// True for a member of which the membership does not say what is true, as far as we know.
    pub(crate) fn is_listed_wrongly(&self, id: NodeId) -> bool {
        self.corrections().iter().any(|record| record.member.id == id)
    }

    /// What the membership says of one member.
    pub(crate) fn listed(&self, id: NodeId) -> Option<MemberRecord> {
        self.book().listed.get(&id).cloned()
    }

    /// Where another node may be found, the likeliest place first: where it said it is, where the
    /// membership says it is, where it is configured, where others say it is. Empty for a stranger
    /// and for ourselves.
    pub(crate) fn addresses(&self, id: NodeId) -> Vec<String> {
        let book = self.book();
        if id == self.identity.node_id || book.removed.contains(&id) {
            return Vec::new();
        }
        let said = book.met.get(&id).map(|record| &record.member);
        let listed = book.listed.get(&id).map(|record| &record.member);
        let known = [said, listed, book.configured.get(&id)].into_iter().flatten();
        let known = known.map(|member| &member.address).chain(book.hinted.get(&id));
        let mut places: Vec<String> = Vec::new();
        for place in known {
            if !place.is_empty() && !places.contains(place) {
                places.push(place.clone());
            }
        }
        places
    }

    /// Follows the membership: who belongs to the newest or the last committed one, and who was
    /// removed. Gives back who had not been known to be removed.
    pub(crate) fn follow(
        &self,
        listed: impl IntoIterator<Item = MemberRecord>,
        removed: &BTreeSet<NodeId>,
    ) -> Vec<NodeId> {
        let mut book = self.book();
        book.listed = listed.into_iter().map(|record| (record.member.id, record)).collect();
        let gone: Vec<NodeId> = removed.difference(&book.removed).copied().collect();
        book.removed.extend(removed);
        for id in &gone {
            book.met.remove(id);
            book.hinted.remove(id);
        }
        drop(book);
        self.pins.forget(&gone);
        gone
    }

    /// Takes note of a member that consensus is about to call, ahead of [`Roster::follow`].
    pub(crate) fn list(&self, record: MemberRecord) {
        self.book().listed.entry(record.member.id).or_insert(record);
    }

    /// Takes note of what a node says of itself, once it was admitted or recognised as `caller`.
    pub(crate) fn note(&self, caller: &Caller, said: MemberRecord) {
        let id = caller.from_node_id;
        if said.member.id != id || said.member.address.is_empty() {
            return;
        }
        let incarnation = caller.from_incarnation.as_ref().try_into().ok();
        let record = MemberRecord { incarnation, ..said };
        let mut book = self.book();
        let member = book.listed.contains_key(&id) || book.configured.contains_key(&id);
        let newcomers = book.met.len().saturating_sub(book.listed.len());
        let has_room = member || book.met.contains_key(&id) || newcomers < NEWCOMERS_MAX;
        if has_room && !book.removed.contains(&id) {
            book.met.insert(id, record);
        }
    }

    /// Takes note of where another member says that a member is. Whoever answers there must still
    /// prove to be it.
    pub(crate) fn hint(&self, id: NodeId, address: &str) {
        let mut book = self.book();
        if book.knows(id) && !address.is_empty() {
            book.hinted.insert(id, address.to_owned());
        }
    }

    /// The members as they ought to be listed, as far as that differs from how they are: by what
    /// they, and we, say of themselves.
    pub(crate) fn corrections(&self) -> Vec<MemberRecord> {
        let book = self.book();
        let claims = book.listed.values().map(|listed| {
            let id = listed.member.id;
            let said =
                if id == self.identity.node_id { Some(&self.own) } else { book.met.get(&id) };
            let mut right = listed.clone();
            right.incarnation = listed.incarnation.or_else(|| match said {
                Some(said) => said.incarnation,
                None => self.pins.get(id),
            });
            if let Some(said) = said.filter(|said| said.incarnation == right.incarnation) {
                // A key is made once, with the incarnation.
                right.signing_key = listed.signing_key.or(said.signing_key);
                right.readable_version = said.readable_version;
                right.member = said.member.clone();
            }
            (id, right)
        });
        let mut claims = claims.collect();
        settle(&book.listed, &mut claims);
        claims.retain(|id, claim| book.listed.get(id) != Some(claim));
        claims.into_values().collect()
    }

    /// True if a caller was met before, so that admitting it does not block.
    pub(crate) fn remembers(&self, caller: &Caller) -> bool {
        self.lineage.knows(&caller.lineage_id)
            && met(caller).is_some_and(|met| self.pins.remembers(caller.from_node_id, met))
    }

    /// What we say of ourselves when we call a member, or answer it.
    pub(crate) fn caller_to(&self, to: NodeId) -> Caller {
        Caller {
            cluster_id: match self.identity().cluster_id {
                NO_CLUSTER => Bytes::new(),
                cluster_id => Bytes::copy_from_slice(&cluster_id),
            },
            from_node_id: self.identity.node_id,
            to_node_id: to,
            from_incarnation: Bytes::copy_from_slice(&self.identity.incarnation),
            to_incarnation: self
                .pins
                .get(to)
                .or_else(|| self.listed(to)?.incarnation)
                .map(|incarnation| Bytes::copy_from_slice(&incarnation))
                .unwrap_or_default(),
            protocol_version: PROTOCOL_VERSION,
            start_number: self.start.number,
            start_nonce: Bytes::copy_from_slice(&self.start.nonce),
            lineage_id: self
                .lineage
                .restored()
                .map(|lineage| Bytes::copy_from_slice(&lineage))
                .unwrap_or_default(),
        }
    }

    /// Who is calling. Blocks at the first contact with each start of a member, to remember it.
    pub(crate) fn admit(&self, caller: Option<&Caller>) -> Result<NodeId, Stranger> {
        self.admit_known(caller, false)
    }

    /// The same for a caller that `introduces` itself: it may be a member that this node's log does
    /// not tell of yet, such as the leader of which we are to learn who the members are.
    pub(crate) fn admit_known(
        &self,
        caller: Option<&Caller>,
        introduces: bool,
    ) -> Result<NodeId, Stranger> {
        let caller = caller.ok_or(Stranger::Anonymous("no caller"))?;
        if caller.protocol_version == 0 {
            return Err(Stranger::Anonymous("no protocol version"));
        }
        if caller.cluster_id.len() != 16 || *caller.cluster_id == NO_CLUSTER {
            return Err(Stranger::Anonymous("no cluster id"));
        }
        let met = met(caller).ok_or(Stranger::Anonymous("no incarnation"))?;
        let incarnation = met.incarnation;
        if *caller.cluster_id != self.identity().cluster_id {
            return Err(Stranger::Cluster);
        }
        let (id, here) = (caller.from_node_id, self.identity.node_id);
        if id == here && incarnation == self.identity.incarnation {
            return Err(match met.start {
                Some(start) if start != self.start => {
                    Stranger::Clone { id, start: start.number, last: self.start.number }
                }
                _ => Stranger::Itself { wanted: caller.to_node_id, here },
            });
        }
        if caller.to_node_id != here {
            return Err(Stranger::Addressee { wanted: caller.to_node_id, here });
        }
        if id == here {
            return Err(Stranger::Myself);
        }
        self.check_listed(id, incarnation, introduces)?;
        let known_as = &caller.to_incarnation;
        if !known_as.is_empty() && **known_as != self.identity.incarnation {
            return Err(Stranger::MyIncarnation);
        }
        self.pins.check(id, met)?;
        self.lineage.learn(&caller.lineage_id)?;
        Ok(id)
    }

    fn check_listed(
        &self,
        id: NodeId,
        incarnation: [u8; 16],
        introduces: bool,
    ) -> Result<(), Stranger> {
        let book = self.book();
        if book.removed.contains(&id) {
            return Err(Stranger::Removed(id));
        }
        let listed = book.listed.get(&id).and_then(|record| record.incarnation);
        if listed.is_some_and(|listed| listed != incarnation) {
            return Err(Stranger::Incarnation(id));
        }
        match introduces || book.knows(id) {
            true => Ok(()),
            false => Err(Stranger::Unknown(id)),
        }
    }

    /// Whether a caller that is no member (number 0) may use what the application offers. TLS has
    /// shown that it holds a certificate of the cluster; when it `greets` it may not know yet which
    /// node of which cluster it has reached.
    pub(crate) fn admit_guest(&self, caller: &Caller, greets: bool) -> Result<(), Stranger> {
        if caller.protocol_version == 0 {
            return Err(Stranger::Anonymous("no protocol version"));
        }
        let names_cluster = !caller.cluster_id.is_empty() || !greets;
        if names_cluster && (!self.belongs() || *caller.cluster_id != self.identity().cluster_id) {
            return Err(Stranger::Cluster);
        }
        let here = self.identity.node_id;
        let names_node = caller.to_node_id != 0 || !greets;
        if names_node && caller.to_node_id != here {
            return Err(Stranger::Addressee { wanted: caller.to_node_id, here });
        }
        Ok(())
    }

    /// Checks that `id` has answered, and is the one first met under that number.
    pub(crate) fn recognise(&self, id: NodeId, answer: Option<&Caller>) -> Result<(), Stranger> {
        let found = self.admit(answer)?;
        if found == id { Ok(()) } else { Err(Stranger::Addressee { wanted: id, here: found }) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caller says of its data directory; `None` if that makes no sense.
fn met(caller: &Caller) -> Option<Met> {
    let incarnation = caller.from_incarnation.as_ref().try_into().ok()?;
    let start = match caller.start_number {
        0 => None,
        number => Some(Start { number, nonce: caller.start_nonce.as_ref().try_into().ok()? }),
    };
    Some(Met { incarnation, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::identity::{DataDir, read_identity};

    fn rosters(keep: &tempfile::TempDir) -> [Roster; 2] {
        let member = |id| Member { id, address: format!("m{id}:1"), ..Member::default() };
        [1, 2].map(|node_id| {
            let config = Config {
                node_id,
                data_dir: keep.path().join(node_id.to_string()),
                members: vec![member(1), member(2)],
                allow_plaintext: true,
                ..Config::default()
            };
            let directory = DataDir::open(&config).unwrap();
            let own = MemberRecord { member: member(node_id), ..MemberRecord::default() };
            let start = Start { number: 1, nonce: [node_id as u8; 16] };
            let (pins, lineage) = (directory.pins().unwrap(), directory.lineage());
            Roster::new(directory.identity, start, own, &config.members, pins, lineage)
        })
    }

    #[test]
    fn members_know_each_other_from_the_first_call_on() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        assert!(one.caller_to(2).to_incarnation.is_empty());
        assert_eq!(two.admit(Some(&one.caller_to(2))), Ok(1));
        assert_eq!(one.recognise(2, Some(&two.caller_to(1))), Ok(()));
        assert_eq!(one.caller_to(2).to_incarnation, two.identity().incarnation.as_slice());
        assert_eq!(two.admit(Some(&one.caller_to(2))), Ok(1));
    }

    #[test]
    fn a_member_learns_from_the_first_caller_whose_history_it_is_and_believes_no_other() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        let whose = || two.identity().restored;
        let said = |lineage: &[u8]| Caller {
            lineage_id: Bytes::copy_from_slice(lineage),
            ..one.caller_to(2)
        };
        // Who says nothing of it says nothing against it.
        assert_eq!(two.admit(Some(&said(&[]))), Ok(1));
        for garbled in [[7; 15].as_slice(), &[7; 17], &[0; 16]] {
            let refused = two.admit(Some(&said(garbled)));
            assert_eq!(refused, Err(Stranger::Anonymous("no lineage id")));
        }
        assert_eq!((whose(), two.identity().lineage_id()), (None, two.identity().cluster_id));
        assert!(!two.remembers(&said(&[7; 16])), "it is not admitted where nothing may block");
        assert_eq!(two.admit(Some(&said(&[7; 16]))), Ok(1));
        assert!(two.remembers(&said(&[7; 16])) && two.remembers(&said(&[])));
        assert_eq!((whose(), two.identity().lineage_id()), (Some([7; 16]), [7; 16]));
        assert_eq!(two.caller_to(1).lineage_id, vec![7; 16]);
        let (kept, _) = read_identity(&keep.path().join("2")).unwrap().unwrap();
        assert_eq!(kept.restored, Some([7; 16]));
        assert_eq!(two.admit(Some(&said(&[8; 16]))), Err(Stranger::Cluster));
        assert_eq!(two.admit(Some(&said(&[]))), Ok(1));
    }

    #[test]
    fn strangers_are_told_what_is_wrong_with_them() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        assert_eq!(two.admit(Some(&one.caller_to(2))), Ok(1));
        type Spoil = fn(&mut Caller);
        let refusals: [(Stranger, Spoil); 8] = [
            (Stranger::Cluster, |c| c.cluster_id = vec![9; 16].into()),
            (Stranger::Addressee { wanted: 1, here: 2 }, |c| c.to_node_id = 1),
            (Stranger::Myself, |c| c.from_node_id = 2),
            (Stranger::Unknown(7), |c| c.from_node_id = 7),
            (Stranger::Incarnation(1), |c| c.from_incarnation = vec![9; 16].into()),
            (Stranger::MyIncarnation, |c| c.to_incarnation = vec![9; 16].into()),
            (Stranger::Anonymous("no incarnation"), |c| c.from_incarnation = Bytes::new()),
            (Stranger::Anonymous("no protocol version"), |c| c.protocol_version = 0),
        ];
        for (refusal, spoil) in refusals {
            let mut caller = one.caller_to(2);
            spoil(&mut caller);
            assert_eq!(two.admit(Some(&caller)), Err(refusal));
        }
        assert_eq!(two.admit(None), Err(Stranger::Anonymous("no caller")));
        assert_eq!(two.admit(Some(&Caller::default())).unwrap_err(), {
            Stranger::Anonymous("no protocol version")
        });
    }

    #[test]
    fn whoever_belongs_to_no_cluster_is_greeted_without_names_and_heard_only_under_ours() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        let asks =
            Caller { cluster_id: Bytes::new(), to_incarnation: Bytes::new(), ..one.caller_to(2) };
        let greets = Caller { to_node_id: 0, ..asks.clone() };
        let incarnation = one.identity().incarnation;
        assert_eq!(two.admit_fresh(Some(&greets), true), Ok((1, incarnation)));
        assert_eq!(two.admit_fresh(Some(&asks), false), Ok((1, incarnation)));
        // Neither in the place of the other, nor in that of a member.
        two.admit_fresh(Some(&asks), true).unwrap_err();
        two.admit_fresh(Some(&greets), false).unwrap_err();
        two.admit(Some(&asks)).unwrap_err();
        let spoils: [fn(&mut Caller); 4] = [
            |c| c.cluster_id = vec![1; 16].into(),
            |c| c.from_node_id = 0,
            |c| c.from_incarnation = Bytes::new(),
            |c| c.protocol_version = 0,
        ];
        for spoil in spoils {
            let mut caller = asks.clone();
            spoil(&mut caller);
            two.admit_fresh(Some(&caller), false).unwrap_err();
        }
        two.admit_fresh(None, true).unwrap_err();
    }

    #[test]
    fn a_guest_is_greeted_without_names_and_served_only_under_the_right_ones() {
        let keep = tempfile::tempdir().unwrap();
        let [_, second] = rosters(&keep);
        let named = Caller { from_node_id: 0, ..second.caller_to(2) };
        let nameless = Caller { protocol_version: 1, ..Caller::default() };
        second.admit_guest(&named, false).unwrap();
        second.admit_guest(&named, true).unwrap();
        second.admit_guest(&nameless, true).unwrap();
        second.admit_guest(&nameless, false).unwrap_err();
        second.admit_guest(&Caller::default(), true).unwrap_err();
        let elsewhere = Caller { to_node_id: 1, ..named.clone() };
        let foreign = Caller { cluster_id: vec![9; 16].into(), ..named.clone() };
        for greets in [false, true] {
            second.admit_guest(&elsewhere, greets).unwrap_err();
            second.admit_guest(&foreign, greets).unwrap_err();
        }
        second.admit(Some(&named)).unwrap_err();
    }

    fn listed(id: NodeId, address: &str, incarnation: Option<[u8; 16]>) -> MemberRecord {
        let member = Member { id, address: address.into(), ..Member::default() };
        MemberRecord { member, incarnation, ..MemberRecord::default() }
    }

    #[test]
    fn whoever_was_removed_is_refused_and_not_reached_whatever_else_is_known() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        assert_eq!(two.admit(Some(&one.caller_to(2))), Ok(1));
        two.note(&one.caller_to(2), listed(1, "m1:2", None));
        assert_eq!(two.addresses(1), ["m1:2", "m1:1"]);
        let gone = two.follow([listed(2, "m2:1", None)], &BTreeSet::from([1]));
        assert_eq!(gone, [1]);
        assert_eq!(two.pins.get(1), None);
        assert_eq!(two.admit(Some(&one.caller_to(2))), Err(Stranger::Removed(1)));
        assert_eq!(two.admit_known(Some(&one.caller_to(2)), true), Err(Stranger::Removed(1)));
        two.note(&one.caller_to(2), listed(1, "m1:3", None));
        two.hint(1, "m1:4");
        assert!(two.addresses(1).is_empty() && two.others().is_empty());
    }

    #[test]
    fn a_member_is_who_the_membership_says_though_it_was_never_met() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        let members = [listed(1, "m1:1", Some([8; 16])), listed(2, "m2:1", None)];
        two.follow(members, &BTreeSet::new());
        assert_eq!(two.admit(Some(&one.caller_to(2))), Err(Stranger::Incarnation(1)));
        assert_eq!(two.caller_to(1).to_incarnation, [8; 16].as_slice());
    }

    #[test]
    fn a_newcomer_is_heard_once_it_has_introduced_itself() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        let newcomer = Caller {
            from_node_id: 7,
            from_incarnation: vec![7; 16].into(),
            start_number: 0,
            ..one.caller_to(2)
        };
        assert_eq!(two.admit(Some(&newcomer)), Err(Stranger::Unknown(7)));
        assert_eq!(two.admit_known(Some(&newcomer), true), Ok(7));
        two.note(&newcomer, listed(7, "m7:1", None));
        assert_eq!(two.admit(Some(&newcomer)), Ok(7));
        assert_eq!(two.addresses(7), ["m7:1"]);
        // Not in another's name, and not without end.
        two.note(&newcomer, listed(1, "m7:1", None));
        assert_eq!(two.addresses(1), ["m1:1"]);
        for id in 100..300 {
            let crowd = Caller { from_node_id: id, ..newcomer.clone() };
            two.note(&crowd, listed(id, &format!("m{id}:1"), None));
        }
        assert_eq!(two.others().len(), 1 + NEWCOMERS_MAX);
    }

    #[test]
    fn what_members_say_of_themselves_corrects_the_membership_but_takes_nothing_from_others() {
        let keep = tempfile::tempdir().unwrap();
        let [one, two] = rosters(&keep);
        let key = Some([3; 32]);
        let members = [listed(1, "m1:1", None), listed(2, "m2:1", None), listed(3, "m3:1", None)];
        two.follow(members, &BTreeSet::new());
        let caller = one.caller_to(2);
        let said = MemberRecord { signing_key: key, ..listed(1, "m1:2", None) };
        two.note(&caller, said.clone());
        let corrected = |id| two.corrections().into_iter().find(|record| record.member.id == id);
        let incarnation = Some(one.identity().incarnation);
        let expected = MemberRecord { signing_key: key, ..listed(1, "m1:2", incarnation) };
        assert_eq!(corrected(1), Some(expected.clone()));
        assert_eq!(corrected(3), None);
        two.note(&caller, MemberRecord { signing_key: key, ..listed(1, "m3:1", None) });
        let kept = MemberRecord { signing_key: key, ..listed(1, "m1:1", incarnation) };
        assert_eq!(corrected(1), Some(kept), "an address that is another's");
        let registered = [expected.clone(), listed(2, "m2:1", None), listed(3, "m3:1", None)];
        two.follow(registered, &BTreeSet::new());
        two.note(&caller, MemberRecord { signing_key: Some([4; 32]), ..said });
        assert_eq!(corrected(1), None, "a key is registered once");
    }

    #[test]
    fn a_node_that_calls_itself_or_its_copy_is_told_so() {
        let keep = tempfile::tempdir().unwrap();
        let [_, two] = rosters(&keep);
        let to_itself = Caller { to_node_id: 1, ..two.caller_to(1) };
        assert_eq!(two.admit(Some(&to_itself)), Err(Stranger::Itself { wanted: 1, here: 2 }));
        let copy = Caller { start_number: 2, start_nonce: vec![9; 16].into(), ..to_itself };
        let refused = Err(Stranger::Clone { id: 2, start: 2, last: 1 });
        assert_eq!(two.admit(Some(&copy)), refused);
    }
}
