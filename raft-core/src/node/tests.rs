use super::*;
use std::io::{Read, Write};

use crate::state_machine::{Entry, MachineError, Records};

struct Nothing;

impl StateMachine for Nothing {
    fn records(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>, MachineError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, entries: &[Entry], _: &Records) -> Result<Vec<Bytes>, MachineError> {
        Ok(entries.iter().map(|entry| entry.payload.clone()).collect())
    }

    fn snapshot(&mut self, _: &mut dyn Write) -> Result<(), MachineError> {
        Ok(())
    }

    fn restore(&mut self, _: &mut dyn Read, _: &Records) -> Result<(), MachineError> {
        Ok(())
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_fails_stops_the_node() {
    let keep = tempfile::tempdir().unwrap();
    let config = Config {
        node_id: 1,
        data_dir: keep.path().join("data"),
        members: vec![Member { id: 1, address: "alone:1".into(), ..Member::default() }],
        allow_plaintext: true,
        ..Config::default()
    };
    let node = Node::start(config.clone(), Nothing, Routes::default()).await.unwrap();
    node.bootstrap().await.unwrap();
    let limit = Duration::from_secs(60);
    node.propose(Bytes::from_static(b"durable"), limit).await.unwrap();
    // As a failed write or sync does.
    node.running.wal.abandon();
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
