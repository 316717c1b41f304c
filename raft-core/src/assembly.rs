//! How nodes with the same configuration come to be one cluster, and stay one.
//!
//! # The life of a node without a cluster
//!
//! 1. At its first start it makes its own number and incarnation (`identity.rs`) and looks for
//!    others where its [`Discovery`](raft_core_discovery::Discovery) says (`settings.rs`).
//! 2. Round by round it greets whoever is found (`greeting.rs`), and is greeted by others
//!    (`gathering.rs`); `decision.rs` tells from what was heard what to do. It waits, and says for
//!    whom; or it joins a cluster that exists; or it helps to form one.
//! 3. A cluster is formed by exactly `bootstrap_expect` nodes (`formation.rs`), when all of them
//!    have promised the same list of members, durably (`promise.rs`). Then each of them may write
//!    the first entry, which is the same whoever writes it.
//! 4. A leader that is asked to take a node in decides by `admission.rs`, and from then on
//!    `reconcile.rs` finishes what was begun: a learner is promoted while voters are missing, and a
//!    node that came back wiped takes the place of its former self under the same name.
//! 5. `assembler.rs` is the task that does all this on every node, `steward.rs` what it does while
//!    the node leads. Once a node belongs to a cluster it starts from its log and asks nobody; the
//!    task then only tells the leader when its address has changed, and finds the members' new
//!    addresses while there is no leader.
//!
//! # Why there is never a second cluster
//!
//! - A node keeps at most one promise, for ever, and gives none once it has seen a cluster: that,
//!   too, it remembers durably (`promise.rs`), and says it to whoever greets it. Two clusters would
//!   need two lists without a common node.
//! - A list has as many nodes as are expected, all of them fresh. Members that lost their disks are
//!   fewer while one is left that remembers; with spares beside them they may be enough.
//! - What is, or ever was, seen of a cluster is believed before what is not seen: a node that finds
//!   a cluster without a leader, or hears of one from a fresh node, waits for it, also when nobody
//!   of that cluster answers any more.
//!
//! What is left: as many nodes without data as are expected, of which none has ever seen the
//! cluster and none has met one that has, while no member that remembers answers. They cannot know
//! of it, and form another one. So when disks are lost and there are spares, one that remembers is
//! started first.

pub(crate) mod admission;
pub(crate) mod assembler;
pub(crate) mod decision;
pub(crate) mod formation;
pub(crate) mod gathering;
pub(crate) mod greeting;
pub(crate) mod joining;
pub(crate) mod met;
pub(crate) mod naming;
pub(crate) mod notice;
pub(crate) mod peer;
pub(crate) mod promise;
pub(crate) mod reconcile;
pub(crate) mod responding;
pub(crate) mod settings;
pub(crate) mod steward;
pub(crate) mod tally;
