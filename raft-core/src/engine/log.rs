//! openraft's log storage on our [`LogStore`] seam.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use prost::Message as _;
use telegraph_proto::raft as proto;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::engine::types::{LogEntry, LogId, TypeConfig, Vote, log_id};
use crate::engine::wire::{
    self, Misshapen, decode_entry, encode_entry, read_log_id, wire_log_id, wire_vote,
};
use crate::log_store::{Durable, LogPosition, LogStore, Record};
use crate::member::NodeId;
use crate::meters::Meters;
use crate::position::Position;

/// Bytes of entries that one read brings up when all of a range is wanted: enough to make disk
/// reads sequential, little enough to hold several.
const READ_BYTES: usize = 1 << 20;

/// openraft's view of the log; cheap to clone.
///
/// - The bytes of a record are the encoded entry, made once.
/// - openraft waits for votes and truncations to be durable before it goes on; an append is
///   acknowledged by its callback, and a purge by nobody: all become durable in order.
#[derive(Clone)]
pub(crate) struct Log {
    store: Arc<dyn LogStore>,
    /// Changes whenever something became durable, or failed to.
    flushed: Arc<watch::Sender<()>>,
    /// Most bytes of entries in one append request.
    append_bytes: usize,
    /// This node, which stands for election in its own name.
    us: NodeId,
    meters: Arc<Meters>,
}

impl Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// Adapts a store; an append request will carry at most `append_bytes` of entries.
    pub(crate) fn new(
        store: Arc<dyn LogStore>,
        append_bytes: usize,
        us: NodeId,
        meters: &Arc<Meters>,
    ) -> Log {
        let flushed = Arc::new(watch::Sender::new(()));
        Log { store, flushed, append_bytes, us, meters: Arc::clone(meters) }
    }

    /// The store underneath.
    pub(crate) fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// Waits until the entry at `index` is durable here. Fails when the store has failed.
    pub(crate) async fn wait_durable(&self, index: u64) -> io::Result<()> {
        let mut flushed = self.flushed.subscribe();
        loop {
            flushed.borrow_and_update();
            if let Some(error) = self.store.failed() {
                return Err(repeat(&error));
            }
            if self.store.durable_last().is_some_and(|last| last.index >= index) {
                return Ok(());
            }
            // The sender is ours, so the channel is open; an error would be a lost wake-up.
            flushed.changed().await.map_err(io::Error::other)?;
        }
    }

    /// A callback that wakes whoever waits for durability, after `then`.
    fn durable(&self, then: impl FnOnce(io::Result<()>) + Send + 'static) -> Durable {
        let flushed = Arc::clone(&self.flushed);
        Box::new(move |result| {
            then(result);
            flushed.send_replace(());
        })
    }

    /// The same, where nobody waits: a failure shows at the next call, the store stays failed.
    pub(crate) fn unwatched(&self) -> Durable {
        self.durable(|result| {
            if let Err(error) = result {
                tracing::error!(%error, "a change of the log did not become durable");
            }
        })
    }

    fn check(&self) -> io::Result<()> {
        self.store.failed().map_or(Ok(()), |error| Err(repeat(&error)))
    }

    /// Waits until few enough bytes wait for the disk.
    async fn wait_room(&self) -> io::Result<()> {
        let (wake, woken) = oneshot::channel();
        self.store.when_room(Box::new(move || {
            let _ = wake.send(());
        }));
        // A store that failed may drop the callback instead of calling it.
        let _ = woken.await;
        self.check()
    }

    /// Entries from `from` on, at least one if any is there, about `max_bytes` of them.
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<LogEntry>> {
        let records = match self.store.read_cached(from, to, max_bytes)? {
            Some(records) => records,
            None => {
                let store = Arc::clone(&self.store);
                tokio::task::spawn_blocking(move || store.read(from, to, max_bytes))
                    .await
                    .map_err(io::Error::other)??
            }
        };
        records.into_iter().map(entry_of).collect()
    }
}

