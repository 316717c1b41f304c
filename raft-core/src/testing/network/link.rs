//! One end of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use crate::testing::network::pipe::{Pipe, Read};
use crate::testing::network::rules::{HostId, Rules};

/// Reads from one pipe and writes to another; ends both when dropped, as a system does for a
/// process that was killed.
pub(super) struct Link {
    rules: Arc<Rules>,
    inbound: Arc<Pipe>,
    outbound: Arc<Pipe>,
    arrival: Option<Pin<Box<Sleep>>>,
}

impl Link {
    /// Both ends of a new connection: the maker's, and the other.
    pub(super) fn pair(rules: &Arc<Rules>, from: HostId, to: HostId) -> (Link, Link) {
        let there = Arc::new(Pipe::new(from, to));
        let back = Arc::new(Pipe::new(to, from));
        rules.watch(&there);
        rules.watch(&back);
        let link = |inbound: &Arc<Pipe>, outbound: &Arc<Pipe>| Link {
            rules: Arc::clone(rules),
            inbound: Arc::clone(inbound),
            outbound: Arc::clone(outbound),
            arrival: None,
        };
        (link(&back, &there), link(&there, &back))
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.inbound.read(&self.rules, context, to)? {
                Read::Done => return Poll::Ready(Ok(())),
                Read::Woken => return Poll::Pending,
                Read::Later(due) => {
                    let mut arrival = Box::pin(sleep_until(due));
                    let arrived = arrival.as_mut().poll(context).is_ready();
                    self.arrival = Some(arrival);
                    if !arrived {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outbound.write(&self.rules, context, from)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.end(&self.rules);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.outbound.end(&self.rules);
        self.inbound.abandon();
    }
}
