//! The handlers of people's routes: parse, call the `Api`, answer. No decisions.

use super::convert;
use super::extract::{Body64K, InPath, InQuery, Shown, parse};
use super::problem::{Failure, Kind};
use super::state::Edge;
use crate::api::caller::Caller;
use crate::api::directory::MAX_PEOPLE;
use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::request::Parts;
use serde::Deserialize;
use std::net::SocketAddr;
use telegraph_proto::account::Username;
use telegraph_proto::rest;

/// A success: `{"message": …, "status": 200}`.
pub(super) type Answer<T> = Result<Json<rest::Reply<T>>, Failure>;

pub(super) fn answer<T>(message: T) -> Answer<T> {
    Ok(Json(rest::Reply { message, status: 200 }))
}

/// A session is asked for before anything else of a request is read.
#[derive(Debug)]
pub(super) struct Session(Caller);

impl FromRequestParts<Edge> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Failure> {
        let Shown(token) = Shown::from_request_parts(parts, edge).await?;
        Ok(Self(edge.api.authenticate(token).await?))
    }
}

type From = ConnectInfo<SocketAddr>;

pub(super) async fn register(
    State(edge): State<Edge>,
    Body64K(request): Body64K<rest::RegisterRequest>,
) -> Answer<rest::Registered> {
    let account_id = edge.api.register(convert::registration(request)?).await?;
    answer(rest::Registered { account_id: account_id.to_string() })
}

pub(super) async fn login(
    State(edge): State<Edge>,
    ConnectInfo(from): From,
    Body64K(request): Body64K<rest::LoginRequest>,
) -> Answer<rest::LoggedIn> {
    let begun = edge.api.login(convert::login(request, from.ip())?).await?;
    answer(convert::logged_in(begun, &edge.api.reader))
}

pub(super) async fn logout(
    State(edge): State<Edge>,
    Session(caller): Session,
) -> Answer<&'static str> {
    edge.api.logout(&caller).await?;
    answer("logged out")
}

pub(super) async fn user(
    State(edge): State<Edge>,
    Session(_): Session,
    InPath(username): InPath<String>,
) -> Answer<rest::Peer> {
    let account = edge.api.look_up(&parse("username", &username)?)?;
    answer(convert::peer(&account, &edge.api.reader))
}

pub(super) async fn account_by_id(
    State(edge): State<Edge>,
    Session(_): Session,
    InPath(account_id): InPath<String>,
) -> Answer<rest::Peer> {
    let account = edge.api.look_up_id(&parse("account_id", &account_id)?)?;
    answer(convert::peer(&account, &edge.api.reader))
}

/// The query of `GET /peers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn peers(
    State(edge): State<Edge>,
    Session(_): Session,
    InQuery(page): InQuery<Page>,
) -> Answer<rest::Peers> {
    let after = page.after.map(|after| parse::<Username>("after", &after)).transpose()?;
    let limit = page.limit.unwrap_or(MAX_PEOPLE);
    if !(1..=MAX_PEOPLE).contains(&limit) {
        return Err(Failure::new(Kind::Malformed, format!("limit: 1 to {MAX_PEOPLE}")));
    }
    let (accounts, more) = edge.api.online(after.as_ref(), limit)?;
    let next = accounts.last().filter(|_| more).map(|last| last.username.to_string());
    let peers = accounts.iter().map(|a| convert::peer(a, &edge.api.reader)).collect();
    answer(rest::Peers { peers, next })
}

pub(super) async fn heartbeat(
    State(edge): State<Edge>,
    Session(caller): Session,
    Body64K(request): Body64K<rest::HeartbeatRequest>,
) -> Answer<rest::Heartbeat> {
    if request.watch.len() > MAX_PEOPLE {
        return Err(Failure::new(Kind::Malformed, format!("watch: at most {MAX_PEOPLE} names")));
    }
    let watch: Result<Vec<Username>, Failure> =
        request.watch.iter().map(|name| parse("watch", name)).collect();
    let username = parse("username", &request.username)?;
    let found = edge.api.heartbeat(&caller, &username, &watch?)?;
    let lease_ms = u64::try_from(edge.api.presence.lease().as_millis()).unwrap_or(u64::MAX);
    answer(rest::Heartbeat {
        lease_ms,
        // Two may be lost before anybody is believed to be gone.
        interval_ms: (lease_ms / 3).max(1),
        watched: found.iter().map(|a| convert::peer(a, &edge.api.reader)).collect(),
    })
}

pub(super) async fn reconnect(
    State(edge): State<Edge>,
    Session(caller): Session,
    InPath((ip, username)): InPath<(String, String)>,
    Body64K(request): Body64K<rest::ReconnectRequest>,
) -> Answer<&'static str> {
    let username = parse("username", &username)?;
    let address = convert::address(&ip, request.port, &request.address_statement)?;
    edge.api.reconnect(&caller, &username, address).await?;
    answer("address announced")
}

pub(super) async fn account(
    State(edge): State<Edge>,
    Session(caller): Session,
) -> Answer<rest::OwnAccount> {
    let account = edge.api.own_account(&caller).await?;
    answer(convert::own_account(&account, &edge.api.reader))
}

pub(super) async fn change_password(
    State(edge): State<Edge>,
    ConnectInfo(from): From,
    Session(caller): Session,
    Body64K(request): Body64K<rest::PasswordRequest>,
) -> Answer<&'static str> {
    let asked = convert::password_change(request)?;
    edge.api.change_password(&caller, asked, from.ip()).await?;
    answer("password changed")
}

pub(super) async fn delete_account(
    State(edge): State<Edge>,
    ConnectInfo(from): From,
    Session(caller): Session,
    Body64K(request): Body64K<rest::DeleteRequest>,
) -> Answer<&'static str> {
    let password = convert::password("password", request.password)?;
    let statement = convert::statement("statement", &request.statement)?;
    edge.api.delete_account(&caller, password, statement, from.ip()).await?;
    answer("account deleted")
}

pub(super) async fn sessions(
    State(edge): State<Edge>,
    Session(caller): Session,
) -> Answer<Vec<rest::Session>> {
    let sessions = edge.api.sessions(&caller).await?;
    answer(sessions.iter().map(|session| convert::session(session, &caller)).collect())
}

pub(super) async fn revoke(
    State(edge): State<Edge>,
    Session(caller): Session,
    InPath(session_id): InPath<String>,
) -> Answer<&'static str> {
    edge.api.revoke(&caller, convert::session_id(&session_id)?).await?;
    answer("session ended")
}

pub(super) async fn revoke_others(
    State(edge): State<Edge>,
    Session(caller): Session,
) -> Answer<&'static str> {
    edge.api.revoke_others(&caller).await?;
    answer("the other sessions ended")
}
