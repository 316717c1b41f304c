//! What a manager's refusal means for the one who asked.

use std::time::Duration;
use telegraph_proto::rest::Problem;

/// Why the managers did not do what they were asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ManagerError {
    /// No manager could be reached, or none of them had a leader, in the time there was. Nothing
    /// was changed; try again later.
    #[error("no manager can do this now: {0}")]
    Unavailable(String),
    /// The request left, no answer came: it may have happened. Look before asking again.
    #[error("the answer was lost: whether it happened is unknown")]
    OutcomeUnknown,
    /// Something answered that cannot prove to be a manager of the trusted authority.
    #[error("{address} is not a manager of the trusted authority: {reason}")]
    Untrusted {
        /// Where it answered.
        address: String,
        /// What TLS said.
        reason: String,
    },
    /// The managers belong to another cluster than the one this profile signs for.
    #[error("the managers are of cluster {found}, this profile belongs to {expected}")]
    WrongCluster {
        /// The profile's cluster id.
        expected: String,
        /// What the managers said.
        found: String,
    },
    /// No such user, session or page.
    #[error("{0}")]
    NotFound(String),
    /// The name is somebody else's.
    #[error("{0}")]
    NameTaken(String),
    /// Wrong name or wrong password: managers do not tell which.
    #[error("{0}")]
    WrongCredentials(String),
    /// The session opens nothing any more; the text says why. Log in again.
    #[error("{0}")]
    SessionEnded(String),
    /// The session may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The statement's number was used before: ask for the newest and sign again.
    #[error("{0}")]
    StaleSequence(String),
    /// The password was changed elsewhere meanwhile.
    #[error("{0}")]
    StaleCredential(String),
    /// Too often. Wait.
    #[error("{detail} (again in {} s)", after.as_secs())]
    TooMany {
        /// What the manager said.
        detail: String,
        /// How long to wait.
        after: Duration,
    },
    /// The managers will never accept this.
    #[error("refused ({kind}): {detail}")]
    Refused {
        /// The problem's kind, without `/problems/`.
        kind: String,
        /// What the manager said.
        detail: String,
    },
    /// A reply that is not one of this contract.
    #[error("the manager's reply makes no sense: {0}")]
    Malformed(String),
}

/// What managers say of a session that gave way to one of another device.
const REPLACED: &str = "replaced by a newer login";

impl ManagerError {
    /// True when the session is over because the person went on with another device.
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::SessionEnded(why) if why.contains(REPLACED))
    }
}

/// What to do after one attempt failed.
#[derive(Debug)]
pub(crate) enum Setback {
    /// Every manager would say the same.
    Final(ManagerError),
    /// Nothing happened there; another manager, or the same a little later, may do it.
    Elsewhere(ManagerError),
    /// It may have happened there: ask again only what may be asked twice.
    Doubtful(ManagerError),
}

/// Longest wait a manager can talk this client into.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Reads a problem. `retry_after_seconds` is the header of that name.
pub(crate) fn judge(problem: Problem, retry_after_seconds: Option<u64>) -> Setback {
    let Problem { kind, detail, status, .. } = problem;
    let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
    let after = Duration::from_secs(retry_after_seconds.unwrap_or(1)).min(MAX_RETRY_AFTER);
    Setback::Final(match kind.as_str() {
        "no-leader" | "overloaded" | "low-disk" | "updating" => {
            return Setback::Elsewhere(ManagerError::Unavailable(detail));
        }
        "outcome-unknown" => return Setback::Doubtful(ManagerError::OutcomeUnknown),
        "unknown-user" | "not-found" => ManagerError::NotFound(detail),
        "username-taken" | "username-retired" => ManagerError::NameTaken(detail),
        "wrong-credentials" => ManagerError::WrongCredentials(detail),
        "session-ended" | "unauthenticated" => ManagerError::SessionEnded(detail),
        "forbidden" => ManagerError::Forbidden(detail),
        "stale-sequence" => ManagerError::StaleSequence(detail),
        "stale-credential" => ManagerError::StaleCredential(detail),
        "too-many-requests" => ManagerError::TooMany { detail, after },
        _ if status >= 500 => {
            return Setback::Doubtful(ManagerError::Unavailable(format!("{status}: {detail}")));
        }
        _ => ManagerError::Refused { kind, detail },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, status: u16) -> Problem {
        Problem {
            kind: format!("/problems/{kind}"),
            title: "T".into(),
            status,
            detail: "why".into(),
            request_id: "r".into(),
        }
    }

    fn last(kind: &str, status: u16) -> ManagerError {
        match judge(problem(kind, status), Some(7)) {
            Setback::Final(error) => error,
            other => panic!("{kind} should be final, was {other:?}"),
        }
    }

    #[test]
    fn a_problem_that_another_manager_would_repeat_is_final_and_typed() {
        assert!(matches!(last("unknown-user", 404), ManagerError::NotFound(_)));
        assert!(matches!(last("username-taken", 409), ManagerError::NameTaken(_)));
        assert!(matches!(last("username-retired", 409), ManagerError::NameTaken(_)));
        assert!(matches!(last("wrong-credentials", 401), ManagerError::WrongCredentials(_)));
        assert!(matches!(last("session-ended", 401), ManagerError::SessionEnded(_)));
        assert!(matches!(last("unauthenticated", 401), ManagerError::SessionEnded(_)));
        assert!(matches!(last("stale-sequence", 409), ManagerError::StaleSequence(_)));
        assert!(matches!(last("bad-statement", 422), ManagerError::Refused { .. }));
        assert!(matches!(last("of-the-future", 418), ManagerError::Refused { .. }));
    }

    #[test]
    fn a_manager_without_a_leader_did_nothing_and_a_lost_outcome_is_doubtful() {
        assert!(matches!(judge(problem("no-leader", 503), None), Setback::Elsewhere(_)));
        assert!(matches!(judge(problem("overloaded", 503), None), Setback::Elsewhere(_)));
        assert!(matches!(judge(problem("low-disk", 507), None), Setback::Elsewhere(_)));
        assert!(matches!(judge(problem("updating", 503), None), Setback::Elsewhere(_)));
        assert!(matches!(judge(problem("outcome-unknown", 503), None), Setback::Doubtful(_)));
        assert!(matches!(judge(problem("internal", 500), None), Setback::Doubtful(_)));
    }

    #[test]
    fn a_manager_cannot_make_a_client_wait_for_ever() {
        let Setback::Final(ManagerError::TooMany { after, .. }) =
            judge(problem("too-many-requests", 429), Some(u64::MAX))
        else {
            panic!("not a limit")
        };
        assert_eq!(after, MAX_RETRY_AFTER);
    }
}
