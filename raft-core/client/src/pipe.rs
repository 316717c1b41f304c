//! Commands on one kept stream to one member: a call of its own for each would cost twenty times
//! as much.
//!
//! An actor owns the stream. It opens one when there is something to send, puts into one message
//! whatever came meanwhile, and gives each reply to whoever waits for its tag. When the stream
//! ends, what was on it is lost, and what was not is known not to have been sent.

use std::collections::HashMap;

use telegraph_proto::raft;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::explain::explain;

/// Commands accepted and not yet on the stream: a few messages' worth.
const QUEUE: usize = 1024;
/// Commands on the stream and not answered; more wait in the queue, and then with their callers.
const WINDOW: usize = 4096;
/// Commands in one message.
const BATCH: usize = 256;
/// Bytes of commands in one message, except that one command always goes: a quarter of what a
/// message may have, so that a batch of large ones is not refused whole.
pub(crate) const BATCH_BYTES: usize = 2 << 20;
/// Messages on their way into the connection: one being written, one ready.
const OUTBOX: usize = 2;

/// How a command fared on the stream.
#[derive(Debug)]
pub(crate) enum Passage {
    /// The member's reply.
    Replied(raft::ProposeReply),
    /// The call failed before the member had admitted the caller, or never was sent.
    Refused(Status),
    /// It was sent, and the stream ended before its reply.
    Lost(String),
    /// It was not sent.
    Unsent,
}

/// A handle of the actor; cheap to clone. The actor ends with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    commands: mpsc::Sender<Item>,
}

#[derive(Debug)]
struct Item {
    command: raft::Command,
    deadline: Instant,
    done: oneshot::Sender<Passage>,
}

type Waiting = HashMap<u64, oneshot::Sender<Passage>>;

impl Pipe {
    /// Makes a pipe to the member behind `service`, which is told `caller` first.
    pub(crate) fn new(service: RaftServiceClient<Channel>, caller: raft::Caller) -> Pipe {
        let (commands, queue) = mpsc::channel(QUEUE);
        let actor = Actor { service, caller, queue, taken: Vec::new(), next_tag: 0 };
        tokio::spawn(actor.run());
        Pipe { commands }
    }

    /// Sends one command, and waits for what becomes of it. The member is told how much time is
    /// left; that the reply comes by then is for the caller to see to.
    pub(crate) async fn pass(&self, command: raft::Command, deadline: Instant) -> Passage {
        let (done, passage) = oneshot::channel();
        if self.commands.send(Item { command, deadline, done }).await.is_err() {
            return Passage::Unsent;
        }
        // An actor that is gone, with the runtime it ran on, may have sent it.
        passage.await.unwrap_or_else(|_| Passage::Lost("the connection was given up".to_owned()))
    }
}

/// Invariant: `taken` holds what was taken from the queue and is on no stream.
struct Actor {
    service: RaftServiceClient<Channel>,
    caller: raft::Caller,
    queue: mpsc::Receiver<Item>,
    taken: Vec<Item>,
    next_tag: u64,
}

impl Actor {
    async fn run(mut self) {
        while !self.taken.is_empty() || self.queue.recv_many(&mut self.taken, BATCH).await > 0 {
            let mut waiting = Waiting::new();
            let Some(mut first) = self.message(&mut waiting) else { continue };
            first.caller = Some(self.caller.clone());
            let (outbox, requests) = mpsc::channel(OUTBOX);
            if outbox.try_send(first).is_err() {
                // The channel is ours and empty.
                continue;
            }
            match self.service.propose_stream(ReceiverStream::new(requests)).await {
                Ok(replies) => self.carry(replies.into_inner(), outbox, waiting).await,
                Err(status) => {
                    for done in waiting.into_values() {
                        let _ = done.send(Passage::Refused(status.clone()));
                    }
                }
            }
        }
    }

    /// Carries commands and replies until the stream ends, or nobody has a command any more.
    async fn carry(
        &mut self,
        mut replies: Streaming<raft::ProposeStreamReply>,
        outbox: mpsc::Sender<raft::ProposeStreamRequest>,
        mut waiting: Waiting,
    ) {
        let mut open = true;
        let why = loop {
            assert!(waiting.len() <= WINDOW, "the window is kept");
            let room = WINDOW - waiting.len();
            let queue = &mut self.queue;
            let taken = &mut self.taken;
            let next = async {
                let permit = outbox.reserve().await.ok();
                if taken.is_empty() {
                    queue.recv_many(taken, BATCH.min(room)).await;
                }
                permit
            };
            tokio::select! {
                reply = replies.message() => match reply {
                    Ok(Some(reply)) => deliver(reply, &mut waiting),
                    Ok(None) => break "the member ended the stream".to_owned(),
                    Err(status) => break explain(&status),
                },
                permit = next, if open && room > 0 => match permit {
                    None => break "the stream has ended".to_owned(),
                    // Nobody has a command any more: what is under way is still waited for.
                    Some(_) if self.taken.is_empty() => open = false,
                    Some(permit) => {
                        if let Some(message) = self.message(&mut waiting) {
                            permit.send(message);
                        }
                    }
                },
            }
            if !open && waiting.is_empty() {
                return;
            }
        };
        for done in waiting.into_values() {
            let _ = done.send(Passage::Lost(why.clone()));
        }
    }

    /// Puts what was taken into one message, as far as it has room; `None` if nobody waits for any
    /// of it.
    fn message(&mut self, waiting: &mut Waiting) -> Option<raft::ProposeStreamRequest> {
        let mut commands = Vec::with_capacity(self.taken.len());
        let (mut bytes, mut used) = (0, 0);
        for item in &self.taken {
            bytes += item.command.payload.len();
            if used > 0 && bytes > BATCH_BYTES {
                break;
            }
            used += 1;
        }
        let now = Instant::now();
        for item in self.taken.drain(..used) {
            if item.done.is_closed() {
                continue;
            }
            let left = item.deadline.saturating_duration_since(now);
            // 0 would ask for the member's own default.
            let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
            let tag = self.next_tag;
            self.next_tag = tag.wrapping_add(1);
            waiting.insert(tag, item.done);
            let command = Some(item.command);
            commands.push(raft::TaggedCommand { tag, command, deadline_ms });
        }
        (!commands.is_empty()).then_some(raft::ProposeStreamRequest { caller: None, commands })
    }
}

/// Gives replies to whoever waits for them. A tag that nobody has, or has any more, is skipped.
fn deliver(replies: raft::ProposeStreamReply, waiting: &mut Waiting) {
    for tagged in replies.replies {
        if let Some(done) = waiting.remove(&tagged.tag) {
            let _ = done.send(Passage::Replied(tagged.reply.unwrap_or_default()));
        }
    }
}
