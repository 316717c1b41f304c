//! What a node needs that finds its cluster itself.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::assembly::assembler::Assembler;
use crate::assembly::gathering::Gathering;
use crate::assembly::greeting::Greeter;
use crate::assembly::notice::Notices;
use crate::assembly::peer::Peer;
use crate::assembly::promise::Promises;
use crate::assembly::reconcile::Aims;
use crate::assembly::steward::Steward;
use crate::channels::Channels;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::StartError;
use crate::event::Events;
use crate::identity::DataDir;
use crate::identity::cluster_line::NO_CLUSTER;
use crate::life::Life;
use crate::member::Member;
use crate::metrics::Counters;
use crate::random::RandomSource;
use crate::roster::Roster;
use crate::service::Assembling;
use crate::status::Status;

/// Who this node is, by its own account.
pub(crate) fn own_member(config: &Config) -> Member {
    match &config.assembly {
        Some(assembly) => Member {
            id: config.node_id,
            address: assembly.address.clone(),
            service_address: assembly.service_address.clone(),
            name: assembly.name.clone(),
        },
        None => config.this_member().cloned().unwrap_or_default(),
    }
}

/// What it knows and has promised; `None` when it was told its members.
pub(crate) fn gathering(
    config: &Config,
    directory: &DataDir,
    random: &Arc<dyn RandomSource>,
) -> Result<Option<Arc<Gathering>>, StartError> {
    let Some(settings) = config.assembly.clone() else { return Ok(None) };
    let identity = directory.identity;
    let Member { id, address, service_address, name } = own_member(config);
    let own = Peer {
        name,
        id,
        incarnation: identity.incarnation,
        address,
        service_address,
        readable_version: config.readable_version,
    };
    let promises = Promises::open(directory.path(), identity.cluster_id != NO_CLUSTER)?;
    Ok(Some(Arc::new(Gathering::new(settings, own, promises, Arc::clone(random)))))
}

/// What the tasks and the service need of a node.
pub(crate) struct Parts<'a> {
    /// As it was started.
    pub(crate) config: &'a Config,
    /// Where its identity lies.
    pub(crate) data_dir: &'a Path,
    /// Consensus.
    pub(crate) engine: &'a Engine,
    /// Who we and the others are.
    pub(crate) roster: &'a Arc<Roster>,
    /// The connections to the others.
    pub(crate) channels: &'a Channels,
    /// Where decisions are told.
    pub(crate) events: &'a Events,
    /// Where they are counted.
    pub(crate) counters: &'a Arc<Counters>,
}

/// What the service needs to let nodes come together.
pub(crate) fn assembling(gathering: &Arc<Gathering>, parts: &Parts<'_>) -> Assembling {
    let settings = &gathering.settings;
    let steward = Steward {
        engine: parts.engine.clone(),
        aims: Aims {
            expect: usize::try_from(settings.bootstrap_expect).unwrap_or(usize::MAX),
            promote_after: parts.config.promote_after,
            replace_after: settings.replace_after,
        },
        max_lag: parts.config.promote_max_lag,
        interval: settings.reconcile_interval,
        leading: Arc::default(),
        notices: Notices::new(parts.events.clone(), Arc::clone(parts.counters)),
    };
    Assembling { gathering: Arc::clone(gathering), steward }
}

/// Begins to bring the node into its cluster, and to care for the members while it leads.
pub(crate) fn assemble(
    assembling: &Assembling,
    parts: &Parts<'_>,
    status: &watch::Sender<Status>,
    life: &Life,
) {
    let (gathering, roster) = (&assembling.gathering, parts.roster);
    let greeter = Greeter::new(
        Arc::clone(gathering),
        Arc::clone(roster),
        parts.channels.clone(),
        parts.config.connect_timeout,
    );
    let assembler = Assembler {
        gathering: Arc::clone(gathering),
        roster: Arc::clone(roster),
        engine: parts.engine.clone(),
        greeter,
        notices: assembling.steward.notices.clone(),
        status: status.clone(),
        data_dir: parts.data_dir.to_owned(),
    };
    life.spawn(assembler.run());
    life.spawn(assembling.steward.clone().run());
}
