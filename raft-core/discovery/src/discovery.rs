//! The search itself: stages from the cheapest and surest to the most laborious.

use std::collections::HashSet;
use std::path::PathBuf;

use tracing::{debug, warn};

use crate::cache;
use crate::candidate::{self, Candidate, Source};
use crate::dns::DnsAlias;
use crate::error::DiscoveryError;
use crate::sweep::Sweep;

/// Where to look for members. Every part may be absent; the default looks nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Addresses that the operator gave, `host:port`, tried in this order.
    pub static_list: Vec<String>,
    /// A name all members answer to: one lookup of one second.
    pub dns: Option<DnsAlias>,
    /// Where the addresses that worked are kept. One process owns it.
    pub cache_file: Option<PathBuf>,
    /// A range to ask by UDP when all else failed.
    pub sweep: Option<Sweep>,
}

impl Discovery {
    /// Looks only at the given addresses.
    pub fn fixed<I, S>(addresses: I) -> Discovery
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let static_list = addresses.into_iter().map(Into::into).collect();
        Discovery { static_list, ..Discovery::default() }
    }

    /// Checks everything that can be checked without looking.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Address`] for an entry of the list, or an alias, that is no `host:port`;
    /// [`DiscoveryError::Setting`] for a sweep outside its bounds.
    pub fn validate(&self) -> Result<(), DiscoveryError> {
        for address in &self.static_list {
            candidate::check_address(address)?;
        }
        self.dns.as_ref().map_or(Ok(()), DnsAlias::validate)?;
        self.sweep.as_ref().map_or(Ok(()), Sweep::validate)
    }

    /// A search that runs stage by stage, as far as its caller asks.
    pub fn stages(&self) -> Stages {
        Stages { discovery: self.clone(), next: Some(Source::Static), seen: HashSet::new() }
    }

    /// Every candidate of the list, the name service and the cache, in this order; the range is
    /// swept only if those had none. Takes at most a second and the budget of the sweep.
    pub async fn find(&self) -> Vec<Candidate> {
        let mut stages = self.stages();
        let mut found = Vec::new();
        while found.is_empty() || stages.next.is_some_and(|source| source < Source::Sweep) {
            match stages.run_next().await {
                Some(candidates) => found.extend(candidates),
                None => break,
            }
        }
        found
    }

    /// Keeps `addresses` for the next search, in place of those kept before: the first 64 of them.
    /// Without a cache file, or without addresses, it does nothing.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Address`] if one is no `host:port`, [`DiscoveryError::Cache`] if the file
    /// cannot be written. What was kept before is still there then.
    pub async fn remember(&self, addresses: &[String]) -> Result<(), DiscoveryError> {
        let Some(path) = self.cache_file.clone().filter(|_| !addresses.is_empty()) else {
            return Ok(());
        };
        for address in addresses {
            candidate::check_address(address)?;
        }
        let addresses = addresses.to_vec();
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || cache::write(&target, &addresses));
        let outcome = written.await.unwrap_or_else(|error| Err(error.into()));
        outcome.map_err(|source| DiscoveryError::Cache { path, source })
    }
}

/// A search under way. A stage is run when it is asked for and not before.
///
/// - No address is handed out twice, and each carries the first stage that had it. Addresses are
///   compared as text: a name and the number it stands for are two.
#[derive(Debug)]
pub struct Stages {
    discovery: Discovery,
    /// The stage to run next; `None` after the last.
    next: Option<Source>,
    seen: HashSet<String>,
}

impl Stages {
    /// The new candidates of the next stage that has any; `None` when all stages were run.
    pub async fn next(&mut self) -> Option<Vec<Candidate>> {
        loop {
            let candidates = self.run_next().await?;
            if !candidates.is_empty() {
                return Some(candidates);
            }
        }
    }

    /// Runs one stage, whatever it yields.
    async fn run_next(&mut self) -> Option<Vec<Candidate>> {
        let stage = self.next?;
        let mut candidates = match stage {
            Source::Static => self.listed(),
            Source::Dns => self.resolved().await,
            Source::Cache => self.cached().await,
            Source::Sweep => self.swept().await,
        };
        self.next = match stage {
            Source::Static => Some(Source::Dns),
            Source::Dns => Some(Source::Cache),
            Source::Cache => Some(Source::Sweep),
            Source::Sweep => None,
        };
        candidates.retain(|candidate| self.seen.insert(candidate.address.clone()));
        debug!(%stage, found = candidates.len(), "discovery stage done");
        Some(candidates)
    }

    fn listed(&self) -> Vec<Candidate> {
        let addresses = self.discovery.static_list.iter().cloned();
        addresses.map(|address| Candidate::new(address, Source::Static)).collect()
    }

    async fn resolved(&self) -> Vec<Candidate> {
        match &self.discovery.dns {
            Some(alias) => alias.resolve().await,
            None => Vec::new(),
        }
    }

    async fn cached(&self) -> Vec<Candidate> {
        let Some(path) = self.discovery.cache_file.clone() else { return Vec::new() };
        let addresses = tokio::task::spawn_blocking(move || cache::read(&path)).await;
        let addresses = addresses.unwrap_or_default().into_iter();
        addresses.map(|address| Candidate::new(address, Source::Cache)).collect()
    }

    async fn swept(&self) -> Vec<Candidate> {
        let Some(sweep) = &self.discovery.sweep else { return Vec::new() };
        if let Err(error) = sweep.validate() {
            warn!(%error, "not sweeping");
            return Vec::new();
        }
        sweep.run().await.unwrap_or_else(|error| {
            warn!(%error, "the sweep has no socket");
            Vec::new()
        })
    }
}
