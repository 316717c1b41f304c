//! The simple tier, in the suite and in a cluster.

use std::collections::{BTreeMap, HashMap};

use raft_core::testing::{Cluster, Law, MachineSuite, Random};
use raft_core::{Context, StateMachine};
use serde::{Deserialize, Serialize};

/// Counts words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Words(BTreeMap<String, u64>);

impl StateMachine for Words {
    type Command = String;
    type Reply = u64;

    fn apply(&mut self, word: String, _: &Context) -> u64 {
        let count = self.0.entry(word).or_default();
        *count += 1;
        *count
    }
}

/// The same with a map whose order nobody knows.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Unordered(HashMap<String, u64>);

impl StateMachine for Unordered {
    type Command = String;
    type Reply = String;

    fn apply(&mut self, word: String, _: &Context) -> String {
        *self.0.entry(word).or_default() += 1;
        self.0.keys().cloned().collect()
    }
}

fn word(random: &mut Random) -> String {
    format!("word {}", random.below(12))
}

#[test]
fn a_typed_machine_passes_by_its_adapter() {
    MachineSuite::typed::<Words>(word).check().unwrap();
}

#[test]
fn a_typed_machine_that_relies_on_the_order_of_a_hash_map_is_found() {
    let broken = MachineSuite::typed::<Unordered>(word).check().unwrap_err();
    assert_eq!(broken.law, Law::Determinism, "{broken}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_cluster_goes_on_without_its_leader() {
    let cluster = Cluster::of(3).start_typed::<Words>().await;
    let limit = cluster.patience();
    let leader = cluster.leader().await;
    let counted = cluster.member(leader).propose(&"once".to_owned(), limit).await.unwrap();
    assert_eq!(counted.value, 1);
    cluster.crash(leader).await;
    let next = cluster.leader().await;
    let counted = cluster.member(next).propose(&"once".to_owned(), limit).await.unwrap();
    assert_eq!(counted.value, 2);
    cluster.start(leader).await;
    let read = cluster.member(leader).read(limit, |words| words.0["once"]).await.unwrap();
    assert_eq!(read.value, 2);
}
