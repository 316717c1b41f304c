//! The table of routes: the router, the OpenAPI document and the table test are all made of it, so
//! that none of them can know a route the others do not.

use super::problem::Kind::{
    BadStatement, Forbidden, KeyInUse, Malformed, NoLeader, NotFound, OutcomeUnknown,
    StaleCredential, StaleSequence, TooManyRequests, TooManySessions, UnknownUser, UsernameRetired,
    UsernameTaken, WrongCredentials,
};
use super::route::Access::{Open, Session};
use super::route::Route;
use super::{operations, rest, schema};
use axum::routing::{delete, get, post, put};

/// Every route there is.
pub fn routes() -> &'static [Route] {
    ROUTES
}

/// True for what must be answered however much there is to do.
pub(super) fn is_operational(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics")
}

const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/register",
        access: Open,
        about: "Registers an account. The same name with the same key is the same registration, \
                so that a lost answer is mended by asking again; an Idempotency-Key is accepted \
                and needs no keeping.",
        request: Some(&schema::REGISTER),
        reply: "Registered",
        own: &[BadStatement, UsernameTaken, UsernameRetired, KeyInUse, NoLeader, OutcomeUnknown],
        handler: || post(rest::register),
    },
    Route {
        method: "POST",
        path: "/login",
        access: Open,
        about: "Begins a session; other devices' sessions end. An unknown name and a wrong \
                password are answered alike.",
        request: Some(&schema::LOGIN),
        reply: "LoggedIn",
        own: &[
            WrongCredentials,
            TooManyRequests,
            TooManySessions,
            BadStatement,
            StaleSequence,
            StaleCredential,
            NoLeader,
            OutcomeUnknown,
        ],
        handler: || post(rest::login),
    },
    Route {
        method: "POST",
        path: "/logout",
        access: Session,
        about: "Ends the session that asks.",
        request: None,
        reply: "sentence",
        own: &[OutcomeUnknown],
        handler: || post(rest::logout),
    },
    Route {
        method: "GET",
        path: "/users/{username}",
        access: Session,
        about: "Who has this name: key, signed address, presence. Answered from the state of the \
                manager that is asked, which may be a moment old; the statements are signed.",
        request: None,
        reply: "Peer",
        own: &[Malformed, UnknownUser],
        handler: || get(rest::user),
    },
    Route {
        method: "GET",
        path: "/accounts/{account_id}",
        access: Session,
        about: "The same, by account id.",
        request: None,
        reply: "Peer",
        own: &[Malformed, UnknownUser],
        handler: || get(rest::account_by_id),
    },
    Route {
        method: "GET",
        path: "/peers",
        access: Session,
        about: "Who is online, by name, a page at a time: ?after=NAME&limit=N (1 to 100).",
        request: None,
        reply: "Peers",
        own: &[Malformed],
        handler: || get(rest::peers),
    },
    Route {
        method: "POST",
        path: "/heartbeat",
        access: Session,
        about: "Renews the presence lease, and tells how those are that the caller waits for.",
        request: Some(&schema::HEARTBEAT),
        reply: "Heartbeat",
        own: &[Forbidden],
        handler: || post(rest::heartbeat),
    },
    Route {
        method: "PUT",
        path: "/users/reconnect/{ip}/{username}",
        access: Session,
        about: "Announces where the caller is reached from now on.",
        request: Some(&schema::RECONNECT),
        reply: "sentence",
        own: &[Forbidden, BadStatement, StaleSequence, OutcomeUnknown],
        handler: || put(rest::reconnect),
    },
    Route {
        method: "GET",
        path: "/account",
        access: Session,
        about: "The caller's own account, with the sealed keys and the last sequence number.",
        request: None,
        reply: "OwnAccount",
        own: &[],
        handler: || get(rest::account),
    },
    Route {
        method: "DELETE",
        path: "/account",
        access: Session,
        about: "Deletes the caller's account; the name is not given out again.",
        request: Some(&schema::DELETE),
        reply: "sentence",
        own: &[WrongCredentials, TooManyRequests, BadStatement, StaleSequence, OutcomeUnknown],
        handler: || delete(rest::delete_account),
    },
    Route {
        method: "POST",
        path: "/account/password",
        access: Session,
        about: "Changes the password; every other session ends.",
        request: Some(&schema::PASSWORD_CHANGE),
        reply: "sentence",
        own: &[
            WrongCredentials,
            TooManyRequests,
            BadStatement,
            StaleSequence,
            StaleCredential,
            OutcomeUnknown,
        ],
        handler: || post(rest::change_password),
    },
    Route {
        method: "GET",
        path: "/sessions",
        access: Session,
        about: "The caller's live sessions.",
        request: None,
        reply: "Session[]",
        own: &[],
        handler: || get(rest::sessions),
    },
    Route {
        method: "DELETE",
        path: "/sessions/{session_id}",
        access: Session,
        about: "Ends one of the caller's sessions.",
        request: None,
        reply: "sentence",
        own: &[Malformed, NotFound, OutcomeUnknown],
        handler: || delete(rest::revoke),
    },
    Route {
        method: "POST",
        path: "/sessions/revoke-others",
        access: Session,
        about: "Ends all of the caller's sessions but the one that asks.",
        request: None,
        reply: "sentence",
        own: &[OutcomeUnknown],
        handler: || post(rest::revoke_others),
    },
    Route {
        method: "GET",
        path: "/cluster",
        access: Open,
        about: "What a client must know before it can sign anything.",
        request: None,
        reply: "Cluster",
        own: &[],
        handler: || get(operations::cluster),
    },
    Route {
        method: "GET",
        path: "/livez",
        access: Open,
        about: "The process answers.",
        request: None,
        reply: "sentence",
        own: &[],
        handler: || get(operations::livez),
    },
    Route {
        method: "GET",
        path: "/readyz",
        access: Open,
        about: "A leader is known and its log is applied here; ?verbose tells each check, a line \
                each, as text.",
        request: None,
        reply: "sentence",
        own: &[NoLeader],
        handler: || get(operations::readyz),
    },
    Route {
        method: "GET",
        path: "/metrics",
        access: Open,
        about: "Counters and gauges in Prometheus' text format.",
        request: None,
        reply: "text",
        own: &[],
        handler: || get(operations::metrics),
    },
    Route {
        method: "GET",
        path: "/openapi.json",
        access: Open,
        about: "This interface, as an OpenAPI 3.1 document.",
        request: None,
        reply: "document",
        own: &[],
        handler: || get(operations::openapi),
    },
];
