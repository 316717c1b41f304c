//! What was measured, and how the systems compare.

use std::collections::BTreeMap;

use serde::Serialize;
use telegraph_benches::median;

use crate::cluster::Lead;
use crate::load::Measured;
use crate::system::System;

/// One measurement of one system.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) system: &'static str,
    pub(crate) workload: &'static str,
    pub(crate) tls: bool,
    pub(crate) clients: u32,
    /// Which turn of this system it was, from 1; where leaders are killed it has several rows.
    pub(crate) round: u32,
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    pub(crate) cpu_s_per_1000_ops: Option<f64>,
    pub(crate) generator_cpu_s_per_1000_ops: Option<f64>,
    pub(crate) memory_bytes: Option<f64>,
    pub(crate) disk_bytes_per_user_byte: Option<f64>,
    pub(crate) time_ms: Option<f64>,
    /// Who led before a long load, and after it.
    pub(crate) lead_before: Option<Lead>,
    pub(crate) lead_after: Option<Lead>,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
}

impl Row {
    /// A row without figures.
    pub(crate) fn new(
        system: impl Into<System>,
        workload: &'static str,
        clients: u32,
        round: u32,
    ) -> Row {
        Row { system: system.into().name(), workload, clients, round, ..Row::default() }
    }

    /// With what a load measured.
    pub(crate) fn with(self, measured: Measured) -> Row {
        let per_1000 = |seconds: f64| Some(seconds * 1e3 / measured.operations.max(1) as f64);
        Row {
            ops_per_s: Some(measured.ops_per_s),
            p50_us: Some(measured.p50_us),
            p99_us: Some(measured.p99_us),
            p999_us: Some(measured.p999_us),
            max_us: Some(measured.max_us),
            cpu_s_per_1000_ops: per_1000(measured.cpu_s),
            generator_cpu_s_per_1000_ops: per_1000(measured.generator_cpu_s),
            memory_bytes: Some(measured.peak_bytes as f64),
            disk_bytes_per_user_byte: measured.disk_bytes_per_user_byte,
            failures: measured.failures,
            first_failure: measured.first_failure,
            ..self
        }
    }
}

/// A figure of a row, as it is shown.
struct Figure {
    name: &'static str,
    of: fn(&Row) -> Option<f64>,
}

const FIGURES: [Figure; 8] = [
    Figure { name: "operations/s", of: |row| row.ops_per_s },
    Figure { name: "p50, us", of: |row| row.p50_us },
    Figure { name: "p99, us", of: |row| row.p99_us },
    Figure { name: "p999, us", of: |row| row.p999_us },
    Figure { name: "CPU s/1,000", of: |row| row.cpu_s_per_1000_ops },
    Figure { name: "memory, MiB", of: |row| row.memory_bytes.map(|bytes| bytes / MIB) },
    Figure { name: "disk B/user B", of: |row| row.disk_bytes_per_user_byte },
    Figure { name: "time, ms", of: |row| row.time_ms },
];

const MIB: f64 = (1 << 20) as f64;

/// One figure of all systems that were measured under one load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) load: Shape,
    pub(crate) figure: &'static str,
    pub(crate) medians: Vec<Median>,
    pub(crate) ratios: Vec<Ratio>,
}

/// What rows have in common that are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shape {
    pub(crate) workload: &'static str,
    pub(crate) tls: bool,
    pub(crate) clients: u32,
}

/// The median of all that was measured of one system.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Median {
    pub(crate) system: &'static str,
    pub(crate) value: f64,
}

/// One system's figure by another's: of the rounds that both have, each of them with its medians.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratio {
    pub(crate) of: &'static str,
    pub(crate) by: &'static str,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Row {
    fn shape(&self) -> Shape {
        Shape { workload: self.workload, tls: self.tls, clients: self.clients }
    }
}

/// What one system's rounds have shown of one figure, each round with all of its values.
type Rounds = BTreeMap<u32, Vec<f64>>;

impl Ratio {
    /// None if no round has both, or there is nothing to divide by.
    fn of([of, by]: [System; 2], [over, under]: [&Rounds; 2]) -> Option<Ratio> {
        let rounds = over.iter().filter_map(|(round, over)| {
            let [over, under] = [median(over)?, median(under.get(round)?)?];
            (under > 0.0).then(|| over / under)
        });
        let mut ratios: Vec<f64> = rounds.collect();
        ratios.sort_by(f64::total_cmp);
        let (median, min, max) = (median(&ratios)?, *ratios.first()?, *ratios.last()?);
        Some(Ratio { of: of.name(), by: by.name(), median, min, max })
    }
}

/// Every figure that there is, in the order in which the workloads were measured.
pub(crate) fn summaries(rows: &[Row]) -> Vec<Summary> {
    let mut loads: Vec<Shape> = Vec::new();
    for row in rows {
        if !loads.contains(&row.shape()) {
            loads.push(row.shape());
        }
    }
    let figures = loads.into_iter().flat_map(|load| FIGURES.iter().map(move |one| (load, one)));
    figures.filter_map(|(load, figure)| summary(rows, load, figure)).collect()
}

