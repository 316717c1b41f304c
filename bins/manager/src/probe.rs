//! The small client that asks a manager how it is: for `status` and `health`.

use crate::certs::SERVER_NAME;
use crate::tls::{self, TlsError};
use std::net::SocketAddr;
use std::time::Duration;
use telegraph_proto::rest;

/// Why a manager gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The authority cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The name of the manager has no address.
    #[error("{address}: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// Nobody answered, or not a manager of this authority.
    #[error("no manager answers: {0}")]
    Unreachable(#[from] reqwest::Error),
}

/// Asks one manager, which must show a certificate of the given authority.
#[derive(Debug)]
pub struct Probe {
    client: reqwest::Client,
    base: String,
}

/// Whether a manager may be asked, with its reasons, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// It may.
    pub ready: bool,
    /// What it says of itself.
    pub detail: String,
}

impl Probe {
    /// Prepares to ask the manager at `address` (host:port), waiting at most `limit` per answer.
    pub async fn new(address: &str, ca_pem: &[u8], limit: Duration) -> Result<Self, ProbeError> {
        let failed = |source| ProbeError::Address { address: address.into(), source };
        let mut found = tokio::net::lookup_host(address).await.map_err(failed)?;
        let none = || failed(std::io::Error::other("the name has no address"));
        let place: SocketAddr = found.next().ok_or_else(none)?;
        // The certificate carries one name, whatever the address.
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(ca_pem)?)
            .resolve(SERVER_NAME, place)
            .timeout(limit)
            .no_proxy()
            .build()?;
        Ok(Self { client, base: format!("https://{SERVER_NAME}:{}", place.port()) })
    }

    /// Whether the process answers at all.
    pub async fn live(&self) -> Result<bool, ProbeError> {
        let response = self.client.get(format!("{}/livez", self.base)).send().await?;
        Ok(response.status().is_success())
    }

    /// Whether it may be asked.
    pub async fn ready(&self) -> Result<Readiness, ProbeError> {
        let url = format!("{}/readyz?verbose", self.base);
        let response = self.client.get(url).send().await?;
        let ready = response.status().is_success();
        if ready {
            let detail = response.text().await?.trim_end().to_owned();
            return Ok(Readiness { ready, detail });
        }
        let problem: rest::Problem = response.json().await?;
        Ok(Readiness { ready, detail: problem.detail.replace("; ", "\n") })
    }

    /// What it knows of the cluster.
    pub async fn cluster(&self) -> Result<rest::Cluster, ProbeError> {
        let response = self.client.get(format!("{}/cluster", self.base)).send().await?;
        let reply: rest::Reply<rest::Cluster> = response.error_for_status()?.json().await?;
        Ok(reply.message)
    }
}
