//! The service's face: HTTP in, commands and reads out.

use std::fmt::Display;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use raft_core::{ChangeError, Member, Node, NodeId, Position, ProposeError, ReadError, ReadLevel};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::change::{Change, Outcome};
use super::store::Reader;

/// Time for a request: an election passes in less.
const LIMIT: Duration = Duration::from_secs(5);

/// Time for a change of the members: a new one must be sent the whole state.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);

/// The longest value, in bytes: with its key it fits into an entry of the log.
const VALUE_MAX_BYTES: usize = 512 << 10;

/// The longest key, in bytes.
const KEY_MAX_BYTES: usize = 4 << 10;

/// Tells how much of the log an answer knows.
const POSITION: HeaderName = HeaderName::from_static("raft-position");

/// A client's name for a change, under which it is safe to say it again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a request needs.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) node: Node,
    pub(crate) reader: Reader,
}

/// The routes.
pub(crate) fn routes(service: Service) -> Router {
    Router::new()
        .route("/kv/{key}", get(read).put(write).delete(delete))
        .route("/members/{id}", put(join).delete(leave))
        .route("/status", get(status))
        .layer(DefaultBodyLimit::max(VALUE_MAX_BYTES))
        .with_state(service)
}

/// How a value is to be read: linearizably, unless it may be old.
#[derive(Debug, Deserialize)]
struct Reading {
    /// No older than so many milliseconds.
    max_age_ms: Option<u64>,
    /// As it is here, asking nobody.
    #[serde(default)]
    local: bool,
}

async fn read(
    State(service): State<Service>,
    Path(key): Path<String>,
    Query(reading): Query<Reading>,
) -> Result<Response, Refusal> {
    let level = match reading.max_age_ms {
        Some(age) => ReadLevel::Stale { max_age: Duration::from_millis(age) },
        None => ReadLevel::Linearizable,
    };
    let position = match reading.local {
        true => service.node.applied(),
        false => service.node.read(level, LIMIT).await?,
    };
    // A few pages, most of them in memory: not worth another thread.
    let value = service.reader.get(&key).map_err(Refusal::failed)?;
    let at = [(POSITION, position.to_string())];
    Ok(match value {
        Some(value) => (at, value).into_response(),
        None => (StatusCode::NOT_FOUND, at).into_response(),
    })
}

async fn write(
    State(service): State<Service>,
    Path(key): Path<String>,
    headers: HeaderMap,
    value: Bytes,
) -> Result<Response, Refusal> {
    let change = Change::Put { key: &key, value: &value };
    let (position, outcome) = propose(&service, &change, &headers).await?;
    let status = match outcome {
        Outcome::Known => StatusCode::NO_CONTENT,
        _ => StatusCode::CREATED,
    };
    Ok((status, [(POSITION, position.to_string())]).into_response())
}

async fn delete(
    State(service): State<Service>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (position, outcome) = propose(&service, &Change::Delete { key: &key }, &headers).await?;
    let status = match outcome {
        Outcome::Known => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    };
    Ok((status, [(POSITION, position.to_string())]).into_response())
}

/// Proposes a change; once, however often it is said, under the same `Idempotency-Key`.
async fn propose(
    service: &Service,
    change: &Change<'_>,
    headers: &HeaderMap,
) -> Result<(Position, Outcome), Refusal> {
    let (Change::Put { key, .. } | Change::Delete { key }) = change;
    if key.len() > KEY_MAX_BYTES {
        return Err(Refusal(StatusCode::URI_TOO_LONG, "the key is too long".into()));
    }
    let command = change.encode().map_err(Refusal::failed)?;
    let applied = match headers.get(IDEMPOTENCY_KEY) {
        Some(name) => service.node.propose_once(session(name, &command), command, LIMIT).await?,
        None => service.node.propose(command, LIMIT).await?,
    };
    match Outcome::decode(&applied.reply) {
        Some(outcome) if outcome != Outcome::Refused => Ok((applied.position, outcome)),
        _ => Err(Refusal::failed("the members did not understand the change")),
    }
}

/// The session of one change: another change under the same name is another session.
fn session(name: &HeaderValue, command: &[u8]) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update((name.len() as u64).to_be_bytes())
        .chain_update(name)
        .chain_update(command)
        .finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

/// Takes a node in, at the leader: it is sent the state, and has a vote once it keeps up.
async fn join(
    State(service): State<Service>,
    Path(id): Path<NodeId>,
    address: String,
) -> Result<StatusCode, Refusal> {
    if service.node.members().get(id).is_none() {
        service.node.add_learner(Member::new(id, address.trim()), CHANGE_LIMIT).await?;
    }
    service.node.promote(id, CHANGE_LIMIT).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a node go for ever, at the leader.
async fn leave(
    State(service): State<Service>,
    Path(id): Path<NodeId>,
) -> Result<StatusCode, Refusal> {
    service.node.remove(id, CHANGE_LIMIT).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn status(State(service): State<Service>) -> Response {
    let status = service.node.status();
    Json(json!({
        "cluster": hex::encode(status.cluster_id),
        "id": status.node_id,
        "role": format!("{:?}", status.role),
        "term": status.term,
        "leader": status.leader,
        "committed": status.committed.index,
        "applied": status.applied.index,
        "snapshot": status.snapshot.map(|snapshot| snapshot.index),
        "voters": status.voters.iter().map(|member| member.id).collect::<Vec<_>>(),
        "rebuilds": status.rebuilds,
    }))
    .into_response()
}

/// Why a request is not answered.
struct Refusal(StatusCode, String);

impl Refusal {
    fn failed(why: impl Display) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, why.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl From<ProposeError> for Refusal {
    /// 504 says that the change may have happened; every other code that it has not. Under the
    /// same `Idempotency-Key` it may be said again either way.
    fn from(error: ProposeError) -> Refusal {
        let status = match &error {
            error if error.may_have_happened() => StatusCode::GATEWAY_TIMEOUT,
            ProposeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ProposeError::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            ProposeError::LowDisk => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal(status, error.to_string())
    }
}

impl From<ChangeError> for Refusal {
    /// 421 names the leader, who is to be asked instead; 504 leaves it to a look at the members.
    fn from(error: ChangeError) -> Refusal {
        let status = match &error {
            error if error.may_have_happened() => StatusCode::GATEWAY_TIMEOUT,
            ChangeError::NotLeader { .. } => StatusCode::MISDIRECTED_REQUEST,
            ChangeError::NotNow | ChangeError::Busy | ChangeError::Behind { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::CONFLICT,
        };
        Refusal(status, error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}
