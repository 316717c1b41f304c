//! What every request passes on its way in and out: a name, limits, a span, a count, and the last
//! form of a failure.

use super::problem::{Failure, Kind};
use super::routes;
use super::state::Edge;
use crate::metrics::Count;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Instant;
use tracing::Instrument;

/// The header that names a request, in both directions.
const REQUEST_ID: &str = "x-request-id";

/// Most bytes of a path and query: the longest of ours has a quarter of it.
const MAX_URI_BYTES: usize = 1024;

/// Runs a request inside its limits.
pub(super) async fn guard(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    // Held until the response is made: a shutdown waits for it.
    let _under_way = edge.tracker.token();
    let id = request_id(&request);
    let (method, route) = matched(&request);
    let span = tracing::info_span!("request", request_id = %id, method, route);
    let begun = Instant::now();
    let response = limited(&edge, request, next).instrument(span.clone()).await;
    let mut response = finish(response, &id);
    let (status, took) = (response.status(), begun.elapsed());
    edge.metrics.request(method, route, status.as_u16(), took);
    span.in_scope(|| {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(status = status.as_u16(), ms, "answered");
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn limited(edge: &Edge, request: Request, next: Next) -> Response {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, str::len);
    if length > MAX_URI_BYTES {
        let detail = format!("path and query have at most {MAX_URI_BYTES} bytes");
        return Failure::new(Kind::TooLarge, detail).into_response();
    }
    // Health and metrics are answered above all when there is too much to do.
    let _permit = match routes::is_operational(uri.path()) {
        true => None,
        false => match edge.admission.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                edge.metrics.count(Count::Shed);
                let detail = "too many requests are under way; nothing was done";
                return Failure::new(Kind::Overloaded, detail).into_response();
            }
        },
    };
    match tokio::time::timeout(edge.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "no answer in time: it may have been done, or may yet be";
            Failure::new(Kind::OutcomeUnknown, detail).into_response()
        }
    }
}

/// Puts a failure into its last form; anything else goes as it is.
fn finish(mut response: Response, id: &str) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    tracing::debug!(kind = failure.kind.slug(), request_id = id, "refused");
    let mut described = failure.describe(id);
    // What a router has to say, as which methods it allows, stays.
    for (name, value) in response.headers() {
        if !described.headers().contains_key(name) && name.as_str() == "allow" {
            described.headers_mut().insert(name.clone(), value.clone());
        }
    }
    described
}

/// The caller's name for the request if it is one, or a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let sound = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match given.filter(sound) {
        Some(id) => id.to_owned(),
        // Only to be told apart in a log: no randomness, no name.
        None => crate::token::random_id().map_or_else(|_| "unnamed".into(), hex::encode),
    }
}

/// Method and route as in the table of routes; what is not there has no name of its own, so that
/// nobody fills the metrics with inventions.
fn matched(request: &Request) -> (&'static str, &'static str) {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = routes::routes().iter().find(|route| Some(route.path) == path);
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    (method, route.map_or("unmatched", |route| route.path))
}
