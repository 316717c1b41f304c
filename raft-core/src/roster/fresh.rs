//! Callers that belong to no cluster yet.

use telegraph_proto::raft::Caller;

use crate::error::Stranger;
use crate::member::NodeId;
use crate::roster::Roster;

impl Roster {
    /// Who asks to be taken in: a node that belongs to no cluster yet, or one of ours whether it is
    /// listed or not. A leader may have taken it in by an entry that came to nothing. Blocks for a
    /// member that was not admitted before.
    pub(crate) fn admit_applicant(
        &self,
        caller: Option<&Caller>,
    ) -> Result<(NodeId, [u8; 16]), Stranger> {
        let Some(ours) = caller.filter(|caller| !caller.cluster_id.is_empty()) else {
            return self.admit_fresh(caller, false);
        };
        let id = self.admit_known(caller, true)?;
        let incarnation = ours.from_incarnation.as_ref().try_into();
        Ok((id, incarnation.map_err(|_| Stranger::Anonymous("no incarnation"))?))
    }

    /// Who is calling that belongs to no cluster yet. One that `greets` does not know yet whom it
    /// has reached. Nothing about it is remembered.
    pub(crate) fn admit_fresh(
        &self,
        caller: Option<&Caller>,
        greets: bool,
    ) -> Result<(NodeId, [u8; 16]), Stranger> {
        let caller = caller.ok_or(Stranger::Anonymous("no caller"))?;
        if caller.protocol_version == 0 {
            return Err(Stranger::Anonymous("no protocol version"));
        }
        let incarnation = caller.from_incarnation.as_ref().try_into();
        let incarnation = incarnation.map_err(|_| Stranger::Anonymous("no incarnation"))?;
        if !caller.cluster_id.is_empty() {
            return Err(Stranger::Cluster);
        }
        let here = self.identity.node_id;
        if caller.to_node_id != if greets { 0 } else { here } {
            return Err(Stranger::Addressee { wanted: caller.to_node_id, here });
        }
        match caller.from_node_id {
            0 => Err(Stranger::Anonymous("no node id")),
            id => Ok((id, incarnation)),
        }
    }
}
