use super::*;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::{ProposeError, ReadError};
use crate::state_machine::{Entry, Image, MachineError, Records, RecordsFor};
use crate::transport::{Acceptor, AnyConnection, Tcp, Transport};

struct Nothing;

impl OnDiskStateMachine for Nothing {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, entries: &[Entry], _: RecordsFor<'_>) -> Result<Vec<Bytes>, MachineError> {
        Ok(entries.iter().map(|entry| entry.payload.clone()).collect())
    }

    fn snapshot(&mut self) -> Result<Image, MachineError> {
        Ok(Box::new(|_| Ok(())))
    }

    fn restore(&mut self, _: &mut dyn Read, _: &Records) -> Result<(), MachineError> {
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        Ok(())
    }
}

/// The configuration of a cluster of one.
fn alone(directory: &Path) -> Config {
    Config {
        node_id: 1,
        data_dir: directory.join("data"),
        members: vec![Member { id: 1, address: "alone:1".into(), ..Member::default() }],
        allow_plaintext: true,
        ..Config::default()
    }
}

/// openraft counts a leader among those it replicates to. Handed to itself, leadership would take
/// no proposals for an election timeout, and then go on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_not_its_own_successor() {
    let keep = tempfile::tempdir().unwrap();
    let node = Node::start(alone(keep.path()), Nothing, Routes::default()).await.unwrap();
    node.bootstrap().await.unwrap();
    for _ in 0..3 {
        node.propose(Bytes::new(), Duration::from_secs(60)).await.unwrap();
        assert_eq!(node.running.engine.successors(), Vec::<NodeId>::new());
    }
    let replicated = node.running.engine.replicated();
    assert!(replicated.iter().any(|(id, _)| *id == 1), "{replicated:?}, or it shows nothing");
    node.shutdown().await.unwrap();
}

/// d-engine#404: a log that could not be written was complained about, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_fails_stops_the_node() {
    let keep = tempfile::tempdir().unwrap();
    let config = alone(keep.path());
    let node = Node::start(config.clone(), Nothing, Routes::default()).await.unwrap();
    node.bootstrap().await.unwrap();
    let limit = Duration::from_secs(60);
    node.propose(Bytes::from_static(b"durable"), limit).await.unwrap();
    // As a failed write or sync does.
    node.running.log.abandon();
    let refused = node.propose(Bytes::from_static(b"lost"), limit).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped { .. }), "{refused:?}");
    assert!(matches!(node.stopped().await, StopReason::Failed(_)));
    assert_eq!(node.status().role, Role::Stopped);
    assert!(matches!(node.read_barrier(limit).await, Err(ReadError::Stopped(_))));
    assert!(matches!(node.shutdown().await, Err(StopReason::Failed(_))));
    // Its directory is free, and what was acknowledged is there.
    let node = Node::start(config, Nothing, Routes::default()).await.unwrap();
    let again = node.propose(Bytes::from_static(b"again"), limit).await.unwrap();
    assert!(again.position.index >= 3);
}

/// A network that accepts no connection but panics.
#[derive(Debug)]
struct Trapped;

impl Transport for Trapped {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<AnyConnection>> {
        Tcp.connect(address)
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Acceptor>>> {
        Box::pin(async move { Ok(Box::new(Trap(address)) as Box<dyn Acceptor>) })
    }
}

#[derive(Debug)]
struct Trap(SocketAddr);

impl Acceptor for Trap {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyConnection, SocketAddr)>> {
        Box::pin(async { panic!("a trap in the accept loop") })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_panics_stops_the_node_with_that_reason() {
    let keep = tempfile::tempdir().unwrap();
    let config = alone(keep.path());
    let environment = Environment { transport: Arc::new(Trapped), ..Environment::default() };
    let started = Node::start_with(config, Nothing, Routes::default(), environment).await;
    let node = started.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(60), node.stopped()).await.unwrap();
    let StopReason::Failed(cause) = stopped else { panic!("{stopped}") };
    assert!(cause.to_string().contains("a trap in the accept loop"), "{cause}");
    assert_eq!(node.status().role, Role::Stopped);
}
