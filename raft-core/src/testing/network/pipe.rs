//! One direction of a connection: what is on its way.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::testing::network::rules::{Flow, HostId, Rules};

/// Bytes on their way at most, as in the buffers of two systems; a writer waits for more room.
const WINDOW_BYTES: usize = 256 << 10;

/// Bytes of one piece of data, delayed or lost as a whole: so many that few are needed.
const PIECE_BYTES: usize = 16 << 10;

/// Bytes from one host to another.
///
/// Invariants:
/// - pieces arrive in the order they were sent, whatever they take;
/// - nothing arrives while the link is cut, not even the end.
pub(super) struct Pipe {
    from: HostId,
    to: HostId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// With the time of arrival; an empty piece is the end.
    pieces: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    ended: bool,
    unread: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a reader has to do.
pub(super) enum Read {
    /// It has read, or is at the end.
    Done,
    /// It shall come again at this time.
    Later(Instant),
    /// It will be woken.
    Woken,
}

impl Pipe {
    /// An empty pipe.
    pub(super) fn new(from: HostId, to: HostId) -> Pipe {
        Pipe { from, to, state: Mutex::default() }
    }

    /// Takes what has arrived.
    pub(super) fn read(
        &self,
        rules: &Rules,
        context: &Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> io::Result<Read> {
        let mut state = self.lock();
        if state.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // Before the rules are looked at, so that no change of them is missed.
        state.reader = Some(context.waker().clone());
        if !rules.passes(self.from, self.to) {
            return Ok(Read::Woken);
        }
        let now = Instant::now();
        let before = to.filled().len();
        while to.remaining() > 0 {
            let Some((due, piece)) = state.pieces.front_mut() else { break };
            if *due > now {
                let due = *due;
                return Ok(if to.filled().len() > before { Read::Done } else { Read::Later(due) });
            }
            if piece.is_empty() {
                // The end stays there: whoever reads again finds it again.
                return Ok(Read::Done);
            }
            let taken = piece.len().min(to.remaining());
            to.put_slice(&piece[..taken]);
            piece.advance(taken);
            if piece.is_empty() {
                state.pieces.pop_front();
            }
            state.bytes -= taken;
            wake(&mut state.writer);
        }
        let read = to.filled().len() > before || to.capacity() == before;
        Ok(if read { Read::Done } else { Read::Woken })
    }

    /// Sends what there is room for.
    pub(super) fn write(
        &self,
        rules: &Rules,
        context: &Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let refused = state.unread && rules.passes(self.to, self.from);
        if state.ended || refused {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW_BYTES.saturating_sub(state.bytes).min(PIECE_BYTES).min(from.len());
        if room == 0 && !from.is_empty() {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if room > 0 {
            state.send(rules, Bytes::copy_from_slice(&from[..room]));
        }
        Poll::Ready(Ok(room))
    }

    /// Sends the end.
    pub(super) fn end(&self, rules: &Rules) {
        let mut state = self.lock();
        if !state.ended {
            state.ended = true;
            state.send(rules, Bytes::new());
        }
    }

    /// Nobody reads any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.unread = true;
        wake(&mut state.writer);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow for Pipe {
    fn ends(&self) -> (HostId, HostId) {
        (self.from, self.to)
    }

    fn wake(&self) {
        let mut state = self.lock();
        wake(&mut state.reader);
        wake(&mut state.writer);
    }

    fn reset(&self) {
        self.lock().broken = true;
        self.wake();
    }
}

impl State {
    fn send(&mut self, rules: &Rules, piece: Bytes) {
        let last = self.pieces.back().map(|(due, _)| *due);
        let due = last.map_or(rules.arrival(), |last| last.max(rules.arrival()));
        assert!(last.is_none_or(|last| last <= due), "pieces arrive in order");
        self.bytes += piece.len();
        self.pieces.push_back((due, piece));
        wake(&mut self.reader);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
