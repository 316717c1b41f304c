//! Which members are known, which of them led last, and the connections to them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::connection::Connection;

/// The most addresses kept: more members than any cluster has, and a bound on what hints can add.
const ADDRESSES_MAX: usize = 64;

/// What one client knows of the way to its cluster.
///
/// - At most [`ADDRESSES_MAX`] addresses, each once, and no connection to any other.
#[derive(Debug, Default)]
pub(crate) struct Route {
    addresses: Vec<String>,
    leader: Option<String>,
    connections: HashMap<String, Arc<Connection>>,
    /// The cluster of the first connection; later ones must lead to the same.
    cluster_id: Option<[u8; 16]>,
}

impl Route {
    pub(crate) fn new(cluster_id: Option<[u8; 16]>) -> Route {
        Route { cluster_id, ..Route::default() }
    }

    pub(crate) fn cluster_id(&self) -> Option<[u8; 16]> {
        self.cluster_id
    }

    /// Every address, the one that led last first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &String> {
        let rest = self.addresses.iter().filter(|address| Some(*address) != self.leader.as_ref());
        self.leader.iter().chain(rest)
    }

    /// The first address that is not among `tried`.
    pub(crate) fn untried(&self, tried: &[String]) -> Option<String> {
        self.addresses().find(|address| !tried.contains(address)).cloned()
    }

    /// Adds an address unless there are too many already.
    pub(crate) fn learn(&mut self, address: &str) {
        let known = self.addresses.iter().any(|there| there == address);
        if !known && self.addresses.len() < ADDRESSES_MAX {
            self.addresses.push(address.to_owned());
        }
        assert!(self.addresses.len() <= ADDRESSES_MAX, "addresses are bounded");
    }

    pub(crate) fn connection(&self, address: &str) -> Option<Arc<Connection>> {
        self.connections.get(address).cloned()
    }

    /// Keeps a connection that was greeted. False if it leads to another cluster than the first
    /// one, which may have been made meanwhile.
    pub(crate) fn keep(&mut self, connection: &Arc<Connection>) -> bool {
        let cluster_id = *self.cluster_id.get_or_insert(connection.cluster_id);
        let ours = cluster_id == connection.cluster_id;
        if ours && self.addresses.contains(&connection.address) {
            self.connections.insert(connection.address.clone(), Arc::clone(connection));
        }
        ours
    }

    /// Forgets a connection that failed, and that it led to the leader.
    pub(crate) fn lose(&mut self, address: &str) {
        self.connections.remove(address);
        self.unseat(address);
    }

    /// Notes that `address` does not lead, or not any more.
    pub(crate) fn unseat(&mut self, address: &str) {
        if self.leader.as_deref() == Some(address) {
            self.leader = None;
        }
    }

    /// Notes that `address` leads; true if another one did before.
    pub(crate) fn crown(&mut self, address: &str) -> bool {
        if self.leader.as_deref() == Some(address) {
            return false;
        }
        self.learn(address);
        self.leader = Some(address.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_asked_first_until_it_is_lost() {
        let mut route = Route::new(None);
        for address in ["a:1", "b:1", "c:1", "b:1"] {
            route.learn(address);
        }
        assert!(route.crown("b:1") && !route.crown("b:1"));
        assert!(route.addresses().eq(["b:1", "a:1", "c:1"]));
        assert_eq!(route.untried(&["b:1".to_owned()]).as_deref(), Some("a:1"));
        route.unseat("a:1");
        assert!(route.addresses().eq(["b:1", "a:1", "c:1"]));
        route.lose("b:1");
        assert!(route.addresses().eq(["a:1", "b:1", "c:1"]));
    }

    #[test]
    fn hints_cannot_fill_the_memory() {
        let mut route = Route::new(None);
        for port in 1..=1000 {
            route.learn(&format!("host:{port}"));
        }
        let all: Vec<String> = route.addresses().cloned().collect();
        assert_eq!(all.len(), ADDRESSES_MAX);
        assert_eq!(route.untried(&all), None);
    }
}
