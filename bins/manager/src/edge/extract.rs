//! Where bytes of a request become values, or a clear refusal.

use super::problem::{Failure, Kind};
use crate::token::{self, TokenHash};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::str::FromStr;
use std::time::Duration;

/// Most bytes of a body: a registration with all it may carry has less than a quarter of it.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// Time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Most characters of a parser's complaint that are passed on.
const MAX_COMPLAINT: usize = 160;

/// A JSON body of at most [`MAX_BODY_BYTES`].
#[derive(Debug)]
pub(crate) struct Body64K<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body64K<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        if !is_json(request.headers()) {
            let detail = "send JSON, with `Content-Type: application/json`";
            return Err(Failure::new(Kind::UnsupportedMediaType, detail));
        }
        let bytes = read(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| complaint(&error))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    // The router's body limit is what stops it early.
    let read = Bytes::from_request(request, state);
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a body has at most {MAX_BODY_BYTES} bytes");
            Err(Failure::new(Kind::TooLarge, detail))
        }
        Ok(Err(_)) => Err(Failure::new(Kind::Malformed, "the body broke off")),
        Err(_) => Err(Failure::new(Kind::Timeout, "the body did not arrive in time")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// What the parser complained about, without values: one of them may be a password in the wrong
/// place.
fn complaint(error: &serde_json::Error) -> Failure {
    let text = error.to_string();
    let names_a_field =
        ["unknown field", "missing field", "duplicate field"].iter().any(|s| text.starts_with(s));
    let detail = if names_a_field {
        text.chars().take(MAX_COMPLAINT).collect()
    } else {
        let (line, column) = (error.line(), error.column());
        format!("not the JSON this route takes (line {line}, column {column})")
    };
    Failure::new(Kind::Malformed, detail)
}

/// The token a request shows, as its hash; absent when none is shown.
#[derive(Debug)]
pub(crate) struct Shown(pub(crate) Option<TokenHash>);

impl<S: Send + Sync> FromRequestParts<S> for Shown {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|shown| {
            let (scheme, token) = shown.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        });
        Ok(Self(token.and_then(token::hash)))
    }
}

/// Parts of the path, read as they must be.
#[derive(Debug)]
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let Path(value) =
            path.map_err(|_| Failure::new(Kind::Malformed, "the path is malformed"))?;
        Ok(Self(value))
    }
}

/// The query, read as it must be.
#[derive(Debug)]
pub(crate) struct InQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let refused = |_| Failure::new(Kind::Malformed, "the query is malformed");
        let Query(value) = query.map_err(refused)?;
        Ok(Self(value))
    }
}

/// Reads a text of the request, saying which one is wrong.
pub(crate) fn parse<T: FromStr>(what: &str, text: &str) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Failure::new(Kind::Malformed, format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use telegraph_proto::rest::LoginRequest;

    #[test]
    fn only_json_is_json() {
        let of = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            is_json(&headers)
        };
        assert!(of("application/json") && of("Application/JSON; charset=utf-8"));
        assert!(!of("text/plain") && !of("application/jsonp") && !is_json(&HeaderMap::new()));
    }

    #[test]
    fn complaints_repeat_no_values() {
        let detail = |text: &str| {
            let error = serde_json::from_str::<LoginRequest>(text).unwrap_err();
            complaint(&error).detail
        };
        let misplaced = detail(r#"{"username":"a","password":"b","port":"hunter2"}"#);
        assert!(!misplaced.contains("hunter2"), "{misplaced}");
        assert!(detail(r#"{"user":"alice"}"#).contains("unknown field `user`"));
        let long = format!(r#"{{"{}":1}}"#, "x".repeat(5000));
        assert!(detail(&long).len() <= MAX_COMPLAINT);
    }
}
