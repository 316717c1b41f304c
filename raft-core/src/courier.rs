//! Commands on their way to a leader elsewhere, over one stream that is kept: a call of its own
//! costs each command twenty times what its place in a stream does.
//!
//! A task per leader sends what has gathered, many commands in one message, and hands out the
//! answers by their tags. When the stream breaks, what was sent on it has an unknown outcome, and
//! what was not is sent on the next one or given back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use telegraph_proto::raft as proto;
use telegraph_proto::raft::raft_service_client::RaftServiceClient;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::answer::{Answer, read_reply};
use crate::channels::{Channels, MESSAGE_MAX_BYTES};
use crate::error::ProposeError;
use crate::life::Life;
use crate::member::NodeId;
use crate::roster::Roster;
use crate::unsent::{is_unsent, millis};

/// Commands waiting to be sent to one leader: as many as may be under way on the stream. Whoever
/// has more waits.
const QUEUE: usize = WINDOW;

/// Commands under way on one stream: the most a member takes of one (`service/proposals.rs`), and
/// enough for sixty thousand a second at a quarter of a second each.
pub(crate) const WINDOW: usize = 16_384;

/// Commands in one message: enough to spread its cost.
pub(crate) const MESSAGE_COMMANDS: usize = 1024;

/// Bytes of commands in one message, beyond which no further one is added to it.
const MESSAGE_BYTES: usize = 1 << 20;

/// Messages on their way into the connection: one being written, one behind it, so that commands
/// gather here and not there.
const OUTBOX: usize = 2;

/// The stages of a command, told apart so that a deadline knows whether it was sent.
const WAITING: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Hands commands to leaders; one task and one stream for each.
#[derive(Debug)]
pub(crate) struct Couriers {
    roster: Arc<Roster>,
    channels: Channels,
    life: Life,
    queues: Mutex<HashMap<NodeId, mpsc::Sender<Parcel>>>,
}

/// A command that somebody waits for.
struct Parcel {
    command: proto::Command,
    deadline: Instant,
    stage: Arc<AtomicU8>,
    answer: oneshot::Sender<Answer>,
}

/// A command that was sent, and who waits for its answer.
struct Sent {
    command: proto::Command,
    answer: oneshot::Sender<Answer>,
}

impl Couriers {
    /// Nobody is called yet. The tasks end with `life`.
    pub(crate) fn new(roster: Arc<Roster>, channels: Channels, life: &Life) -> Couriers {
        Couriers { roster, channels, life: life.clone(), queues: Mutex::default() }
    }

    /// Passes a command on, and waits for the answer until the deadline. Safe to drop: a command
    /// that was not sent by then never is.
    pub(crate) async fn carry(
        &self,
        leader: NodeId,
        command: proto::Command,
        deadline: Instant,
    ) -> Answer {
        let stage = Arc::new(AtomicU8::new(WAITING));
        let (answer, answered) = oneshot::channel();
        let parcel = Parcel { command, deadline, stage: Arc::clone(&stage), answer };
        let carried = async {
            if self.queue(leader).send(parcel).await.is_err() {
                return Answer::NotProposed;
            }
            // The task that had it is gone, with the node.
            answered.await.unwrap_or_else(|_| unanswered(&stage))
        };
        let late = timeout_at(deadline, carried).await;
        late.unwrap_or_else(|_| unanswered(&stage))
    }

    fn queue(&self, leader: NodeId) -> mpsc::Sender<Parcel> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&leader).filter(|queue| !queue.is_closed()) {
            return queue.clone();
        }
        let (queue, parcels) = mpsc::channel(QUEUE);
        let (roster, channels) = (Arc::clone(&self.roster), self.channels.clone());
        let courier = Courier { leader, roster, channels, parcels, next_tag: 0 };
        self.life.spawn(courier.run());
        queues.insert(leader, queue.clone());
        queue
    }
}

/// What is known of a command whose answer did not come.
fn unanswered(stage: &AtomicU8) -> Answer {
    let withdrawn =
        stage.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if withdrawn { Answer::NotProposed } else { Answer::Settled(Err(ProposeError::Timeout)) }
}

/// The task of one leader.
struct Courier {
    leader: NodeId,
    roster: Arc<Roster>,
    channels: Channels,
    parcels: mpsc::Receiver<Parcel>,
    next_tag: u64,
}

/// An open stream.
///
/// Invariant: `sent` are the commands that went into `requests` and have no answer yet, at most
/// [`WINDOW`].
struct Line {
    requests: mpsc::Sender<proto::ProposeStreamRequest>,
    replies: Streaming<proto::ProposeStreamReply>,
    sent: HashMap<u64, Sent>,
}

