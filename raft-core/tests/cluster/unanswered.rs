//! Questions of nodes without a cluster that are not answered, though greetings are.

use std::time::Duration;

use raft_core::Event;
use tokio::time::timeout;

use super::fleet::Fleet;
use super::gate::Gate;
use super::harness::wait;

/// Far longer than any deadline of these tests; what hangs does so for ever.
const SOON: Duration = Duration::from_secs(45);

/// Puts a gate in front of a running place.
async fn gate(fleet: &Fleet, place: usize, call: &'static str) -> Gate {
    let gate = Gate::start(fleet.node(place).local_addr(), call).await;
    fleet.places[place].proxy.lead_to(gate.address);
    gate
}

/// Sees that the call is made again: so the first one was given up.
async fn given_up(gates: &[Gate], call: &str) {
    let again = wait(call, || gates.iter().any(|gate| gate.swallowed() >= 2));
    timeout(SOON, again).await.unwrap_or_else(|_| panic!("{call} was not given up"));
}

/// A promise is asked for again, and the cluster is formed once it is given.
pub(crate) async fn swallow_promises() {
    let mut fleet = Fleet::prepare(3, 3).await;
    let mut gates = Vec::new();
    // Whoever asks, it asks one of these.
    for place in 0..2 {
        fleet.start(place).await;
        gates.push(gate(&fleet, place, "/Promise").await);
    }
    fleet.start(2).await;
    given_up(&gates, "the promise").await;
    assert!(!(0..3).any(|place| fleet.told(place, |told| matches!(told, Event::Formed { .. }))));
    gates.iter().for_each(Gate::open);
    fleet.leader().await;
    assert_eq!(fleet.cluster_ids().len(), 1);
}

/// A node asks again to be taken in, and is once it is answered.
pub(crate) async fn swallow_joins() {
    let mut fleet = Fleet::formed(1, 1).await;
    let gate = gate(&fleet, 0, "/Join").await;
    let newcomer = fleet.add().await;
    fleet.start(newcomer).await;
    given_up(std::slice::from_ref(&gate), "the request to join").await;
    assert_eq!(fleet.node(0).members().iter().count(), 1);
    gate.open();
    fleet.tells(newcomer, "that it has joined", |told| matches!(told, Event::Joined { .. })).await;
    assert_eq!(fleet.cluster_ids().len(), 1);
}
