//! What is drawn.

use anyhow::ensure;
use telegraph_benches::Circumstances;

use crate::figures::{Figures, Point, Row};

/// The two systems, as the file calls them, in the order of the legend.
const SYSTEMS: [(&str, Mark); 2] = [("etcd", Mark::Square), ("kv_service", Mark::Circle)];

/// What both do, as the file calls it and as people do.
const WORKLOADS: [(&str, &str); 2] = [("write", "writes"), ("read", "linearizable reads")];

/// Two panels beside each other, with one legend and the same axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// Lines below the title.
    pub(crate) notes: Vec<String>,
    /// What the vertical axes are of, with its unit.
    pub(crate) quantity: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// What one workload has shown.
///
/// - There is a curve, and every curve has a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// One figure of one system.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) dashed: bool,
    pub(crate) points: Vec<Point>,
}

/// What tells one system from the other, besides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Square,
    Circle,
}

/// A figure of a row, as it is drawn.
struct Figure {
    /// In the legend, behind the system; in errors where that is empty, `what`.
    name: &'static str,
    what: &'static str,
    dashed: bool,
    of: fn(&Row) -> Option<f64>,
}

const RATE: [Figure; 1] =
    [Figure { name: "", what: "throughput", dashed: false, of: |row| row.ops_per_s }];

const WAITS: [Figure; 2] = [
    Figure { name: " p50", what: "p50", dashed: false, of: |row| row.p50_us.map(ms) },
    Figure { name: " p99", what: "p99", dashed: true, of: |row| row.p99_us.map(ms) },
];

fn ms(us: f64) -> f64 {
    us / 1e3
}

impl Chart {
    /// # Errors
    ///
    /// If something that belongs into it was not measured.
    pub(crate) fn throughput(figures: &Figures) -> anyhow::Result<Chart> {
        let title = "Throughput by number of clients".to_owned();
        Chart::new(figures, title, "operations per second", &RATE)
    }

    /// # Errors
    ///
    /// If something that belongs into it was not measured.
    pub(crate) fn latency(figures: &Figures) -> anyhow::Result<Chart> {
        let title = "Latency by number of clients".to_owned();
        Chart::new(figures, title, "latency, ms", &WAITS)
    }

    fn new(
        figures: &Figures,
        title: String,
        quantity: &'static str,
        drawn: &[Figure],
    ) -> anyhow::Result<Chart> {
        let mut panels = Vec::new();
        for (workload, title) in WORKLOADS {
            let mut curves = Vec::new();
            for (system, mark) in SYSTEMS {
                for figure in drawn {
                    let points = figures.curve(system, workload, figure.of)?;
                    let what = figure.what;
                    ensure!(!points.is_empty(), "it has no {what} of {title} on {system}");
                    let name = format!("{system}{}", figure.name);
                    curves.push(Curve { name, mark, dashed: figure.dashed, points });
                }
            }
            panels.push(Panel { title, curves });
        }
        Ok(Chart { title, notes: notes(&figures.circumstances), quantity, panels })
    }

    /// Of which systems and figures there are curves: the same in all panels.
    pub(crate) fn legend(&self) -> &[Curve] {
        self.panels.first().map_or(&[], |panel| &panel.curves)
    }

    /// Every point of every panel.
    pub(crate) fn points(&self) -> impl Iterator<Item = &Point> {
        let curves = self.panels.iter().flat_map(|panel| &panel.curves);
        curves.flat_map(|curve| &curve.points)
    }
}

fn notes(about: &Circumstances) -> Vec<String> {
    let quick = if about.quick { "quick: short, and not for quoting; " } else { "" };
    // `etcd --version` says `etcd Version: 3.4.23`.
    let etcd = about.etcd.replace(" Version:", "");
    let date = about.date.as_ref().map(|date| format!(", {date}")).unwrap_or_default();
    let commit = about.commit.as_deref().map(|commit| format!(", commit {}", short(commit)));
    vec![
        format!("three members of each on one machine: {}", about.machine),
        format!("{etcd}, kernel {}{date}{}", about.machine.kernel, commit.unwrap_or_default()),
        format!(
            "{quick}keys of {} bytes, values of {} bytes, no TLS; lines through medians of the \
             rounds, bars from the least to the most",
            about.key_bytes, about.value_bytes,
        ),
    ]
}

/// As much of a commit's name as people read, and whether it is all of it.
fn short(commit: &str) -> String {
    let (name, changed) = commit.split_at(commit.find('-').unwrap_or(commit.len()));
    let kept: String = name.chars().take(12).collect();
    kept + changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::example;

    #[test]
    fn both_systems_are_in_every_panel() {
        let figures = Figures::parse(&example().to_string()).unwrap();
        let names = |chart: &Chart, panel: usize| {
            let curves = chart.panels[panel].curves.iter();
            curves.map(|curve| curve.name.clone()).collect::<Vec<String>>()
        };
        let throughput = Chart::throughput(&figures).unwrap();
        let latency = Chart::latency(&figures).unwrap();
        for panel in [0, 1] {
            assert_eq!(names(&throughput, panel), ["etcd", "kv_service"]);
            let waits = ["etcd p50", "etcd p99", "kv_service p50", "kv_service p99"];
            assert_eq!(names(&latency, panel), waits);
        }
        assert_eq!(latency.panels[0].curves[0].points[0].median, 10.0, "milliseconds");
    }

    #[test]
    fn what_it_was_measured_on_stands_below_the_title() {
        let figures = Figures::parse(&example().to_string()).unwrap();
        let notes = Chart::latency(&figures).unwrap().notes.join("\n");
        for part in [
            "2 processors (a processor), 1.0 GiB of memory",
            "kernel 0.1, 2026-01-31T08:05:00Z, commit 0123456789ab-dirty",
        ] {
            assert!(notes.contains(part), "{notes}");
        }
    }

    #[test]
    fn what_was_not_measured_is_named() {
        let mut figures = example();
        let rows = figures["rows"].as_array_mut().unwrap();
        rows.retain(|row| row["system"] == "etcd" || row["workload"] == "write");
        let figures = Figures::parse(&figures.to_string()).unwrap();
        let error = Chart::throughput(&figures).unwrap_err();
        let expected = "it has no throughput of linearizable reads on kv_service";
        assert_eq!(error.to_string(), expected);
    }
}
