//! What a node that finds its cluster itself knows and has promised: shared by the task that asks
//! others and the service that answers them.

use std::sync::{Arc, Mutex, PoisonError};

use telegraph_proto::raft as proto;
use tokio::time::Instant;

use crate::assembly::formation::Formation;
use crate::assembly::met::Met;
use crate::assembly::naming::Unsound;
use crate::assembly::peer::Peer;
use crate::assembly::promise::{Promises, Unpromised};
use crate::assembly::settings::Assembly;
use crate::config::MEMBERS_MAX;
use crate::random::RandomSource;

/// What a node knows while it looks for its cluster, and afterwards.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// What it was told.
    pub(crate) settings: Assembly,
    /// As it wants to be listed.
    pub(crate) own: Peer,
    /// What it has promised.
    pub(crate) promises: Promises,
    /// What its pauses are scattered by.
    pub(crate) random: Arc<dyn RandomSource>,
    met: Mutex<Met>,
}

impl Gathering {
    /// Knows nobody yet.
    pub(crate) fn new(
        settings: Assembly,
        own: Peer,
        promises: Promises,
        random: Arc<dyn RandomSource>,
    ) -> Gathering {
        Gathering { settings, own, promises, random, met: Mutex::default() }
    }

    /// Notes that a node without a cluster was met.
    pub(crate) fn note(&self, peer: Peer) {
        if peer.id != self.own.id {
            self.met.lock().unwrap_or_else(PoisonError::into_inner).note(peer, Instant::now());
        }
    }

    /// The nodes without a cluster met lately, this one not included.
    pub(crate) fn met(&self) -> Vec<Peer> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).lately(Instant::now())
    }

    /// What a greeting is answered: whom we met, what we promised, and which cluster we saw.
    pub(crate) fn answer(&self, reply: &mut proto::HelloReply) {
        let met = self.met().into_iter().chain([self.own.clone()]);
        reply.met = met.map(|peer| peer.wire()).collect();
        let promised = self.promises.given().map(|given| given.cluster_id().to_vec());
        reply.promised_cluster_id = promised.unwrap_or_default().into();
        let seen = self.promises.seen().pop_first().map(|seen| seen.to_vec());
        reply.seen_cluster_id = seen.unwrap_or_default().into();
    }

    /// Promises what `from` asks for, or says why not; also says whether the promise is a new one.
    /// Blocks.
    pub(crate) fn promise(
        &self,
        from: &Peer,
        request: proto::PromiseRequest,
    ) -> Result<(Formation, bool), String> {
        let formation = read_formation(&request).map_err(|why| why.to_string())?;
        if !formation.has(from) {
            return Err("whoever asks is not in its own list".into());
        }
        self.give(formation)
    }

    /// Promises a formation of our own. Blocks.
    pub(crate) fn give(&self, formation: Formation) -> Result<(Formation, bool), String> {
        if !formation.has(&self.own) {
            return Err("this node is not in the list".into());
        }
        let size = formation.members().len();
        let expect = self.settings.bootstrap_expect;
        if u32::try_from(size) != Ok(expect) {
            return Err(format!("this node expects {expect} nodes, the list has {size}"));
        }
        match self.promises.give(&formation) {
            Ok(new) => Ok((formation, new)),
            Err(why) => {
                if let Unpromised::Io(error) = &why {
                    tracing::error!(%error, "a promise cannot be kept on disk");
                }
                Err(why.to_string())
            }
        }
    }
}

/// The list that is to be promised; its id must be its hash.
fn read_formation(request: &proto::PromiseRequest) -> Result<Formation, Unsound> {
    if request.members.len() > MEMBERS_MAX {
        return Err(Unsound("a cluster is formed of 1 to 31 nodes"));
    }
    let members: Result<Vec<Peer>, Unsound> = request.members.iter().map(Peer::read).collect();
    let formation = Formation::new(members?)?;
    match *request.cluster_id == formation.cluster_id() {
        true => Ok(formation),
        false => Err(Unsound("the cluster id is not the hash of the list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::NodeId;
    use crate::random::SystemRandom;

    fn peer(id: NodeId) -> Peer {
        Peer {
            name: format!("n{id}"),
            id,
            incarnation: [id as u8; 16],
            address: format!("n{id}:1"),
            service_address: String::new(),
            readable_version: 1,
        }
    }

    fn request(ids: &[NodeId]) -> proto::PromiseRequest {
        let formation = Formation::new(ids.iter().map(|id| peer(*id)).collect()).unwrap();
        proto::PromiseRequest {
            caller: None,
            cluster_id: formation.cluster_id().to_vec().into(),
            members: formation.members().iter().map(Peer::wire).collect(),
        }
    }

    fn gathering(keep: &tempfile::TempDir) -> Gathering {
        let settings = Assembly { bootstrap_expect: 3, ..Assembly::default() };
        let promises = Promises::open(keep.path(), false).unwrap();
        Gathering::new(settings, peer(1), promises, Arc::new(SystemRandom))
    }

    #[test]
    fn a_sound_list_of_the_expected_size_is_promised_once_and_no_other() {
        let keep = tempfile::tempdir().unwrap();
        let gathering = gathering(&keep);
        let (_, new) = gathering.promise(&peer(2), request(&[1, 2, 3])).unwrap();
        assert!(new);
        let (_, new) = gathering.promise(&peer(3), request(&[1, 2, 3])).unwrap();
        assert!(!new);
        gathering.promise(&peer(2), request(&[1, 2, 4])).unwrap_err();
        let mut reply = proto::HelloReply::default();
        gathering.answer(&mut reply);
        assert_eq!(reply.promised_cluster_id, request(&[1, 2, 3]).cluster_id);
        assert_eq!(reply.met, [peer(1).wire()]);
    }

    #[test]
    fn lists_that_are_not_ours_to_promise_are_refused() {
        let keep = tempfile::tempdir().unwrap();
        let gathering = gathering(&keep);
        let mut foreign_id = request(&[1, 2, 3]);
        foreign_id.cluster_id = vec![9; 16].into();
        let mut twice = request(&[1, 2, 3]);
        twice.members[2] = twice.members[1].clone();
        let mut moved = request(&[1, 2, 3]);
        moved.members[2].address = "elsewhere:1".into();
        let mut wiped = request(&[1, 2, 3]);
        wiped.members[0].incarnation = vec![9; 16].into();
        let mut flood = request(&[1, 2, 3]);
        flood.members = vec![peer(2).wire(); 100_000];
        let wrong = [
            proto::PromiseRequest::default(),
            request(&[1, 2]),
            request(&[1, 2, 3, 4]),
            request(&[2, 3, 4]),
            request(&[1, 3, 4]),
            foreign_id,
            twice,
            moved,
            wiped,
            flood,
        ];
        for (number, request) in wrong.into_iter().enumerate() {
            assert!(gathering.promise(&peer(2), request).is_err(), "{number}");
        }
        assert_eq!(gathering.promises.given(), None);
    }
}
