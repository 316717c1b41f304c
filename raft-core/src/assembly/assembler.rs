//! The task that brings a node into its cluster, and keeps it findable there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use raft_core_discovery::{Candidate, Discovery, Source};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::assembly::decision::{ClusterId, Decision, Heard, Own, Standing, clusters_of, decide};
use crate::assembly::formation::Formation;
use crate::assembly::gathering::Gathering;
use crate::assembly::greeting::{Answer, Greeter};
use crate::assembly::joining::{Joined, join};
use crate::assembly::notice::Notices;
use crate::assembly::peer::Peer;
use crate::assembly::responding::Responding;
use crate::engine::Engine;
use crate::engine::refusal::Unformed;
use crate::event::Event;
use crate::identity::adoption::adopt_cluster;
use crate::members::MemberRecord;
use crate::roster::Roster;
use crate::status::Status;

/// Rounds without any other node after which the range is swept, too.
const LONELY_ROUNDS: u32 = 3;

/// Addresses greeted that others have told of and nobody else has, in one round.
const TOLD_MAX: usize = 64;

/// What the task is made of.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// What it knows and has promised.
    pub(crate) gathering: Arc<Gathering>,
    /// Who we are, and the others.
    pub(crate) roster: Arc<Roster>,
    /// Consensus here.
    pub(crate) engine: Engine,
    /// Asks others.
    pub(crate) greeter: Greeter,
    /// Where decisions are told.
    pub(crate) notices: Notices,
    /// What the node says of itself.
    pub(crate) status: watch::Sender<Status>,
    /// Where the identity lies.
    pub(crate) data_dir: PathBuf,
}

impl Assembler {
    /// Brings the node into a cluster, unless it belongs to one, and keeps it findable; never
    /// returns but when the disk fails, which stops nothing else.
    pub(crate) async fn run(mut self) {
        let discovery = self.discovery();
        let mut responding = Responding::start(&self.gathering, self.roster.identity()).await;
        if !self.roster.belongs() {
            self.gather(&discovery).await;
            responding = responding.renew(&self.gathering, self.roster.identity()).await;
        } else {
            self.form_again().await;
        }
        self.attend(&discovery).await;
        drop(responding);
    }

    fn discovery(&self) -> Discovery {
        let mut discovery = self.gathering.settings.discovery.clone();
        discovery.cache_file.get_or_insert_with(|| self.data_dir.join("addresses"));
        discovery
    }

    /// Round by round until the node belongs to a cluster.
    async fn gather(&mut self, discovery: &Discovery) {
        let mut lonely = 0_u32;
        loop {
            let answers = self.look(discovery, lonely >= LONELY_ROUNDS).await;
            lonely = if answers.is_empty() { lonely.saturating_add(1) } else { 0 };
            let heard: Vec<Heard> = answers.into_iter().map(|answer| answer.heard).collect();
            for fresh in heard.iter().filter(|h| matches!(h.standing, Standing::Fresh { .. })) {
                self.gathering.note(fresh.peer.clone());
            }
            // Alone at first: the range was not asked yet, and somebody may be there.
            if (1..=LONELY_ROUNDS).contains(&lonely) && discovery.sweep.is_some() {
                self.pause().await;
                continue;
            }
            if self.act(&heard).await {
                return;
            }
            self.pause().await;
        }
    }

    /// Does what follows from a round; true once the node belongs to a cluster.
    async fn act(&mut self, heard: &[Heard]) -> bool {
        if !self.see(heard).await {
            return false;
        }
        // Once a cluster was seen nobody makes the node promise anything meanwhile.
        let own = Own {
            peer: self.gathering.own.clone(),
            expect: self.gathering.settings.bootstrap_expect,
            promise: self.gathering.promises.given(),
            seen: self.gathering.promises.seen(),
        };
        match decide(&own, heard) {
            Decision::Wait(wait) => self.notices.remind(Event::Waiting { why: wait.to_string() }),
            Decision::Refuse(why) => self.notices.remind(Event::Blocked { why: why.to_string() }),
            Decision::Ask { formation, whom } => self.ask(formation, whom).await,
            Decision::Form(formation) => return self.form(&formation).await,
            Decision::Join { cluster, at } => return self.join(cluster, heard, &at).await,
        }
        false
    }

