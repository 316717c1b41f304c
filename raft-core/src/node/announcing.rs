//! A member that is not heard, or not listed as it is, says so: that it has another address since
//! it was restarted, reads newer commands, or asks why nobody turns to it any more.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use telegraph_proto::raft as proto;
use telegraph_proto::raft::join_refused::Reason;
use telegraph_proto::raft::join_reply::Result as Reply;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Code;

use crate::channels::Channels;
use crate::engine::Engine;
use crate::event::{Event, Events};
use crate::member::NodeId;
use crate::node::ending::Order;
use crate::refusals::Refusals;
use crate::roster::Roster;

/// Pause between two looks whether there is something to say: about an election's time, so that a
/// leader that is merely late is not asked.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What saying it takes.
pub(crate) struct Announcer {
    /// Consensus.
    pub(crate) engine: Engine,
    /// Who we are, and who the others are.
    pub(crate) roster: Arc<Roster>,
    /// How they are reached.
    pub(crate) channels: Channels,
    /// Where an end is told.
    pub(crate) events: Events,
    /// Where it is told that others refuse us.
    pub(crate) refusals: Arc<Refusals>,
    /// Time for each to answer.
    pub(crate) limit: Duration,
    /// Ends this node once it is known to be removed. Weak: whoever is to end it otherwise closes
    /// the channel.
    pub(crate) orders: mpsc::WeakSender<Order>,
}

impl Announcer {
    /// Looks from time to time whether there is something to say, until the node ends.
    pub(crate) async fn run(self) {
        let us = self.roster.identity().node_id;
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.roster.is_removed(us) {
                return self.leave().await;
            }
            // A node that belongs to nothing yet has nothing to say.
            if self.engine.is_fresh() && self.roster.listed(us).is_none() {
                continue;
            }
            let audience = match self.engine.leader() {
                None => self.roster.others(),
                Some(leader) if leader != us && self.roster.is_listed_wrongly(us) => vec![leader],
                Some(_) => continue,
            };
            let told = join_all(audience.into_iter().map(|id| self.say(id))).await;
            if told.contains(&Said::WeAreRemoved) {
                return self.leave().await;
            }
        }
    }

    async fn say(&self, to: NodeId) -> Said {
        let Some(channels) = self.channels.get(to) else { return Said::Whatever };
        let mut client = RaftServiceClient::new(channels.application);
        let request = proto::JoinRequest {
            caller: Some(self.roster.caller_to(to)),
            member: Some(self.roster.own().into()),
        };
        match timeout(self.limit, client.join(request)).await {
            Ok(Ok(reply)) => match reply.into_inner().result {
                Some(Reply::Refused(refused)) => {
                    self.refusals.note(to, &refused.detail);
                    if refused.reason() == Reason::Removed {
                        return Said::WeAreRemoved;
                    }
                }
                Some(Reply::NotLeader(elsewhere)) => {
                    self.refusals.clear(to);
                    self.roster.hint(elsewhere.leader_node_id, &elsewhere.leader_address);
                }
                _ => self.refusals.clear(to),
            },
            Ok(Err(refusal)) if refusal.code() == Code::FailedPrecondition => {
                self.refusals.note(to, refusal.message());
                self.channels.distrust(to);
            }
            // Nobody is there, or nobody who speaks: it may be elsewhere.
            Ok(Err(_)) | Err(_) => self.channels.distrust(to),
        }
        Said::Whatever
    }

    /// Ends the node, which the others will never listen to again.
    async fn leave(&self) {
        self.events.tell(Event::Removed);
        if let Some(orders) = self.orders.upgrade() {
            let _ = orders.send(Order::Leave).await;
        }
    }
}

/// What came of saying it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// That this node was removed.
    WeAreRemoved,
    /// Anything else: it is said again as long as it is true.
    Whatever,
}
