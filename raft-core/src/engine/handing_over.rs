//! Handing leadership over, and seeing to it that it does not get lost on the way.
//!
//! Once it is asked to hand over, openraft's leader takes no proposals for as long as it leads its
//! term, and those who hear its heartbeats elect nobody else. A successor that never comes, because
//! it died just then, would leave a cluster in which nobody can write. So it is handed over to
//! another one, again and again, until this node's term has ended.

use std::time::Duration;

use crate::engine::Engine;
use crate::member::NodeId;

impl Engine {
    /// The other voters that have answered lately, furthest in the log first; empty unless this
    /// node leads.
    pub(crate) fn successors(&self) -> Vec<NodeId> {
        let mut replicated = self.watched.replicated();
        let (us, voters) = (self.watched.us(), self.watched.seen().voters());
        // openraft counts the leader among those it replicates to.
        replicated.retain(|(id, _)| {
            let votes = voters.iter().any(|voter| voter.id == *id);
            *id != us && votes && self.watched.lag(*id).is_some()
        });
        replicated.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
        replicated.into_iter().map(|(id, _)| id).collect()
    }

    /// Asks for leadership to be handed over. False when consensus has stopped.
    pub(crate) async fn hand_over(&self, to: NodeId) -> bool {
        self.handed_over.send_replace(Some((self.term(), to)));
        self.raft.trigger().transfer_leader(to).await.is_ok()
    }

    /// Hands over to another one where a successor has not come within `patience`, until consensus
    /// has stopped.
    pub(crate) async fn see_handing_over_through(&self, patience: Duration) {
        let mut handed_over = self.handed_over.subscribe();
        while handed_over.changed().await.is_ok() {
            let Some((term, first)) = *handed_over.borrow_and_update() else { continue };
            let mut tried = vec![first];
            loop {
                tokio::time::sleep(patience).await;
                if !self.watched.is_leader_of(term) {
                    break;
                }
                let Some(to) = self.successors().into_iter().find(|id| !tried.contains(id)) else {
                    // From the beginning: whoever did not come may be back.
                    tried.clear();
                    continue;
                };
                tracing::warn!(?tried, to, "no successor has come: another one is asked");
                if self.raft.trigger().transfer_leader(to).await.is_err() {
                    return;
                }
                tried.push(to);
            }
        }
    }
}
