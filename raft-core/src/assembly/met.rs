//! The nodes without a cluster that were met lately.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::assembly::peer::Peer;
use crate::member::NodeId;

/// Time for which a node is remembered that is not heard of again: a few rounds of greetings.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The most nodes remembered, twice as many as a cluster can have: more is a flood.
const MET_MAX: usize = 64;

/// Who was met, and when last.
#[derive(Debug, Default)]
pub(crate) struct Met(BTreeMap<NodeId, (Peer, Instant)>);

impl Met {
    /// Notes that a node was met. When there are too many it is passed over.
    pub(crate) fn note(&mut self, peer: Peer, now: Instant) {
        self.forget(now);
        if self.0.len() < MET_MAX || self.0.contains_key(&peer.id) {
            self.0.insert(peer.id, (peer, now));
        }
    }

    /// Everybody met lately.
    pub(crate) fn lately(&mut self, now: Instant) -> Vec<Peer> {
        self.forget(now);
        self.0.values().map(|(peer, _)| peer.clone()).collect()
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, (_, at)| now.saturating_duration_since(*at) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: NodeId) -> Peer {
        Peer {
            name: format!("n{id}"),
            id,
            incarnation: [1; 16],
            address: "h:1".into(),
            service_address: String::new(),
            readable_version: 1,
        }
    }

    #[test]
    fn who_is_not_heard_of_again_is_forgotten() {
        let (mut met, start) = (Met::default(), Instant::now());
        met.note(peer(1), start);
        met.note(peer(2), start + REMEMBERED / 2);
        assert_eq!(met.lately(start + REMEMBERED / 2), [peer(1), peer(2)]);
        assert_eq!(met.lately(start + REMEMBERED), [peer(2)]);
    }

    #[test]
    fn a_flood_displaces_nobody() {
        let (mut met, start) = (Met::default(), Instant::now());
        for id in 1..=1000 {
            met.note(peer(id), start);
        }
        met.note(Peer { address: "moved:1".into(), ..peer(1) }, start);
        let lately = met.lately(start);
        assert_eq!(lately.len(), MET_MAX);
        assert_eq!(lately[0].address, "moved:1");
    }
}
