//! What operators and programs ask: alive, ready, metrics, the cluster, the interface itself.

use super::problem::{Failure, Kind};
use super::rest::{Answer, answer};
use super::state::Edge;
use crate::metrics::gauge;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use raft_core::Role;
use telegraph_proto::rest;

/// One thing that must hold for a manager to be asked.
struct Check {
    name: &'static str,
    holds: bool,
    detail: String,
}

pub(super) async fn livez() -> Answer<&'static str> {
    answer("alive")
}

pub(super) async fn readyz(State(edge): State<Edge>, RawQuery(query): RawQuery) -> Response {
    let checks = checks(&edge);
    let lines: Vec<String> = checks
        .iter()
        .map(|check| {
            let sign = if check.holds { '+' } else { '-' };
            format!("[{sign}]{} {}", check.name, check.detail)
        })
        .collect();
    if !checks.iter().all(|check| check.holds) {
        return Failure::new(Kind::NoLeader, lines.join("; ")).into_response();
    }
    let verbose = query.as_deref().is_some_and(|q| q == "verbose" || q.starts_with("verbose="));
    match verbose {
        true => text("text/plain; charset=utf-8", lines.join("\n") + "\n"),
        false => answer("ready").into_response(),
    }
}

fn checks(edge: &Edge) -> [Check; 4] {
    let status = edge.api.node.status();
    let running = status.role != Role::Stopped && !edge.is_stopping();
    let leader = match status.leader {
        Some(leader) => format!("node {leader} in term {}", status.term),
        None => "none known".into(),
    };
    // Behind by the log kept for followers, a manager is still catching up from a snapshot.
    let behind = status.committed.index.saturating_sub(status.applied.index);
    [
        Check { name: "running", holds: running, detail: format!("node {}", status.node_id) },
        Check {
            name: "member",
            holds: !status.voters.is_empty(),
            detail: format!("of {} voters", status.voters.len()),
        },
        Check { name: "leader", holds: status.leader.is_some(), detail: leader },
        Check {
            name: "applied",
            holds: status.applied.index > 0 && behind <= MAX_BEHIND,
            detail: format!("up to {}, {behind} behind", status.applied),
        },
    ]
}

/// Entries a ready manager may be behind what it knows to be committed: a burst.
const MAX_BEHIND: u64 = 1000;

/// Whether this manager is ready, for others than HTTP clients.
pub(crate) fn is_ready(edge: &Edge) -> bool {
    checks(edge).iter().all(|check| check.holds)
}

pub(super) async fn cluster(State(edge): State<Edge>) -> Answer<rest::Cluster> {
    let status = edge.api.node.status();
    let formed = !status.voters.is_empty();
    let members = if formed { &status.voters } else { &edge.members };
    answer(rest::Cluster {
        // What people sign for: it stays when the managers are restored from a backup.
        cluster_id: hex::encode(edge.api.node.lineage_id()),
        node_id: status.node_id,
        leader: status.leader.unwrap_or(0),
        voters: u32::try_from(members.len()).unwrap_or(u32::MAX),
        managers: members.iter().map(|member| member.service_address.clone()).collect(),
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

pub(super) async fn metrics(State(edge): State<Edge>) -> Result<Response, Failure> {
    let api = &edge.api;
    let mut all = api.node.metrics();
    all.push_str(&edge.metrics.render());
    let counts = api.reader.counts().map_err(crate::api::error::ApiError::from)?;
    gauge(&mut all, "telegraph_accounts", "Accounts.", counts.accounts);
    gauge(&mut all, "telegraph_accounts_online", "Accounts with a live lease.", counts.online);
    gauge(&mut all, "telegraph_sessions", "Sessions kept, ended ones included.", counts.sessions);
    let rebuilds = api.reader.rebuilds();
    let help = "Times the view was set aside and rebuilt, since the start.";
    gauge(&mut all, "telegraph_view_rebuilds", help, rebuilds);
    let leases = api.presence.leases() as u64;
    gauge(&mut all, "telegraph_leases", "Presence leases held as leader.", leases);
    let queued = api.passwords.queued() as u64;
    gauge(&mut all, "telegraph_passwords_queued", "Password hashes waiting or running.", queued);
    Ok(text("text/plain; version=0.0.4; charset=utf-8", all))
}

pub(super) async fn openapi(State(edge): State<Edge>) -> Response {
    Json(&edge.document).into_response()
}

fn text(kind: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