fn repeat(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// The entry of a record. Fails when the bytes are another's, or nobody's.
pub(crate) fn entry_of(record: Record) -> io::Result<LogEntry> {
    let at = Position { term: record.term, index: record.index };
    let entry = decode_entry(record.payload).map_err(damaged)?;
    if entry.id != log_id(at) {
        return Err(damaged(Misshapen(format!("the entry at {at} says it is {}", entry.id))));
    }
    Ok(entry)
}

/// What was read from the disk is not what was written.
pub(crate) fn damaged(error: Misshapen) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(at) => *at,
        Bound::Excluded(at) => at.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(at) => at.saturating_add(1),
        Bound::Excluded(at) => *at,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

fn id_of(at: LogPosition) -> LogId {
    log_id(Position { term: at.term, index: at.index })
}

impl RaftLogReader<TypeConfig> for Log {
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<LogEntry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let chunks = stream::try_unfold((self.clone(), from), move |(log, from)| async move {
            if from >= to {
                return Ok(None);
            }
            let entries = log.read(from, to, READ_BYTES).await?;
            let Some(last) = entries.last() else { return Ok(None) };
            let next = last.id.index.saturating_add(1);
            Ok::<_, io::Error>(Some((stream::iter(entries.into_iter().map(Ok)), (log, next))))
        });
        Box::pin(futures_util::TryStreamExt::try_flatten(chunks))
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<LogEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (mut from, to) = bounds(&range);
        let mut all = Vec::new();
        while from < to {
            let entries = self.read(from, to, READ_BYTES).await?;
            let Some(last) = entries.last() else { break };
            from = last.id.index.saturating_add(1);
            all.extend(entries);
        }
        Ok(all)
    }

    async fn limited_get_log_entries(&mut self, from: u64, to: u64) -> io::Result<Vec<LogEntry>> {
        self.read(from, to, self.append_bytes).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let Some(bytes) = self.store.state().vote else { return Ok(None) };
        let vote = proto::Vote::decode(bytes).map_err(Misshapen::from).map_err(damaged)?;
        wire::read_vote(Some(vote)).map(Some).map_err(damaged)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.store.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(id_of),
            last_log_id: state.last.map(id_of),
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if vote.leader_id.voted_for == self.us && !vote.committed {
            self.meters.candidacies.one();
        }
        let (done, saved) = oneshot::channel();
        let bytes = wire_vote(vote).encode_to_vec();
        let done = self.durable(|result| {
            let _ = done.send(result);
        });
        self.store.save_vote(bytes.into(), done);
        saved.await.map_err(io::Error::other)?
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.store.save_committed(wire_log_id(committed).encode_to_vec().into());
        }
        self.check()
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let Some(bytes) = self.store.state().committed else { return Ok(None) };
        let at = proto::Position::decode(bytes).map_err(Misshapen::from).map_err(damaged)?;
        read_log_id(at).map(Some).map_err(damaged)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let asked = Instant::now();
        let records = entries
            .into_iter()
            .map(|entry| Record {
                index: entry.id.index,
                term: entry.id.leader_id.term,
                payload: encode_entry(&entry),
            })
            .collect();
        self.wait_room().await?;
        let meters = Arc::clone(&self.meters);
        let durable = self.durable(move |result| {
            meters.append_durable.time(asked.elapsed());
            callback.io_completed(result);
        });
        self.store.append(records, durable);
        self.meters.append.time(asked.elapsed());
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let (done, cut) = oneshot::channel();
        let done = self.durable(|result| {
            let _ = done.send(result);
        });
        self.store.truncate_after(last.map(|id| id.index), done);
        // A snapshot may be installed in place of what was cut, and must not outlive the cut.
        cut.await.map_err(io::Error::other)?
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = LogPosition { index: upto.index, term: upto.leader_id.term };
        self.store.purge(upto, self.unwatched());
        self.check()
    }
}