    /// Remembers the clusters that answer, durably, before anything is decided; false when it
    /// cannot.
    async fn see(&self, heard: &[Heard]) -> bool {
        let (gathering, clusters) = (Arc::clone(&self.gathering), clusters_of(heard));
        if clusters.is_empty() {
            return true;
        }
        match tokio::task::spawn_blocking(move || gathering.promises.see(clusters)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "the cluster that was seen cannot be kept on disk");
                false
            }
            Err(_) => false,
        }
    }

    /// Promises a formation, durably, and then asks others to promise it.
    async fn ask(&mut self, formation: Formation, whom: Vec<(Peer, String)>) {
        let (gathering, list) = (Arc::clone(&self.gathering), formation.clone());
        let given = tokio::task::spawn_blocking(move || gathering.give(list)).await;
        match given {
            Ok(Ok((_, true))) => self.notices.tell(promised(&formation)),
            Ok(Ok((_, false))) => {}
            Ok(Err(why)) => return self.notices.remind(Event::Blocked { why }),
            Err(_) => return,
        }
        let asked = whom.iter().map(|(peer, at)| {
            let asked = self.greeter.ask_promise(&formation, peer, at);
            async move { (peer, asked.await) }
        });
        for (peer, answer) in futures_util::future::join_all(asked).await {
            if let Err(why) = answer {
                tracing::info!(%peer, why, "a promise was not given");
            }
        }
    }

    /// Forms the promised cluster: every member has promised it.
    async fn form(&mut self, formation: &Formation) -> bool {
        let cluster = formation.cluster_id();
        let (gathering, list) = (Arc::clone(&self.gathering), formation.clone());
        let data_dir = self.data_dir.clone();
        let adopted = tokio::task::spawn_blocking(move || {
            gathering.promises.redeem(&list, || adopt_cluster(&data_dir, cluster))
        });
        match adopted.await {
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the cluster cannot be adopted");
                return false;
            }
            // Released at the last moment.
            Ok(None) | Err(_) => return false,
        }
        self.belong(cluster);
        self.initialize(formation).await;
        self.notices.tell(Event::Formed { cluster_id: cluster, members: formation.public() });
        true
    }

    /// After a stop between promise and first entry: everybody had promised.
    async fn form_again(&mut self) {
        let given = self.gathering.promises.given();
        let ours = self.roster.identity().cluster_id;
        if let Some(formation) = given.filter(|given| given.cluster_id() == ours)
            && self.engine.is_fresh()
        {
            self.initialize(&formation).await;
        }
    }

    async fn initialize(&self, formation: &Formation) {
        let records: Vec<MemberRecord> = formation.members().iter().map(Peer::record).collect();
        self.roster.follow(records.clone(), &BTreeSet::new());
        match self.engine.initialize_known(&records).await {
            // Exists: the entry of another member was quicker; it is the same.
            Ok(()) | Err(Unformed::Exists | Unformed::Stopped) => {}
        }
    }

    /// Has the cluster take the node in.
    async fn join(&mut self, cluster: ClusterId, heard: &[Heard], at: &[String]) -> bool {
        let members = heard.iter().filter(|h| at.contains(&h.at)).map(|h| (h.peer.clone(), &h.at));
        let members: Vec<(Peer, String)> = members.map(|(peer, at)| (peer, at.clone())).collect();
        if let Some((_, by)) = members.first() {
            self.notices.remind(Event::Joining { cluster_id: cluster, by: by.clone() });
        }
        let (listed, removed) = match join(&self.greeter, cluster, members).await {
            Joined::Yes { listed, removed } => (listed, removed),
            Joined::Refused(why) => {
                self.notices.remind(Event::Blocked { why });
                return false;
            }
            Joined::NotNow(why) => {
                self.notices.remind(Event::Waiting { why });
                return false;
            }
        };
        let data_dir = self.data_dir.clone();
        let adopted = tokio::task::spawn_blocking(move || adopt_cluster(&data_dir, cluster)).await;
        if let Ok(Err(error)) = &adopted {
            tracing::error!(%error, "the cluster cannot be adopted");
        }
        if !matches!(adopted, Ok(Ok(()))) {
            return false;
        }
        self.roster.follow(listed, &removed);
        self.belong(cluster);
        self.notices.tell(Event::Joined { cluster_id: cluster });
        true
    }

    fn belong(&self, cluster: ClusterId) {
        self.roster.adopt(cluster);
        self.status.send_modify(|status| status.cluster_id = cluster);
    }

    /// As a member: keeps the addresses of the others for the next start, and looks for them while
    /// nobody leads.
    async fn attend(&mut self, discovery: &Discovery) {
        let (mut kept, mut lonely) = (Vec::new(), 0_u32);
        loop {
            self.pause().await;
            if self.engine.leader().is_some() {
                lonely = 0;
                self.remember(discovery, &mut kept).await;
                continue;
            }
            let answers = self.look(discovery, lonely >= LONELY_ROUNDS).await;
            lonely = lonely.saturating_add(1);
            let ours = self.roster.identity().cluster_id;
            for answer in answers {
                let is_ours = matches!(
                    answer.heard.standing, Standing::Member { cluster, .. } if cluster == ours
                );
                if is_ours {
                    self.found(answer).await;
                }
            }
        }
    }

    /// A member of our cluster has answered: it is where it says it is, unless it is a copy. A node
    /// whose log is still empty calls nobody by itself, so it says here where it is.
    async fn found(&self, answer: Answer) {
        let peer = &answer.heard.peer;
        if self.engine.is_fresh() {
            let _ = self.greeter.ask_join(peer.id, &answer.heard.at).await;
        }
        let listed = self.roster.listed(peer.id).and_then(|listed| listed.incarnation);
        if listed.is_none_or(|listed| listed == peer.incarnation)
            && let (Some(caller), Some(said)) = (answer.reply.caller, answer.reply.member)
        {
            self.roster.note(&caller, MemberRecord::from(said));
        }
    }

    async fn remember(&self, discovery: &Discovery, kept: &mut Vec<String>) {
        let us = self.roster.identity().node_id;
        let others = self.roster.members().into_keys().filter(|id| *id != us);
        let found = others.filter_map(|id| self.roster.addresses(id).into_iter().next());
        let found: Vec<String> = found.collect();
        if found == *kept {
            return;
        }
        match discovery.remember(&found).await {
            Ok(()) => *kept = found,
            Err(error) => tracing::warn!(%error, "the members' addresses cannot be kept"),
        }
    }

    /// Greets everybody who may be found, and whoever those have met.
    async fn look(&self, discovery: &Discovery, sweep: bool) -> Vec<Answer> {
        let mut addresses = candidates(discovery, sweep).await;
        addresses.extend(self.gathering.met().into_iter().map(|peer| peer.address));
        if let Some(promise) = self.gathering.promises.given() {
            addresses.extend(promise.members().iter().map(|member| member.address.clone()));
        }
        let us = self.roster.identity().node_id;
        let others = self.roster.members().into_keys().filter(|id| *id != us);
        addresses.extend(others.flat_map(|id| self.roster.addresses(id)));
        let own = &self.gathering.own.address;
        let addresses: BTreeSet<String> = addresses.into_iter().filter(|a| a != own).collect();
        let mut answers = self.greeter.greet_all(addresses.iter().cloned().collect()).await;
        let told: BTreeSet<String> = answers.iter().flat_map(met_by).collect();
        let told = told.difference(&addresses).filter(|address| *address != own).take(TOLD_MAX);
        answers.extend(self.greeter.greet_more(told.cloned().collect()).await);
        answers
    }

    async fn pause(&self) {
        // Half of the time to one and a half, so that nodes started together do not go on
        // together; without randomness they do, which is no harm.
        let (time, mut byte) = (self.gathering.settings.round_pause, [0_u8]);
        let _ = self.gathering.random.fill(&mut byte);
        sleep(time / 2 + time * u32::from(byte[0]) / 255).await;
    }
}

/// The event of a promise.
pub(crate) fn promised(formation: &Formation) -> Event {
    Event::Promised { cluster_id: formation.cluster_id(), members: formation.public() }
}

async fn candidates(discovery: &Discovery, sweep: bool) -> Vec<String> {
    let mut stages = discovery.stages();
    let mut found: Vec<Candidate> = Vec::new();
    let quick = Discovery { sweep: None, ..discovery.clone() };
    if !sweep {
        stages = quick.stages();
    }
    while let Some(more) = stages.next().await {
        found.extend(more);
    }
    tracing::trace!(swept = found.iter().filter(|c| c.source == Source::Sweep).count(), "searched");
    found.into_iter().map(|candidate| candidate.address).collect()
}

fn met_by(answer: &Answer) -> Vec<String> {
    match &answer.heard.standing {
        Standing::Fresh { met, .. } => met.iter().map(|peer| peer.address.clone()).collect(),
        Standing::Member { .. } => Vec::new(),
    }
}