impl Courier {
    async fn run(mut self) {
        let mut waiting = VecDeque::new();
        while let Some(parcel) = self.parcels.recv().await {
            waiting.push_back(parcel);
            self.gather(&mut waiting);
            let mut sent = HashMap::new();
            let mut first = message(&mut self.next_tag, &mut waiting, &mut sent);
            if sent.is_empty() {
                continue;
            }
            first.caller = Some(self.roster.caller_to(self.leader));
            match self.open(first).await {
                Ok((requests, replies)) => {
                    self.serve(Line { requests, replies, sent }, &mut waiting).await;
                }
                Err(unsent) => give_back(sent, unsent),
            }
            // What was not sent goes back to whoever knows who leads by now.
            waiting.drain(..).for_each(|parcel| drop(parcel.answer.send(Answer::NotProposed)));
        }
    }

    /// Opens the stream with its first message. Fails with whether that certainly was not read.
    async fn open(
        &self,
        first: proto::ProposeStreamRequest,
    ) -> Result<
        (mpsc::Sender<proto::ProposeStreamRequest>, Streaming<proto::ProposeStreamReply>),
        bool,
    > {
        let Some(channels) = self.channels.get(self.leader) else { return Err(true) };
        let mut client: RaftServiceClient<Channel> =
            RaftServiceClient::new(channels.application.clone())
                .max_decoding_message_size(MESSAGE_MAX_BYTES)
                .max_encoding_message_size(MESSAGE_MAX_BYTES);
        let (requests, outbox) = mpsc::channel(OUTBOX);
        requests.try_send(first).map_err(|_| true)?;
        match client.propose_stream(ReceiverStream::new(outbox)).await {
            Ok(replies) => Ok((requests, replies.into_inner())),
            Err(status) => {
                tracing::debug!(member = self.leader, %status, "no stream of proposals");
                Err(is_unsent(&status))
            }
        }
    }

    /// Sends and receives until the stream ends or nobody proposes any more.
    async fn serve(&mut self, line: Line, waiting: &mut VecDeque<Parcel>) {
        let Line { requests, mut replies, mut sent } = line;
        let ended = loop {
            assert!(sent.len() <= WINDOW, "the window is kept");
            let has_room = sent.len() < WINDOW;
            let may_send = has_room && !waiting.is_empty();
            let may_gather = has_room && waiting.is_empty();
            tokio::select! {
                permit = requests.reserve(), if may_send => {
                    let Ok(permit) = permit else { break None };
                    self.gather(waiting);
                    let message = message(&mut self.next_tag, waiting, &mut sent);
                    if !message.commands.is_empty() {
                        permit.send(message);
                    }
                }
                parcel = self.parcels.recv(), if may_gather => match parcel {
                    Some(parcel) => waiting.push_back(parcel),
                    None => break None,
                },
                message = replies.message() => match message {
                    Ok(Some(message)) => hand_out(message, &mut sent),
                    Ok(None) => break None,
                    Err(status) => break Some(status),
                },
            }
        };
        tracing::debug!(member = self.leader, status = ?ended, "a stream of proposals ended");
        // The member had taken the first message, and with it the stream.
        give_back(sent, false);
    }

    /// Takes what else has come, up to a message's worth.
    fn gather(&mut self, waiting: &mut VecDeque<Parcel>) {
        while waiting.len() < MESSAGE_COMMANDS
            && let Ok(parcel) = self.parcels.try_recv()
        {
            waiting.push_back(parcel);
        }
    }
}

/// Makes a message of what waits, as far as the window and a message's bounds allow, and notes
/// it as sent. Whatever nobody waits for any more is left out.
fn message(
    next_tag: &mut u64,
    waiting: &mut VecDeque<Parcel>,
    sent: &mut HashMap<u64, Sent>,
) -> proto::ProposeStreamRequest {
    let mut commands = Vec::new();
    let mut bytes = 0_usize;
    while commands.len() < MESSAGE_COMMANDS && sent.len() < WINDOW {
        let Some(next) = waiting.front() else { break };
        let length = next.command.encoded_len();
        if !commands.is_empty() && bytes.saturating_add(length) > MESSAGE_BYTES {
            break;
        }
        let Some(Parcel { command, deadline, stage, answer }) = waiting.pop_front() else {
            break;
        };
        let sending = stage.compare_exchange(WAITING, SENT, Ordering::AcqRel, Ordering::Acquire);
        if sending.is_err() || answer.is_closed() {
            continue;
        }
        bytes = bytes.saturating_add(length);
        let tag = *next_tag;
        *next_tag = tag.wrapping_add(1);
        let deadline_ms = millis(deadline.saturating_duration_since(Instant::now()));
        sent.insert(tag, Sent { command: command.clone(), answer });
        commands.push(proto::TaggedCommand { tag, command: Some(command), deadline_ms });
    }
    proto::ProposeStreamRequest { caller: None, commands }
}

