//! What a node does for the members while it leads: it takes in whoever asks, and finishes what was
//! begun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use telegraph_proto::raft as proto;
use telegraph_proto::raft::join_refused::Reason;
use telegraph_proto::raft::join_reply::Result as Reply;
use tokio::time::{Instant, sleep};

use crate::assembly::admission::{self, Verdict};
use crate::assembly::notice::Notices;
use crate::assembly::peer::Peer;
use crate::assembly::reconcile::{Aims, Step, former, next_step};
use crate::engine::Engine;
use crate::event::Event;
use crate::member::NodeId;
use crate::members::{Change, ChangeError, Members};

/// Time for one change of the members. It goes on when we do not wait for its end.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes care of the members; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Steward {
    /// Consensus here.
    pub(crate) engine: Engine,
    /// What is wanted.
    pub(crate) aims: Aims,
    /// Entries a learner may lack and still count as having kept up.
    pub(crate) max_lag: u64,
    /// Pause between two looks.
    pub(crate) interval: Duration,
    /// Since when this node leads which term, as far as that was noticed.
    pub(crate) leading: Arc<Mutex<Option<(u64, Instant)>>>,
    /// Where decisions are told.
    pub(crate) notices: Notices,
}

/// What a leader has seen of the members in its term.
#[derive(Debug)]
struct Term {
    number: u64,
    since: Instant,
    /// Since when each learner has kept up without a break.
    kept_up: BTreeMap<NodeId, Instant>,
    /// Which replacements were told.
    told: BTreeSet<NodeId>,
}

impl Steward {
    /// Reconciles the members while this node leads, until it ends.
    pub(crate) async fn run(self) {
        let mut term: Option<Term> = None;
        loop {
            sleep(self.interval).await;
            let Some((number, since)) = self.leads_since() else {
                term = None;
                continue;
            };
            let known = term.take().filter(|term| term.number == number);
            let mut now = known.unwrap_or_else(|| Term {
                number,
                since,
                kept_up: BTreeMap::new(),
                told: BTreeSet::new(),
            });
            self.reconcile(&mut now).await;
            term = Some(now);
        }
    }

    /// The term this node leads, and since when; `None` when it does not.
    fn leads_since(&self) -> Option<(u64, Instant)> {
        let term = self.engine.led_term();
        let mut leading = self.leading.lock().unwrap_or_else(PoisonError::into_inner);
        *leading = term.map(|term| match *leading {
            Some(known) if known.0 == term => known,
            _ => (term, Instant::now()),
        });
        *leading
    }

    async fn reconcile(&self, term: &mut Term) {
        let members = self.engine.members();
        self.observe(term, &members);
        let step = next_step(
            &members,
            self.aims,
            |id| self.silence(id, term.since),
            |id| term.kept_up.get(&id).map(Instant::elapsed),
        );
        if let Some(step) = step {
            self.take(step, &members).await;
        }
    }

    fn observe(&self, term: &mut Term, members: &Members) {
        for learner in &members.learners {
            let id = learner.member.id;
            let lag = self.engine.lag(id);
            let reads = learner.readable_version.max(1) >= self.engine.version_in_use();
            let behind = lag.is_none_or(|lag| lag > self.max_lag);
            if behind || !reads || self.is_silent(id, term.since) {
                term.kept_up.remove(&id);
            } else {
                term.kept_up.entry(id).or_insert_with(Instant::now);
            }
            if let Some(old) = former(members, learner)
                && term.told.insert(id)
            {
                let name = learner.member.name.clone();
                self.notices.tell(Event::Replacing { name, old, new: id });
            }
        }
        term.kept_up.retain(|id, _| !members.is_voter(*id) && members.get(*id).is_some());
    }

    async fn take(&self, step: Step, members: &Members) {
        let record = |id| members.get(id).map(|record| record.member.clone()).unwrap_or_default();
        let (change, event) = match step {
            Step::Promote(id) => (Change::Promote(id), Event::Promoted { member: record(id) }),
            Step::Replace { old, new } => {
                let name = record(new).name;
                (Change::Replace { old, new }, Event::Replaced { name, old, new })
            }
        };
        match self.engine.change(change, Instant::now() + CHANGE_TIMEOUT).await {
            Ok(_) => self.notices.tell(event),
            // Whatever came of it is seen next time, here or at the next leader.
            Err(error) => tracing::info!(?step, %error, "the members did not change"),
        }
    }

    /// Answers a node that wants to be a member. `leader` is where it is sent when this node does
    /// not lead.
    pub(crate) async fn answer(
        &self,
        peer: &Peer,
        cluster_id: [u8; 16],
        leader: impl Fn() -> proto::NotLeader,
    ) -> proto::JoinReply {
        let result = match self.admit(peer).await {
            Ok(()) => Reply::Joined(proto::Joined {
                cluster_id: cluster_id.to_vec().into(),
                membership: Some(self.engine.stored_membership()),
            }),
            Err(Unadmitted::NotLeader) => Reply::NotLeader(leader()),
            Err(Unadmitted::Refused(reason, detail)) => {
                if reason != Reason::NotNow {
                    let why = detail.clone();
                    self.notices.remind(Event::TurnedAway { member: peer.member(), why });
                }
                Reply::Refused(proto::JoinRefused { reason: reason.into(), detail })
            }
        };
        proto::JoinReply { result: Some(result) }
    }

    async fn admit(&self, peer: &Peer) -> Result<(), Unadmitted> {
        let Some((_, since)) = self.leads_since() else { return Err(Unadmitted::NotLeader) };
        let members = self.engine.members();
        let patience = self.aims.replace_after;
        let is_committed = |id| self.engine.is_committed_member(id);
        let silence = |id| self.silence(id, since);
        let verdict = admission::judge(&members, is_committed, peer, silence, patience);
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        match verdict {
            Verdict::Refuse(reason, detail) => Err(Unadmitted::Refused(reason, detail)),
            Verdict::Listed => Ok(()),
            Verdict::Clear(former) => {
                self.engine.change(Change::Remove(former), deadline).await?;
                let detail = format!("node {former}, its former self, was removed first");
                Err(Unadmitted::Refused(Reason::NotNow, detail))
            }
            Verdict::Admit { former } => {
                let change = match former {
                    Some(former) => Change::AddSuccessor(peer.record(), former),
                    None => Change::AddLearner(peer.record()),
                };
                self.engine.change(change, deadline).await?;
                self.notices.tell(Event::Admitted { member: peer.member() });
                Ok(())
            }
        }
    }

    fn is_silent(&self, id: NodeId, since: Instant) -> bool {
        self.silence(id, since) >= self.aims.replace_after
    }

    fn silence(&self, id: NodeId, since: Instant) -> Duration {
        self.engine.silence(id).unwrap_or_else(|| since.elapsed())
    }
}

/// Why a node was not taken in.
enum Unadmitted {
    NotLeader,
    Refused(Reason, String),
}

impl From<ChangeError> for Unadmitted {
    fn from(error: ChangeError) -> Unadmitted {
        let reason = match &error {
            ChangeError::NotLeader { .. } => return Unadmitted::NotLeader,
            ChangeError::Removed(_) => Reason::Removed,
            ChangeError::Outdated { .. } => Reason::Version,
            ChangeError::Taken { what: "id", .. } => Reason::IdTaken,
            ChangeError::Taken { what: "name", .. } => Reason::NameTaken,
            _ => Reason::NotNow,
        };
        Unadmitted::Refused(reason, error.to_string())
    }
}
