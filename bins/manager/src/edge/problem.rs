//! The one table from refusals to what HTTP says: status, kind and text (RFC 9457).

use crate::api::error::ApiError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use telegraph_proto::rest::Problem;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident $slug:literal $status:ident $title:literal;)+) => {
        /// What kind of failure: the last part of a problem's `type`, `/problems/<kind>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)+];

            /// The name that programs compare.
            pub fn slug(self) -> &'static str {
                match self { $(Kind::$name => $slug,)+ }
            }

            /// The HTTP status it is sent with.
            pub fn status(self) -> StatusCode {
                match self { $(Kind::$name => StatusCode::$status,)+ }
            }

            /// The kind, for people.
            pub fn title(self) -> &'static str {
                match self { $(Kind::$name => $title,)+ }
            }
        }
    };
}

kinds! {
    /// A part of the request is not of its form.
    Malformed "malformed" BAD_REQUEST "The request is malformed";
    /// Body or URI are larger than accepted.
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The request is too large";
    /// The request did not arrive in time.
    Timeout "timeout" REQUEST_TIMEOUT "The request took too long";
    /// No session token, or none of ours.
    Unauthenticated "unauthenticated" UNAUTHORIZED "A session is needed";
    /// Wrong password or unknown user: which is not told.
    WrongCredentials "wrong-credentials" UNAUTHORIZED "Wrong username or password";
    /// The session is over; the detail says why.
    SessionEnded "session-ended" UNAUTHORIZED "The session has ended";
    /// Somebody else's.
    Forbidden "forbidden" FORBIDDEN "Not allowed";
    /// Nobody has that name.
    UnknownUser "unknown-user" NOT_FOUND "Unknown user";
    /// Somebody has that name.
    UsernameTaken "username-taken" CONFLICT "The username is taken";
    /// A deleted account had it.
    UsernameRetired "username-retired" CONFLICT "The username is retired";
    /// The key belongs to another account.
    KeyInUse "key-in-use" CONFLICT "The key is in use";
    /// A statement that is not believed.
    BadStatement "bad-statement" BAD_REQUEST "The signed statement is not believed";
    /// A statement's number was used before.
    StaleSequence "stale-sequence" CONFLICT "The statement is not the newest";
    /// The password was changed meanwhile.
    StaleCredential "stale-credential" CONFLICT "The password was changed meanwhile";
    /// No room for another session.
    TooManySessions "too-many-sessions" CONFLICT "Too many sessions";
    /// Wrong too often.
    TooManyRequests "too-many-requests" TOO_MANY_REQUESTS "Too many attempts";
    /// No leader; nothing was done.
    NoLeader "no-leader" SERVICE_UNAVAILABLE "No leader";
    /// It may have been done.
    OutcomeUnknown "outcome-unknown" SERVICE_UNAVAILABLE "The outcome is unknown";
    /// Too much at once; nothing was done.
    Overloaded "overloaded" SERVICE_UNAVAILABLE "Overloaded";
    /// The managers' disks are nearly full; nothing was done.
    LowDisk "low-disk" INSUFFICIENT_STORAGE "Too little room on disk";
    /// Not all managers can do that yet; nothing was done.
    Updating "updating" SERVICE_UNAVAILABLE "The managers are being updated";
    /// No such route, or no such thing of the caller's.
    NotFound "not-found" NOT_FOUND "Not found";
    /// The route does not take this method.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "Method not allowed";
    /// The body is not declared to be JSON.
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "JSON is needed";
    /// A fault of the manager's.
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error";
}

/// A failure on its way out. The edge's guard turns it into a [`Problem`], because it knows the
/// request's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    /// Seconds after which trying again makes sense.
    pub(crate) retry_after: Option<u64>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = match kind {
            Kind::NoLeader | Kind::Overloaded | Kind::OutcomeUnknown => Some(1),
            // Somebody must make room, or update the next manager.
            Kind::LowDisk | Kind::Updating => Some(30),
            _ => None,
        };
        Self { kind, detail: detail.into(), retry_after }
    }

    /// The response as it is sent.
    pub(crate) fn describe(self, request_id: &str) -> Response {
        let status = self.kind.status();
        let problem = Problem {
            kind: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title().into(),
            status: status.as_u16(),
            detail: self.detail,
            request_id: request_id.into(),
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"telegraph\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let kind = match &error {
            ApiError::Malformed(_) => Kind::Malformed,
            ApiError::BadStatement(_) => Kind::BadStatement,
            ApiError::WrongCredentials => Kind::WrongCredentials,
            ApiError::Unauthenticated => Kind::Unauthenticated,
            ApiError::SessionEnded(_) => Kind::SessionEnded,
            ApiError::Forbidden(_) => Kind::Forbidden,
            ApiError::UnknownUser => Kind::UnknownUser,
            ApiError::UsernameTaken => Kind::UsernameTaken,
            ApiError::UsernameRetired => Kind::UsernameRetired,
            ApiError::KeyInUse => Kind::KeyInUse,
            ApiError::StaleSequence => Kind::StaleSequence,
            ApiError::StaleCredential => Kind::StaleCredential,
            ApiError::TooManySessions => Kind::TooManySessions,
            ApiError::TooManyAttempts { .. } => Kind::TooManyRequests,
            ApiError::NotFound(_) => Kind::NotFound,
            ApiError::NoLeader => Kind::NoLeader,
            ApiError::OutcomeUnknown => Kind::OutcomeUnknown,
            ApiError::Overloaded => Kind::Overloaded,
            ApiError::LowDisk => Kind::LowDisk,
            ApiError::Updating => Kind::Updating,
            ApiError::Internal(source) => {
                tracing::error!(error = source.as_ref(), "a request failed by our fault");
                Kind::Internal
            }
        };
        let mut failure = Self::new(kind, error.to_string());
        if let ApiError::TooManyAttempts { wait } = error {
            failure.retry_after = Some(wait.as_secs_f64().ceil().max(1.0) as u64);
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn every_kind_has_its_own_name() {
        let slugs: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn waiting_times_are_told_in_whole_seconds() {
        let wait = Duration::from_millis(2_100);
        let failure = Failure::from(ApiError::TooManyAttempts { wait });
        assert_eq!(failure.retry_after, Some(3));
        let response = failure.describe("r1");
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn faults_of_ours_are_not_told_to_the_caller() {
        let failure = Failure::from(ApiError::internal("the path of a file"));
        assert_eq!((failure.kind, failure.detail.as_str()), (Kind::Internal, "internal error"));
    }
}
