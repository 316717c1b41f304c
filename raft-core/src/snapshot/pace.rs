//! Writing a snapshot in pieces, with pauses that leave the machine to commands.
//!
//! It takes a processor, the disk, and what the state machine has in common with commands: locks,
//! caches. A lower priority of the thread would help with the first alone. So the writer works for
//! a moment, and pauses for a multiple of it.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::position::Position;

/// Work between two pauses: about as long as a command takes, so that none notices more than one
/// piece, and long beside what it costs to fall asleep.
const PIECE: Duration = Duration::from_millis(2);

/// Longest pause, which is what the end of a node may have to wait for. It is reached after a piece
/// that took long because the disk did.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Passes on what is written, with pauses.
///
/// - Of its time it works `share_percent` percent as long as entries are applied. While none are it
///   does not pause: a node that is idle, or has no room for commands, is to be done soon.
pub(crate) struct Paced<'a> {
    to: &'a mut dyn Write,
    share_percent: u8,
    applied: watch::Receiver<Option<Position>>,
    resumed: Instant,
}

impl<'a> Paced<'a> {
    /// Passes on to `to`, making way for what is `applied`.
    pub(crate) fn new(
        to: &'a mut dyn Write,
        share_percent: u8,
        applied: watch::Receiver<Option<Position>>,
    ) -> Paced<'a> {
        Paced { to, share_percent, applied, resumed: Instant::now() }
    }

    /// The pause that is due after so much work; none if it is not yet, or nothing was applied
    /// since the last one was.
    fn due(&mut self, worked: Duration) -> Duration {
        // An engine that has ended applies nothing.
        if worked < PIECE || !self.applied.has_changed().unwrap_or(false) {
            return Duration::ZERO;
        }
        self.applied.mark_unchanged();
        let share = u32::from(self.share_percent.clamp(1, 100));
        (worked * (100 - share) / share).min(PAUSE_MAX)
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pause = self.due(self.resumed.elapsed());
        if !pause.is_zero() {
            std::thread::sleep(pause);
            self.resumed = Instant::now();
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Option<Position> {
        Some(Position { term: 1, index })
    }

    #[test]
    fn it_pauses_for_a_multiple_of_its_work_while_entries_are_applied() {
        let applied = watch::Sender::new(None);
        let mut to = Vec::new();
        let mut paced = Paced::new(&mut to, 25, applied.subscribe());
        assert_eq!(paced.due(PIECE), Duration::ZERO, "nothing was applied");
        applied.send_replace(at(1));
        assert_eq!(paced.due(PIECE / 2), Duration::ZERO, "it has hardly begun");
        assert_eq!(paced.due(PIECE), PIECE * 3);
        assert_eq!(paced.due(PIECE), Duration::ZERO, "nothing was applied since");
        applied.send_replace(at(2));
        assert_eq!(paced.due(Duration::from_secs(9)), PAUSE_MAX);
        drop(applied);
        assert_eq!(paced.due(PIECE), Duration::ZERO, "the engine has ended");
    }

    #[test]
    fn at_full_share_it_never_pauses() {
        let applied = watch::Sender::new(None);
        let mut to = Vec::new();
        let mut paced = Paced::new(&mut to, 100, applied.subscribe());
        applied.send_replace(at(1));
        assert_eq!(paced.due(Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn what_is_written_arrives_later_but_whole() {
        let applied = watch::Sender::new(None);
        let mut to = Vec::new();
        let mut paced = Paced::new(&mut to, 50, applied.subscribe());
        let (mut worked, began) = (Duration::ZERO, Instant::now());
        for index in 0..10_u8 {
            let resumed = Instant::now();
            while resumed.elapsed() < PIECE {}
            worked += PIECE;
            applied.send_replace(at(u64::from(index)));
            paced.write_all(&[index]).unwrap();
        }
        assert!(began.elapsed() >= worked * 2, "half of the time it pauses");
        assert_eq!(to, (0..10).collect::<Vec<u8>>());
    }
}