/// None if nobody has such a figure.
fn summary(rows: &[Row], load: Shape, figure: &Figure) -> Option<Summary> {
    let rounds = |system: System| {
        let mut rounds = Rounds::new();
        for row in rows.iter().filter(|row| row.system == system.name() && row.shape() == load) {
            if let Some(value) = (figure.of)(row) {
                rounds.entry(row.round).or_default().push(value);
            }
        }
        rounds
    };
    let medians = System::ALL.into_iter().filter_map(|system| {
        let all: Vec<f64> = rounds(system).into_values().flatten().collect();
        Some(Median { system: system.name(), value: median(&all)? })
    });
    let ratios = System::RATIOS
        .into_iter()
        .filter_map(|(of, by)| Ratio::of([of, by], [&rounds(of), &rounds(by)]));
    let (medians, ratios): (Vec<Median>, Vec<Ratio>) = (medians.collect(), ratios.collect());
    let figure = figure.name;
    (!medians.is_empty()).then_some(Summary { load, figure, medians, ratios })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [System; 2] = [System::KvService, System::Etcd];

    fn ratio([median, min, max]: [f64; 3]) -> Ratio {
        Ratio { of: "kv_service", by: "etcd", median, min, max }
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let rounds = |values: &[(u32, &[f64])]| {
            values.iter().map(|(round, values)| (*round, values.to_vec())).collect::<Rounds>()
        };
        let over = rounds(&[(1, &[10.0]), (2, &[40.0]), (3, &[90.0]), (4, &[1.0])]);
        let under = rounds(&[(3, &[30.0]), (1, &[10.0]), (2, &[20.0])]);
        let found = Ratio::of(BOTH, [&over, &under]);
        assert_eq!(found, Some(ratio([2.0, 1.0, 3.0])), "the fourth round has one of them alone");
        assert_eq!(Ratio::of(BOTH, [&over, &Rounds::new()]), None);
        assert_eq!(Ratio::of(BOTH, [&over, &rounds(&[(1, &[0.0])])]), None);
    }

    #[test]
    fn a_round_with_several_values_counts_once_with_their_median() {
        let mut rows = Vec::new();
        for (system, round, times) in [
            (System::Etcd, 1, [100.0, 200.0, 900.0]),
            (System::KvService, 1, [100.0, 100.0, 800.0]),
            (System::Etcd, 2, [400.0, 400.0, 400.0]),
            (System::KvService, 2, [400.0, 400.0, 100.0]),
        ] {
            for time in times {
                let row = Row::new(system, "failover", 1, round);
                rows.push(Row { time_ms: Some(time), ..row });
            }
        }
        let found = summaries(&rows);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].ratios, [ratio([0.75, 0.5, 1.0])]);
        assert_eq!(found[0].medians[0], Median { system: "etcd", value: 400.0 });
    }

    fn measured(ops_per_s: f64) -> Measured {
        Measured { operations: 1, ops_per_s, cpu_s: 0.5, ..Measured::default() }
    }

    #[test]
    fn rows_are_compared_with_those_of_their_kind() {
        let mut rows = Vec::new();
        for (round, (etcd, kv_service)) in [(10.0, 50.0), (20.0, 60.0)].into_iter().enumerate() {
            let round = round as u32 + 1;
            rows.push(Row::new(System::Etcd, "write", 64, round).with(measured(etcd)));
            rows.push(Row::new(System::KvService, "write", 64, round).with(measured(kv_service)));
        }
        rows.push(Row::new(System::Etcd, "write", 1, 1).with(measured(1000.0)));
        let found = summaries(&rows);
        let first = &found[0];
        assert_eq!((first.figure, first.load.clients), ("operations/s", 64));
        let median = |system, value| Median { system, value };
        assert_eq!(first.medians, [median("etcd", 15.0), median("kv_service", 55.0)]);
        assert_eq!(first.ratios, [ratio([4.0, 3.0, 5.0])]);
        let lone = found.iter().find(|summary| summary.load.clients == 1).unwrap();
        assert_eq!((&lone.medians[..], lone.ratios.len()), (&[median("etcd", 1000.0)][..], 0));
        assert!(found.iter().all(|summary| summary.figure != "time, ms"));
    }

    #[test]
    fn members_in_one_process_are_compared_with_etcd_and_with_a_log_in_memory() {
        let of = |(system, ops)| Row::new(system, "embedded", 1024, 1).with(measured(ops));
        let systems = [System::Etcd, System::Embedded, System::EmbeddedMemory];
        let rows: Vec<Row> = systems.into_iter().zip([10.0, 120.0, 150.0]).map(of).collect();
        let found = summaries(&rows);
        let ratios: Vec<_> = found[0].ratios.iter().map(|one| (one.by, one.median)).collect();
        assert_eq!(ratios, [("etcd", 12.0), ("embedded, memory log", 0.8)]);
    }
}