fn hand_out(message: proto::ProposeStreamReply, sent: &mut HashMap<u64, Sent>) {
    for tagged in message.replies {
        // A tag we never sent answers nobody.
        let Some(Sent { command, answer }) = sent.remove(&tagged.tag) else { continue };
        let reply = tagged.reply.and_then(|reply| reply.result);
        // Whoever asked may have gone.
        let _ = answer.send(read_reply(reply, &command));
    }
}

fn give_back(sent: HashMap<u64, Sent>, unread: bool) {
    for (_, Sent { answer, .. }) in sent {
        let _ = answer.send(match unread {
            true => Answer::NotProposed,
            false => Answer::Settled(Err(ProposeError::Timeout)),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parcel(bytes: usize) -> (Parcel, Arc<AtomicU8>, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let stage = Arc::new(AtomicU8::new(WAITING));
        let command = proto::Command { payload: vec![0; bytes].into(), ..Default::default() };
        let deadline = Instant::now() + Duration::from_secs(60);
        (Parcel { command, deadline, stage: Arc::clone(&stage), answer }, stage, answered)
    }

    #[test]
    fn a_deadline_knows_whether_its_command_was_sent_and_what_was_withdrawn_never_is() {
        let (sent_one, sent_stage, _answered) = parcel(1);
        let (withdrawn, stage, _unanswered) = parcel(1);
        assert!(matches!(unanswered(&stage), Answer::NotProposed));
        let mut waiting = VecDeque::from([withdrawn, sent_one]);
        let (mut next_tag, mut sent) = (7, HashMap::new());
        let message = message(&mut next_tag, &mut waiting, &mut sent);
        assert_eq!(message.commands.len(), 1);
        assert!(sent.contains_key(&7) && waiting.is_empty());
        let unknown = unanswered(&sent_stage);
        assert!(matches!(unknown, Answer::Settled(Err(ProposeError::Timeout))));
    }

    #[test]
    fn a_message_is_bounded_and_a_command_larger_than_that_goes_alone() {
        let sizes = [600 << 10, 600 << 10, 8 << 20, 10, 10];
        let (parcels, _answered): (VecDeque<_>, Vec<_>) =
            sizes.into_iter().map(parcel).map(|(parcel, _, answered)| (parcel, answered)).unzip();
        let (mut waiting, mut next_tag, mut sent) = (parcels, 0, HashMap::new());
        let mut counts = Vec::new();
        while !waiting.is_empty() {
            counts.push(message(&mut next_tag, &mut waiting, &mut sent).commands.len());
        }
        assert_eq!(counts, [1, 1, 1, 2]);
        let (many, _answers): (VecDeque<_>, Vec<_>) = (0..WINDOW + 5)
            .map(|_| parcel(0))
            .map(|(parcel, _, answered)| (parcel, answered))
            .unzip();
        (waiting, sent) = (many, HashMap::new());
        loop {
            let next = message(&mut next_tag, &mut waiting, &mut sent).commands.len();
            assert!(next <= MESSAGE_COMMANDS);
            if next == 0 {
                break;
            }
        }
        assert_eq!((sent.len(), waiting.len()), (WINDOW, 5), "the window is kept");
    }

    #[test]
    fn answers_are_handed_out_by_tag_and_others_are_passed_over() {
        let (first, _, mut answered) = parcel(1);
        let (mut next_tag, mut sent) = (0, HashMap::new());
        message(&mut next_tag, &mut VecDeque::from([first]), &mut sent);
        let refused = proto::ProposalRefused { reason: 4, ..Default::default() };
        let result = Some(proto::propose_reply::Result::Refused(refused));
        let reply = |tag| proto::TaggedReply {
            tag,
            reply: Some(proto::ProposeReply { result: result.clone() }),
        };
        hand_out(
            proto::ProposeStreamReply { replies: vec![reply(9), reply(0), reply(0)] },
            &mut sent,
        );
        assert!(sent.is_empty());
        let answer = answered.try_recv().unwrap();
        assert!(matches!(answer, Answer::Settled(Err(ProposeError::Overloaded))), "{answer:?}");
    }
}
