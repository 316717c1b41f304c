//! Draws what `compare` has measured; the README of this crate says how to run it.
//!
//! # The life of a plot
//!
//! 1. `figures.rs` reads the file that `compare --json` has written, and makes one point of all
//!    rounds with as many clients.
//! 2. `chart.rs` says what is drawn: throughput in one chart, latency in the other.
//! 3. `drawing.rs` draws it, the same figures as the same bytes.

mod chart;
mod drawing;
mod figures;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;

use chart::Chart;
use figures::Figures;

/// Charts of what `compare` has measured.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// What `compare --json` has written.
    figures: PathBuf,
    /// Where `throughput.svg` and `latency.svg` go.
    directory: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    run(&options.figures, &options.directory)
}

/// Draws both charts before the first of them is written.
fn run(figures: &Path, directory: &Path) -> anyhow::Result<()> {
    let file = || figures.display().to_string();
    let text = fs::read_to_string(figures).with_context(file)?;
    let figures = Figures::parse(&text).with_context(file)?;
    let charts = [
        ("throughput.svg", Chart::throughput(&figures).with_context(file)?),
        ("latency.svg", Chart::latency(&figures).with_context(file)?),
    ];
    let mut drawn = Vec::new();
    for (name, chart) in charts {
        drawn.push((name, drawing::svg(&chart)?));
    }
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    for (name, svg) in drawn {
        let path = directory.join(name);
        fs::write(&path, svg).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_figures_are_drawn_as_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("figures.json");
        fs::write(&file, figures::example().to_string()).unwrap();
        let draw = |into: &str| {
            let into = directory.path().join(into);
            run(&file, &into).unwrap();
            ["throughput.svg", "latency.svg"].map(|name| fs::read(into.join(name)).unwrap())
        };
        assert_eq!(draw("once"), draw("twice"));
    }

    #[test]
    fn a_file_that_is_away_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = run(Path::new("away.json"), directory.path()).unwrap_err();
        assert!(format!("{error:#}").starts_with("away.json: No such file"), "{error:#}");
    }

    #[test]
    fn nothing_is_written_unless_all_can_be_drawn() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("figures.json");
        let mut figures = figures::example();
        for row in figures["rows"].as_array_mut().unwrap() {
            row["p99_us"] = serde_json::Value::Null;
        }
        fs::write(&file, figures.to_string()).unwrap();
        let into = directory.path().join("into");
        let error = run(&file, &into).unwrap_err();
        assert!(format!("{error:#}").contains("no p99 of writes on etcd"), "{error:#}");
        assert!(!into.exists());
    }
}
