//! From a few words to a running node.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tonic::service::Routes;

use crate::assembly::settings::Assembly;
use crate::config::Config;
use crate::environment::Environment;
use crate::error::StartError;
use crate::listening::Listening;
use crate::member::{Member, NodeId};
use crate::node::Node;
use crate::replicated::Replicated;
use crate::replicated::adapter::Adapter;
use crate::replicated::machine::StateMachine;
use crate::state_machine::OnDiskStateMachine;
use crate::tls::Tls;

/// Builds a [`Config`] step by step, and starts a node with it.
///
/// What must be given is the data directory, the members (or an [`Assembly`]), and either
/// [`tls`](NodeBuilder::tls) or [`allow_plaintext`](NodeBuilder::allow_plaintext); everything else
/// has a default that [`Config`] documents and [`configure`](NodeBuilder::configure) changes. What
/// does not fit together is refused at start, with the name of the field.
#[derive(Debug)]
#[must_use = "a builder does nothing until the node is started"]
pub struct NodeBuilder {
    config: Config,
    listener: Option<TcpListener>,
    services: Routes,
}

impl Node {
    /// Begins to build the member of that number; never 0, and never used before for another one.
    pub fn builder(node_id: NodeId) -> NodeBuilder {
        Config { node_id, ..Config::default() }.into()
    }

    /// Begins to build a node that finds its cluster itself, and makes its own number.
    pub fn assemble(assembly: Assembly) -> NodeBuilder {
        Config { assembly: Some(assembly), ..Config::default() }.into()
    }
}

impl From<Config> for NodeBuilder {
    fn from(config: Config) -> NodeBuilder {
        NodeBuilder { config, listener: None, services: Routes::default() }
    }
}

impl NodeBuilder {
    /// Directory of everything the node keeps; made if need be; one process owns it at a time.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> NodeBuilder {
        self.config.data_dir = path.into();
        self
    }

    /// Where the other members' calls are accepted; a free port of the loopback unless given.
    pub fn listen(mut self, address: impl Into<SocketAddr>) -> NodeBuilder {
        self.config.listen = address.into();
        self
    }

    /// A socket that listens already takes the place of [`listen`](NodeBuilder::listen): from a
    /// service manager, or with a port that the system chose and the members were told.
    pub fn listener(mut self, listener: TcpListener) -> NodeBuilder {
        self.listener = Some(listener);
        self
    }

    /// Adds a member: its number, and `host:port` where the others reach it. All members, this
    /// one included, must be given the same list.
    pub fn member(mut self, id: NodeId, address: impl Into<String>) -> NodeBuilder {
        self.config.members.push(Member::new(id, address));
        self
    }

    /// Adds members.
    pub fn members(mut self, members: impl IntoIterator<Item = Member>) -> NodeBuilder {
        self.config.members.extend(members);
        self
    }

    /// The id of a running cluster that is to take this node in
    /// ([`Node::add_learner`]), instead of the one its list would form; some of its members beside
    /// this one are then enough of a list.
    pub fn cluster_id(mut self, id: [u8; 16]) -> NodeBuilder {
        self.config.cluster_id = Some(id);
        self
    }

    /// Credentials for mutual TLS among the members.
    pub fn tls(mut self, tls: Tls) -> NodeBuilder {
        self.config.tls = Some(tls);
        self
    }

    /// Permits members to talk without TLS, which lets anybody who reaches the port write.
    pub fn allow_plaintext(mut self) -> NodeBuilder {
        self.config.allow_plaintext = true;
        self
    }

    /// The application's own gRPC services, served at the same address to the same callers: to the
    /// members, and to nobody else where there is TLS. [`Node::channel`] calls them.
    pub fn services(mut self, services: Routes) -> NodeBuilder {
        self.services = services;
        self
    }

    /// Changes whatever has no method of its own.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> NodeBuilder {
        change(&mut self.config);
        self
    }

    /// Starts the node with a state machine in memory, empty at first and filled from the last
    /// snapshot and the log; [`StateMachine::VERSION`] is what it reads. Then
    /// [`Replicated::bootstrap`] forms the cluster.
    ///
    /// Must be called within a tokio runtime, with time and network enabled. Fails as
    /// [`StartError`] says; nothing of the node is left running then.
    pub async fn start<M: StateMachine>(mut self) -> Result<Replicated<M>, StartError> {
        self.config.readable_version = M::VERSION;
        let (adapter, state) = Adapter::<M>::new();
        let node = self.start_on_disk(adapter).await?;
        Ok(Replicated::new(node, state))
    }

    /// Starts the node with a state machine that keeps its own state. Otherwise as
    /// [`start`](NodeBuilder::start).
    pub async fn start_on_disk(self, machine: impl OnDiskStateMachine) -> Result<Node, StartError> {
        let NodeBuilder { mut config, listener, services } = self;
        let Some(listener) = listener else {
            return Node::start(config, machine, services).await;
        };
        let listening = Listening::new(listener)
            .map_err(|source| StartError::Bind { address: config.listen, source })?;
        config.listen = listening.address();
        let environment = Environment { transport: Arc::new(listening), ..Environment::default() };
        Node::start_with(config, machine, services, environment).await
    }
}
