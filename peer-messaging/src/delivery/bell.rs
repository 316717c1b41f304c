//! How a courier is called.

use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// Why a courier is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// There is something new to bring.
    Work,
    /// The person is there, where we know them to be: try now.
    Arrived,
    /// The person is somewhere, says the directory: look them up, and try now.
    Moved,
    /// Tell the person where we are.
    Knock,
    /// Find out what the person is called.
    Name,
}

/// Why a courier was called since it last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls(u8);

/// Calls for one courier. None is lost, whenever it comes.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    calls: AtomicU8,
    rung: Notify,
}

impl Call {
    fn bit(self) -> u8 {
        match self {
            Self::Work => 1,
            Self::Arrived => 2,
            Self::Moved => 4,
            Self::Knock => 8,
            Self::Name => 16,
        }
    }
}

impl Calls {
    pub(crate) fn has(self, call: Call) -> bool {
        self.0 & call.bit() != 0
    }

    /// True when it is worth trying at once, whatever failed before.
    pub(crate) fn are_urgent(self) -> bool {
        self.has(Call::Arrived) || self.has(Call::Moved)
    }
}

impl Bell {
    pub(crate) fn ring(&self, call: Call) {
        self.calls.fetch_or(call.bit(), Ordering::AcqRel);
        self.rung.notify_one();
    }

    /// What was called for, once.
    pub(crate) fn take(&self) -> Calls {
        Calls(self.calls.swap(0, Ordering::AcqRel))
    }

    /// What was called for and not taken yet.
    pub(crate) fn peek(&self) -> Calls {
        Calls(self.calls.load(Ordering::Acquire))
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.peek().0 == 0
    }

    /// Returns after a call that came since this was last awaited; perhaps once without one.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_comes_before_anybody_listens_is_heard() {
        let bell = Bell::default();
        bell.ring(Call::Work);
        bell.ring(Call::Moved);
        bell.rung().await;
        let calls = bell.take();
        assert!(calls.has(Call::Work) && calls.are_urgent() && !calls.has(Call::Name));
        assert!(bell.is_silent());
    }
}
