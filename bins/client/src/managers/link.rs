//! One manager at one address: a kept connection and one attempt at a request.

use crate::{
    managers::error::{ManagerError, Setback, judge},
    trust::SERVER_NAME,
};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use serde::de::DeserializeOwned;
use std::{error::Error, net::SocketAddr, sync::OnceLock, time::Duration};
use telegraph_proto::rest::{Problem, Reply, Secret};

/// How long a TCP and TLS handshake may take: another manager may be there at once.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// A connection unused for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a reply: a full page of `GET /peers` is a tenth of it.
const MAX_REPLY_BYTES: usize = 2 << 20;

/// A request, ready to be made of any manager.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path segments, not yet escaped.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) token: Option<Secret>,
    /// JSON; it may hold secrets and is never logged.
    pub(crate) body: Option<Body>,
    /// True when making it twice does no more than making it once.
    pub(crate) repeatable: bool,
    /// The longest one manager is waited for.
    pub(crate) patience: Duration,
}

/// The JSON of a request, wiped and never shown.
#[derive(Clone)]
pub(crate) struct Body(pub(crate) zeroize::Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// One manager.
#[derive(Debug)]
pub(crate) struct Link {
    /// `host:port`.
    pub(crate) address: String,
    /// Its id, once it has told it.
    pub(crate) node_id: OnceLock<u64>,
    base: Url,
    http: Client,
}

impl Link {
    /// Prepares to dial `address`; nothing is sent. `None` when it is not `host:port`.
    pub(crate) fn new(address: &str, tls: &rustls::ClientConfig) -> Option<Self> {
        let (_, port) = address.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let base = Url::parse(&format!("https://{SERVER_NAME}:{port}/")).ok()?;
        let http = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Dialled(address.to_owned()))
            .build()
            .inspect_err(|error| tracing::warn!(address, %error, "no HTTP client"))
            .ok()?;
        Some(Self { address: address.to_owned(), node_id: OnceLock::new(), base, http })
    }

    /// One attempt, no longer than `limit`.
    pub(crate) async fn attempt<T: DeserializeOwned>(
        &self,
        call: &Call,
        limit: Duration,
    ) -> Result<T, Setback> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.http.request(call.method.clone(), url).timeout(limit);
        if let Some(Secret(token)) = &call.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(Body(json)) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(json.to_vec());
        }
        let response = request.send().await.map_err(|e| self.not_answered(&e))?;
        read(response).await
    }

    /// What a request that got no answer means. A failed connection carried nothing.
    fn not_answered(&self, error: &reqwest::Error) -> Setback {
        if let Some(reason) = tls_refusal(error) {
            let address = self.address.clone();
            return Setback::Elsewhere(ManagerError::Untrusted { address, reason });
        }
        let reason = format!("{}: {}", self.address, root_cause(error));
        if error.is_connect() || error.is_builder() {
            return Setback::Elsewhere(ManagerError::Unavailable(reason));
        }
        Setback::Doubtful(ManagerError::Unavailable(reason))
    }
}

/// Reads a bounded reply, success or problem.
async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, Setback> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_REPLY_BYTES => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let error = ManagerError::Malformed("it is too large".into());
                return Err(Setback::Doubtful(error));
            }
            Ok(None) => break,
            Err(error) => {
                let error = ManagerError::Unavailable(root_cause(&error));
                return Err(Setback::Doubtful(error));
            }
        }
    }
    if status.is_success() {
        return match serde_json::from_slice::<Reply<T>>(&body) {
            Ok(reply) => Ok(reply.message),
            Err(error) => Err(Setback::Doubtful(ManagerError::Malformed(error.to_string()))),
        };
    }
    Err(judge(problem(status, &body), retry_after))
}

/// The problem of a failed reply; something between this client and a manager may answer in
/// another language.
fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        kind: "/problems/unreadable".into(),
        title: String::new(),
        status: status.as_u16(),
        detail: format!("HTTP {status} without an explanation"),
        request_id: String::new(),
    })
}

/// What TLS said, if it was TLS that refused the other side.
fn tls_refusal(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return matches!(tls, rustls::Error::InvalidCertificate(_)).then(|| tls.to_string());
        }
        // An I/O error does not name what it wraps as its source, but the source of that.
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

/// The last of the sources: "connection refused" says more than "error sending request".
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Answers every name with one address, looked up anew for each connection: the certificate's name
/// is fixed, the address is what discovery proposed.
struct Dialled(String);

impl Resolve for Dialled {
    fn resolve(&self, _: Name) -> Resolving {
        let address = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = match address.parse() {
                Ok(address) => vec![address],
                Err(_) => tokio::net::lookup_host(address).await?.collect(),
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> rustls::ClientConfig {
        crate::trust::Trust::Fingerprint([1; 32]).client_config().unwrap()
    }

    #[test]
    fn an_address_needs_a_port() {
        assert!(Link::new("manager", &tls()).is_none());
        assert!(Link::new("manager:seven", &tls()).is_none());
        assert!(Link::new("[::1]:8000", &tls()).is_some());
        assert!(Link::new("manager:8000", &tls()).is_some());
    }

    #[test]
    fn a_reply_that_is_no_problem_is_still_explained() {
        let problem = problem(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(problem.status, 502);
        assert!(problem.detail.contains("502"), "{}", problem.detail);
    }

    #[test]
    fn a_request_shows_neither_body_nor_token() {
        let call = Call {
            method: Method::POST,
            path: vec!["login".into()],
            query: Vec::new(),
            token: Some(Secret("tg_secret".into())),
            body: Some(Body(b"hunter2".to_vec().into())),
            repeatable: true,
            patience: CONNECT_TIMEOUT,
        };
        let shown = format!("{call:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("tg_secret"), "{shown}");
    }
}
