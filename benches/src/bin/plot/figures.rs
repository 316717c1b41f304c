//! What was measured, as the file has it.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use telegraph_benches::{Circumstances, median};

/// What the file says of the measurements as a whole, and each of them; the rest is not looked at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Figures {
    pub(crate) circumstances: Circumstances,
    rows: Vec<Row>,
}

/// One measurement of one system.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    system: String,
    workload: String,
    tls: bool,
    clients: u32,
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

/// All rounds with as many clients.
///
/// - `least <= median <= most`, and all are more than 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) clients: u32,
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Figures {
    /// # Errors
    ///
    /// If it is not what `compare` writes, or nothing was measured.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Figures> {
        let figures: Figures =
            serde_json::from_str(text).context("not what `compare --json` writes")?;
        ensure!(!figures.rows.is_empty(), "it has no rows: nothing was measured");
        Ok(figures)
    }

    /// One figure of one system under one load without TLS, by the number of clients; empty if it
    /// was not measured.
    ///
    /// # Errors
    ///
    /// If a figure or a number of clients is 0 or less, for which a logarithmic axis has no place.
    pub(crate) fn curve(
        &self,
        system: &str,
        workload: &str,
        figure: impl Fn(&Row) -> Option<f64>,
    ) -> anyhow::Result<Vec<Point>> {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.system == system && row.workload == workload && !row.tls);
        let mut rounds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for row in rows {
            let Some(value) = figure(row) else { continue };
            let clients = row.clients;
            ensure!(
                value > 0.0 && clients > 0,
                "{system}, {workload}, {clients} clients: {value} is on no logarithmic axis",
            );
            rounds.entry(clients).or_default().push(value);
        }
        Ok(rounds.iter().filter_map(|(clients, values)| Point::of(*clients, values)).collect())
    }
}

impl Point {
    /// None without a round.
    fn of(clients: u32, rounds: &[f64]) -> Option<Point> {
        let median = median(rounds)?;
        let least = rounds.iter().copied().fold(median, f64::min);
        let most = rounds.iter().copied().fold(median, f64::max);
        Some(Point { clients, least, median, most })
    }
}

/// Two rounds of both systems with 1 and 64 clients, and one row over TLS.
#[cfg(test)]
pub(crate) fn example() -> serde_json::Value {
    let mut rows = Vec::new();
    for (system, faster) in [("etcd", 1.0), ("kv_service", 5.0)] {
        for (workload, clients, round) in [
            ("write", 64, 1.0),
            ("write", 64, 2.0),
            ("write", 1, 1.0),
            ("read", 1, 1.0),
            ("read", 64, 1.0),
        ] {
            let ops = f64::from(clients) * 100.0 * round * faster;
            rows.push(serde_json::json!({
                "system": system, "workload": workload, "tls": false, "clients": clients,
                "round": round, "ops_per_s": ops, "p50_us": 1e6 / ops, "p99_us": 4e6 / ops,
            }));
        }
        rows.push(serde_json::json!({
            "system": system, "workload": "write", "tls": true, "clients": 64, "round": 1,
            "ops_per_s": 1.0, "p50_us": 1.0, "p99_us": 1.0,
        }));
    }
    serde_json::json!({
        "circumstances": {
            "etcd": "etcd Version: 0", "kernel": "0.1", "processors": 2, "quick": false,
            "key_bytes": 16, "value_bytes": 256, "keys": 1000, "entries": 1000, "window_s": 1.0,
            "seed": 1, "date": "2026-01-31T08:05:00Z", "commit": "0123456789abcdef-dirty",
            "processor_model": "a processor", "memory_bytes": 1_u64 << 30,
        },
        "rows": rows,
        "summaries": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_the_median_of_its_rounds_with_the_least_and_the_most() {
        let figures = Figures::parse(&example().to_string()).unwrap();
        let curve = figures.curve("etcd", "write", |row| row.ops_per_s).unwrap();
        let one = Point { clients: 1, least: 100.0, median: 100.0, most: 100.0 };
        let many = Point { clients: 64, least: 6400.0, median: 9600.0, most: 12_800.0 };
        assert_eq!(curve, [one, many]);
        assert_eq!(figures.curve("etcd", "mixed", |row| row.ops_per_s).unwrap(), []);
    }

    #[test]
    fn what_compare_does_not_write_is_refused() {
        for text in ["", "{", "[]", "{}", r#"{"rows": []}"#] {
            let error = Figures::parse(text).unwrap_err();
            assert!(error.to_string().contains("compare --json"), "{text}: {error:#}");
        }
        let mut empty = example();
        empty["rows"] = serde_json::json!([]);
        let error = Figures::parse(&empty.to_string()).unwrap_err();
        assert!(error.to_string().contains("no rows"), "{error:#}");
    }

    #[test]
    fn a_figure_of_nothing_is_refused() {
        let mut figures = example();
        figures["rows"][0]["ops_per_s"] = serde_json::json!(0.0);
        let figures = Figures::parse(&figures.to_string()).unwrap();
        let error = figures.curve("etcd", "write", |row| row.ops_per_s).unwrap_err();
        assert!(error.to_string().contains("etcd, write, 64 clients: 0"), "{error:#}");
    }
}
