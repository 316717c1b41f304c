//! What may happen to a cluster.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::disk::sim::Crash;
use crate::member::NodeId;
use crate::testing::cluster::Cluster;

impl Cluster {
    /// Divides the members: only those of one group hear each other. A member that is in no group
    /// is alone. Replaces every earlier division and cut; delays and losses stay.
    pub fn partition(&self, groups: &[&[NodeId]]) {
        let together = |one: NodeId, other: NodeId| {
            groups.iter().any(|group| group.contains(&one) && group.contains(&other))
        };
        for (from, to) in self.pairs() {
            let (from_host, to_host) = (&self.place(from).host, &self.place(to).host);
            match together(from, to) {
                true => self.network().mend(from_host, to_host),
                false => self.network().cut(from_host, to_host),
            }
        }
    }

    /// Cuts one member off from all others, in both directions.
    pub fn isolate(&self, id: NodeId) {
        for (from, to) in self.pairs() {
            if from == id || to == id {
                self.cut_one_way(from, to);
            }
        }
    }

    /// Lets one member hear nothing more of another one, which still hears it.
    pub fn cut_one_way(&self, from: NodeId, to: NodeId) {
        self.network().cut(&self.place(from).host, &self.place(to).host);
    }

    /// Removes all divisions, cuts, delays and losses.
    pub fn heal(&self) {
        self.network().heal();
    }

    /// Breaks all connections between two members.
    pub fn reset(&self, one: NodeId, other: NodeId) {
        self.network().reset(&self.place(one).host, &self.place(other).host);
    }

    /// Lets everything between members take so long, by chance.
    pub fn delay(&self, range: RangeInclusive<Duration>) {
        self.network().delay(range);
    }

    /// Lets so many of a thousand pieces of data be lost and sent again.
    pub fn lose(&self, per_mille: u16) {
        self.network().lose(per_mille);
    }

    /// Ends a member as a killed process (`kill -9`): nothing is handed over and nothing flushed;
    /// what it has written stays, and its connections are closed by its system.
    pub async fn crash(&self, id: NodeId) {
        self.take(id).halt().await;
        if let Some(disk) = self.disk(id) {
            disk.crash(Crash::Process);
        }
    }

    /// Takes the power from a member: nobody hears of its end, and its log keeps of what was not
    /// synced as much as `crash` says. Starting it again switches it on.
    ///
    /// Panics unless its disk is simulated.
    pub async fn power_off(&self, id: NodeId, crash: Crash) {
        let place = self.place(id);
        let Some(disk) = &place.disk else { panic!("the disk of member {id} is not simulated") };
        let node = self.take(id);
        self.network().switch_off(&place.host);
        // First, so that nothing the node still does reaches the disk.
        disk.crash(crash);
        node.halt().await;
    }

    fn pairs(&self) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        let ids = || self.members().iter().chain(self.reserves()).map(|member| member.id);
        ids().flat_map(move |from| ids().filter(move |to| *to != from).map(move |to| (from, to)))
    }
}
