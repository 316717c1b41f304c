//! What the story came to, as a table for people and as JSON for programs.

use serde::Serialize;

/// The result of one run. Every number was counted, none assumed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Managers that took part.
    pub(crate) managers: usize,
    /// Node id of the leader that was stopped.
    pub(crate) leader_before: u64,
    /// Node id of the leader elected after it.
    pub(crate) leader_after: u64,
    /// From the moment the leader was told to stop until a survivor led, in milliseconds.
    pub(crate) failover_ms: u64,
    /// Messages whose sender was told "accepted".
    pub(crate) messages_sent: usize,
    /// Of those, found in the receiver's history.
    pub(crate) messages_delivered: usize,
    /// Of those, missing there.
    pub(crate) messages_lost: usize,
    /// Copies in the receiver's history beyond the first.
    pub(crate) messages_duplicated: usize,
    /// Messages whose sender has the read receipt.
    pub(crate) receipts: usize,
    /// Whether all managers hold the same accounts, by SHA-256.
    pub(crate) digests_equal: bool,
    /// The digest they share, or each of theirs.
    pub(crate) digests: Vec<String>,
    /// Log index the digests were taken at.
    pub(crate) applied_index: u64,
    /// The whole story, in milliseconds.
    pub(crate) elapsed_ms: u64,
}

impl Report {
    /// True when nothing the story promises was missed.
    pub(crate) fn holds(&self) -> bool {
        self.messages_sent > 0
            && self.messages_delivered == self.messages_sent
            && self.messages_lost == 0
            && self.messages_duplicated == 0
            && self.receipts == self.messages_sent
            && self.digests_equal
            && self.leader_after != 0
            && self.leader_after != self.leader_before
    }

    /// The closing table, a row a line.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let digest = match self.digests.first() {
            Some(first) if self.digests_equal => {
                format!("yes, all {}…", first.get(..16).unwrap_or(first))
            }
            _ => format!("NO: {}", self.digests.join(" ")),
        };
        vec![
            row("messages sent", self.messages_sent.to_string()),
            row("messages delivered", self.messages_delivered.to_string()),
            row("messages lost", self.messages_lost.to_string()),
            row("messages delivered twice", self.messages_duplicated.to_string()),
            row("read receipts", self.receipts.to_string()),
            row("leader before", format!("manager {}", self.leader_before)),
            row("leader after", format!("manager {}", self.leader_after)),
            row("fail-over", format!("{} ms", self.failover_ms)),
            row("same state on all managers", digest),
            row("the whole story", format!("{:.1} s", self.elapsed_ms as f64 / 1000.0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        Report {
            managers: 3,
            leader_before: 1,
            leader_after: 2,
            messages_sent: 4,
            messages_delivered: 4,
            receipts: 4,
            digests_equal: true,
            ..Report::default()
        }
    }

    #[test]
    fn a_report_holds_only_when_every_claim_does() {
        assert!(good().holds());
        assert!(!Report { messages_lost: 1, ..good() }.holds());
        assert!(!Report { messages_delivered: 3, ..good() }.holds());
        assert!(!Report { messages_duplicated: 1, ..good() }.holds());
        assert!(!Report { receipts: 3, ..good() }.holds());
        assert!(!Report { digests_equal: false, ..good() }.holds());
        assert!(!Report { leader_after: 1, ..good() }.holds());
        assert!(!Report { messages_sent: 0, messages_delivered: 0, receipts: 0, ..good() }.holds());
    }
}
