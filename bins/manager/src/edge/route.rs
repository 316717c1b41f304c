//! What is known of a route.

use super::problem::Kind;
use super::schema::Schema;
use super::state::Edge;
use axum::routing::MethodRouter;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Open,
    /// Who shows the token of a live session.
    Session,
}

/// One method of one path.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path, its variable parts in braces.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// The JSON object it takes; `None`: it reads no body.
    pub request: Option<&'static Schema>,
    /// What may be asked in the query, with the JSON type of each; all of it optional.
    pub query: &'static [(&'static str, &'static str)],
    /// The type of the answer's `message`, as in `telegraph_proto::rest`.
    pub reply: &'static str,
    /// The kinds of failure of its own; to those come what every route of its sort can answer
    /// ([`Route::problems`]).
    pub(super) own: &'static [Kind],
    pub(super) handler: fn() -> MethodRouter<Edge>,
}

impl Route {
    /// Every kind of failure it can answer.
    pub fn problems(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::TooLarge, Kind::Overloaded, Kind::Internal];
        if self.access == Access::Session {
            kinds.extend([Kind::Unauthenticated, Kind::SessionEnded, Kind::NoLeader]);
        }
        if self.request.is_some() {
            kinds.extend([Kind::Malformed, Kind::UnsupportedMediaType, Kind::Timeout]);
        }
        kinds.extend(self.own);
        // Whatever may have an outcome that is unknown is written to the log.
        if self.own.contains(&Kind::OutcomeUnknown) {
            kinds.extend([Kind::LowDisk, Kind::Updating]);
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}
