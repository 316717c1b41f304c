//! Who may call whom: the check before anything else in every call between members.
//!
//! TLS says that a caller is some member; the `Caller` in its first message says which one, of
//! which cluster, and whether it still is the one first met under that number.

use std::collections::BTreeMap;

use bytes::Bytes;
use telegraph_proto::raft::Caller;

use crate::error::Stranger;
use crate::identity::{Identity, Pins};
use crate::member::{Member, NodeId};

/// Version of the protocol between members that this crate speaks.
pub(crate) const PROTOCOL_VERSION: u32 = 1;

/// The members as configured, and what is known of them.
#[derive(Debug)]
pub(crate) struct Roster {
    identity: Identity,
    members: BTreeMap<NodeId, Member>,
    pins: Pins,
}

impl Roster {
    /// A roster of the configured members.
    pub(crate) fn new(identity: Identity, members: &[Member], pins: Pins) -> Roster {
        let members = members.iter().map(|member| (member.id, member.clone())).collect();
        Roster { identity, members, pins }
    }

    /// Who we are.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Everybody, ourselves included.
    pub(crate) fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// True once a member's incarnation is known.
    pub(crate) fn has_met(&self, id: NodeId) -> bool {
        self.pins.get(id).is_some()
    }

    /// What we say of ourselves when we call a member, or answer it.
    pub(crate) fn caller_to(&self, to: NodeId) -> Caller {
        Caller {
            cluster_id: Bytes::copy_from_slice(&self.identity.cluster_id),
            from_node_id: self.identity.node_id,
            to_node_id: to,
            from_incarnation: Bytes::copy_from_slice(&self.identity.incarnation),
            to_incarnation: self
                .pins
                .get(to)
                .map(|incarnation| Bytes::copy_from_slice(&incarnation))
                .unwrap_or_default(),
            protocol_version: PROTOCOL_VERSION,
            traceparent: String::new(),
        }
    }

    /// Who is calling. Blocks at the first contact with a member, to remember it.
    pub(crate) fn admit(&self, caller: Option<&Caller>) -> Result<NodeId, Stranger> {
        let caller = caller.ok_or(Stranger::Anonymous("no caller"))?;
        if caller.protocol_version == 0 {
            return Err(Stranger::Anonymous("no protocol version"));
        }
        if caller.cluster_id.len() != 16 {
            return Err(Stranger::Anonymous("no cluster id"));
        }
        let incarnation: [u8; 16] = caller
            .from_incarnation
            .as_ref()
            .try_into()
            .map_err(|_| Stranger::Anonymous("no incarnation"))?;
        if *caller.cluster_id != self.identity.cluster_id {
            return Err(Stranger::Cluster);
        }
        let here = self.identity.node_id;
        if caller.to_node_id != here {
            return Err(Stranger::Addressee { wanted: caller.to_node_id, here });
        }
        if caller.from_node_id == here {
            return Err(Stranger::Myself);
        }
        if !self.members.contains_key(&caller.from_node_id) {
            return Err(Stranger::Unknown(caller.from_node_id));
        }
        let known_as = &caller.to_incarnation;
        if !known_as.is_empty() && **known_as != self.identity.incarnation {
            return Err(Stranger::MyIncarnation);
        }
        self.pins.check(caller.from_node_id, incarnation)?;
        Ok(caller.from_node_id)
    }

    /// Whether a caller that is no member (number 0) may use what the application offers. TLS has
    /// shown that it holds a certificate of the cluster; when it `greets` it may not know yet which
    /// node of which cluster it has reached.
    pub(crate) fn admit_guest(&self, caller: &Caller, greets: bool) -> Result<(), Stranger> {
        if caller.protocol_version == 0 {
            return Err(Stranger::Anonymous("no protocol version"));
        }
        let names_cluster = !caller.cluster_id.is_empty() || !greets;
        if names_cluster && *caller.cluster_id != self.identity.cluster_id {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::identity::DataDir;

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
            Roster::new(directory.identity, &config.members, directory.pins().unwrap())
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
}
