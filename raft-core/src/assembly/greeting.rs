//! What a node asks others before it belongs to a cluster: who they are, whether they promise,
//! whether they take it in.
//!
//! TLS tells that whoever answers holds a certificate of the cluster; who it is it says itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::assembly::decision::{ClusterId, Heard, Standing};
use crate::assembly::formation::Formation;
use crate::assembly::gathering::Gathering;
use crate::assembly::peer::Peer;
use crate::channels::Channels;
use crate::member::NodeId;
use crate::roster::{PROTOCOL_VERSION, Roster};

/// Nodes greeted at the same time: a cluster's worth.
const GREETED_AT_ONCE: usize = 32;

/// Time for a leader to take this node in, which is a change of the members.
const JOIN_TIMEOUT: Duration = Duration::from_secs(6);

/// Nodes met that are believed of one answer.
const MET_READ_MAX: usize = 64;

/// What somebody is who answered a greeting.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who, as far as it says.
    pub(crate) heard: Heard,
    /// Whole, as it came.
    pub(crate) reply: proto::HelloReply,
}

/// Asks others; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Greeter {
    gathering: Arc<Gathering>,
    roster: Arc<Roster>,
    channels: Channels,
    /// Time for an answer.
    limit: Duration,
    /// Connections kept from round to round, by address.
    kept: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Greeter {
    /// Asks over connections of the same kind as those to members.
    pub(crate) fn new(
        gathering: Arc<Gathering>,
        roster: Arc<Roster>,
        channels: Channels,
        limit: Duration,
    ) -> Greeter {
        Greeter { gathering, roster, channels, limit, kept: Arc::default() }
    }

    /// Greets whoever is at these addresses, all at once. Who does not answer in time, or is this
    /// node itself, or says nothing sound, is left out; whoever answers at two addresses is once
    /// in the list.
    pub(crate) async fn greet_all(&self, addresses: Vec<String>) -> Vec<Answer> {
        self.keep_only(&addresses);
        self.greet_more(addresses).await
    }

    /// The same for more addresses of the same round.
    pub(crate) async fn greet_more(&self, addresses: Vec<String>) -> Vec<Answer> {
        let greetings = addresses.into_iter().map(|address| self.greet(address));
        let answers = stream::iter(greetings).buffer_unordered(GREETED_AT_ONCE);
        let answers: Vec<Answer> = answers.filter_map(|answer| async { answer }).collect().await;
        let mut once = BTreeMap::new();
        for answer in answers {
            let peer = &answer.heard.peer;
            once.entry((peer.id, peer.incarnation)).or_insert(answer);
        }
        once.into_values().collect()
    }

    /// Asks a node to promise a formation; why not, if it does not.
    pub(crate) async fn ask_promise(
        &self,
        formation: &Formation,
        peer: &Peer,
        at: &str,
    ) -> Result<(), String> {
        let request = proto::PromiseRequest {
            caller: Some(self.caller(peer.id)),
            cluster_id: Bytes::copy_from_slice(&formation.cluster_id()),
            members: formation.members().iter().map(Peer::wire).collect(),
        };
        let mut client = self.client(at);
        match timeout(self.limit, client.promise(request)).await {
            Ok(Ok(reply)) if reply.get_ref().promised => Ok(()),
            Ok(Ok(reply)) => Err(reply.into_inner().detail),
            Ok(Err(refusal)) => Err(refusal.message().to_owned()),
            Err(_) => Err("no answer in time".into()),
        }
    }

    /// Asks a member of a cluster to take this node in; or tells it where this node is, once that
    /// belongs to the cluster. Why there is no answer, if there is none.
    pub(crate) async fn ask_join(&self, id: NodeId, at: &str) -> Result<proto::JoinReply, String> {
        let caller = Some(match self.roster.belongs() {
            true => self.roster.caller_to(id),
            false => self.caller(id),
        });
        let request = proto::JoinRequest { caller, member: Some(self.gathering.own.wire()) };
        let mut client = self.client(at);
        match timeout(JOIN_TIMEOUT, client.join(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(refusal)) => Err(format!("{at}: {}", refusal.message())),
            Err(_) => Err(format!("{at} does not answer")),
        }
    }

    /// Greets whoever is at an address.
    pub(crate) async fn greet(&self, at: String) -> Option<Answer> {
        let own = self.gathering.own.wire();
        let belongs = self.roster.belongs();
        // A member greets as a guest: it does not know yet whom it has reached.
        let caller = match belongs {
            true => proto::Caller { protocol_version: PROTOCOL_VERSION, ..Default::default() },
            false => self.caller(0),
        };
        let request = proto::HelloRequest {
            caller: Some(caller),
            member: (!belongs).then_some(own),
            ..proto::HelloRequest::default()
        };
        let mut client = self.client(&at);
        let reply = match timeout(self.limit, client.hello(request)).await {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(refusal)) => {
                tracing::debug!(%refusal, at, "a greeting was refused");
                return None;
            }
            Err(_) => return None,
        };
        let mut heard = read(&reply, at)?;
        if heard.peer.is(&self.gathering.own) {
            let start = |caller: &proto::Caller| caller.start_nonce.clone();
            heard.is_copy = reply.caller.as_ref().map(start) != Some(start(&self.caller(0)));
            // Otherwise we have reached ourselves.
            return heard.is_copy.then_some(Answer { heard, reply });
        }
        Some(Answer { heard, reply })
    }

    fn caller(&self, to: NodeId) -> proto::Caller {
        proto::Caller {
            cluster_id: Bytes::new(),
            to_incarnation: Bytes::new(),
            ..self.roster.caller_to(to)
        }
    }

    fn client(&self, at: &str) -> RaftServiceClient<Channel> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = kept.entry(at.to_owned()).or_insert_with(|| self.channels.dial(at));
        RaftServiceClient::new(channel.clone())
    }

    fn keep_only(&self, addresses: &[String]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|address, _| addresses.contains(address));
    }
}

