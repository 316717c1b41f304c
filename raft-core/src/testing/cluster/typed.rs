//! A cluster whose state machine is a value in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::member::NodeId;
use crate::replicated::Replicated;
use crate::replicated::adapter::{Adapter, Shared};
use crate::replicated::machine::StateMachine;
use crate::testing::cluster::Cluster;
use crate::testing::cluster::plan::ClusterPlan;

type States<S> = Arc<Mutex<BTreeMap<NodeId, Shared<S>>>>;

/// A [`Cluster`] with typed members.
pub struct TypedCluster<S> {
    cluster: Cluster,
    states: States<S>,
}

impl ClusterPlan {
    /// [`start`](ClusterPlan::start) for a machine of the simple tier.
    pub async fn start_typed<S: StateMachine>(self) -> TypedCluster<S> {
        let states = States::<S>::default();
        let kept = Arc::clone(&states);
        let cluster = self.start(move |id, _| {
            let (adapter, state) = Adapter::<S>::new();
            kept.lock().unwrap_or_else(PoisonError::into_inner).insert(id, state);
            adapter
        });
        TypedCluster { cluster: cluster.await, states }
    }
}

impl<S: StateMachine> TypedCluster<S> {
    /// A member with typed commands and replies. Panics when it is down.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Replicated<S> {
        let node = self.cluster.node(id);
        let state = self.states.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        Replicated::new(node, state.unwrap_or_else(|| panic!("member {id} never started")))
    }
}

impl<S> Deref for TypedCluster<S> {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl<S> Clone for TypedCluster<S> {
    fn clone(&self) -> TypedCluster<S> {
        TypedCluster { cluster: self.cluster.clone(), states: Arc::clone(&self.states) }
    }
}

impl<S> fmt::Debug for TypedCluster<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCluster").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