/// What an answer says; `None` when it says nothing sound.
fn read(reply: &proto::HelloReply, at: String) -> Option<Heard> {
    let caller = reply.caller.as_ref()?;
    let said = reply.member.clone().unwrap_or_default();
    let who = proto::Member {
        node_id: caller.from_node_id,
        incarnation: caller.from_incarnation.clone(),
        ..said
    };
    let expect = reply.bootstrap_expect;
    if caller.cluster_id.is_empty() {
        let peer = Peer::read(&who).ok()?;
        let cluster = |id: &Bytes| match id.len() {
            0 => Some(None),
            _ => id.as_ref().try_into().ok().map(Some),
        };
        let promised = cluster(&reply.promised_cluster_id)?;
        let seen = cluster(&reply.seen_cluster_id)?;
        let met = reply.met.iter().take(MET_READ_MAX).filter_map(|met| Peer::read(met).ok());
        let standing = Standing::Fresh { promised, seen, met: met.collect() };
        return Some(Heard { peer, at, is_copy: false, expect, standing });
    }
    let cluster: ClusterId = caller.cluster_id.as_ref().try_into().ok()?;
    let standing = Standing::Member { cluster, led: reply.leader_node_id != 0 };
    // A member of a static list has no name, and it needs none.
    let peer = Peer {
        name: who.name,
        id: who.node_id,
        incarnation: who.incarnation.as_ref().try_into().ok()?,
        address: who.address,
        service_address: who.service_address,
        readable_version: who.readable_version,
    };
    Some(Heard { peer, at, is_copy: false, expect, standing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> proto::HelloReply {
        let member = proto::Member {
            name: "a".into(),
            address: "a:1".into(),
            node_id: 77,
            ..proto::Member::default()
        };
        let caller = proto::Caller {
            from_node_id: 1,
            from_incarnation: vec![1; 16].into(),
            ..proto::Caller::default()
        };
        proto::HelloReply {
            caller: Some(caller),
            member: Some(member),
            bootstrap_expect: 3,
            ..proto::HelloReply::default()
        }
    }

    #[test]
    fn an_answer_without_a_cluster_comes_from_a_fresh_node() {
        let heard = read(&reply(), "a:1".into()).unwrap();
        assert_eq!((heard.peer.id, heard.expect), (1, 3));
        assert_eq!(heard.standing, Standing::Fresh { promised: None, seen: None, met: Vec::new() });
        let mut promised = reply();
        promised.promised_cluster_id = vec![5; 16].into();
        let standing = read(&promised, "a:1".into()).unwrap().standing;
        let met = Vec::new();
        assert_eq!(standing, Standing::Fresh { promised: Some([5; 16]), seen: None, met });
        let mut waiting = reply();
        waiting.seen_cluster_id = vec![6; 16].into();
        let standing = read(&waiting, "a:1".into()).unwrap().standing;
        let met = Vec::new();
        assert_eq!(standing, Standing::Fresh { promised: None, seen: Some([6; 16]), met });
    }

    #[test]
    fn an_answer_with_a_cluster_comes_from_a_member() {
        let mut member = reply();
        member.caller.as_mut().unwrap().cluster_id = vec![5; 16].into();
        member.leader_node_id = 3;
        member.member = None;
        let standing = read(&member, "a:1".into()).unwrap().standing;
        assert_eq!(standing, Standing::Member { cluster: [5; 16], led: true });
    }

    #[test]
    fn unsound_answers_are_no_answers() {
        let spoils: [fn(&mut proto::HelloReply); 7] = [
            |r| r.caller = None,
            |r| r.member = None,
            |r| r.promised_cluster_id = vec![5; 15].into(),
            |r| r.seen_cluster_id = vec![5; 17].into(),
            |r| r.caller.as_mut().unwrap().cluster_id = vec![5; 15].into(),
            |r| r.caller.as_mut().unwrap().from_node_id = 0,
            |r| r.caller.as_mut().unwrap().from_incarnation = Bytes::new(),
        ];
        for (number, spoil) in spoils.into_iter().enumerate() {
            let mut reply = reply();
            spoil(&mut reply);
            assert!(read(&reply, "a:1".into()).is_none(), "{number}");
        }
    }
}
