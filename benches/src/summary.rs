//! The table at the end.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::taken::Taken;

/// The whole suite is meant to take no longer.
const BUDGET: Duration = Duration::from_secs(15 * 60);

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// That much, or more.
    AtLeast(f64),
    /// That much, or less.
    AtMost(f64),
}

/// What one bench has found out.
///
/// - Kept in a file of the bench, so that the last bench of a run prints the lines of all.
#[derive(Debug)]
pub struct Summary {
    bench: &'static str,
    directory: PathBuf,
    run: u32,
    began: Instant,
    lines: String,
}

impl Summary {
    /// Begins, in `target/criterion/summary`; `scratch` is cargo's folder for what benches write.
    #[must_use]
    pub fn new(bench: &'static str, scratch: &Path) -> Summary {
        let target = scratch.parent().unwrap_or(scratch);
        let directory = target.join("criterion").join("summary");
        // All benches of one run have one parent.
        let run = parent_id();
        Summary { bench, directory, run, began: Instant::now(), lines: String::new() }
    }

    /// Adds a line: what was done so often, each of them in `taken`; and how many a second are
    /// physically possible, if that was measured. A bench that was filtered out has no line.
    pub fn figure(&mut self, what: &str, taken: &Taken, limit: Option<f64>) {
        if taken.is_empty() {
            return;
        }
        self.rate(what, taken.per_second(), taken.p50(), limit);
    }

    /// Adds such a line for what was measured in another way.
    pub fn rate(&mut self, what: &str, rate: f64, p50: Duration, limit: Option<f64>) {
        let limited = match limit {
            Some(limit) => format!("{limit:12.0} {:6.2}", rate / limit),
            None => String::new(),
        };
        self.line(&format!("{what:58} {rate:11.0} {:>10} {limited}", short(p50)));
    }

    /// Adds a line for something that happens once: how many things it did, and how long it took.
    pub fn event(&mut self, what: &str, things: u64, took: Duration, limit: Option<f64>) {
        self.rate(what, things as f64 / took.as_secs_f64(), took, limit);
    }

    /// Adds a line that says what a figure was meant to be, and is.
    pub fn target(&mut self, what: &str, seen: f64, bound: Bound) {
        let (sign, wanted, met) = match bound {
            Bound::AtLeast(least) => (">=", least, seen >= least),
            Bound::AtMost(most) => ("<=", most, seen <= most),
        };
        let verdict = verdict(met);
        self.line(&format!("target: {what:50} {seen:8.2}, wanted {sign} {wanted}: {verdict}"));
    }

    /// Keeps the lines, and prints those of all benches of this run.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written or read.
    #[allow(clippy::print_stdout, reason = "its figures are what a bench is for")]
    pub fn finish(self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let (run, took) = (self.run, self.began.elapsed().as_secs());
        let kept = format!("{run} {took}\n{}", self.lines);
        fs::write(self.directory.join(self.bench), kept)?;
        println!("{}", self.page()?);
        Ok(())
    }

    /// Prints a line at once, for a bench may take minutes, and keeps it.
    #[allow(clippy::print_stdout, reason = "its figures are what a bench is for")]
    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        println!("{line}");
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    /// What the benches of this run have kept.
    fn page(&self) -> io::Result<String> {
        let entries = fs::read_dir(&self.directory)?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        let head = ["what", "a second", "p50", "limit", "of it"];
        let [what, rate, p50, limit, share] = head;
        let mut page = format!("\n{what:58} {rate:>11} {p50:>10} {limit:>12} {share:>6}\n");
        let mut total = Duration::ZERO;
        for path in paths {
            let kept = fs::read_to_string(&path)?;
            let Some((head, lines)) = kept.split_once('\n') else { continue };
            let Some((run, took)) = head.split_once(' ') else { continue };
            if run != self.run.to_string() {
                continue;
            }
            let took = Duration::from_secs(took.parse().unwrap_or(0));
            total += took;
            let bench = path.file_name().unwrap_or_default().display();
            // Writing to a string does not fail.
            let _ = writeln!(page, "\n{bench}, {} s\n{lines}", took.as_secs());
        }
        let verdict = verdict(total <= BUDGET);
        let (total, budget) = (total.as_secs(), BUDGET.as_secs());
        let _ = write!(page, "\n{total} s so far, of the {budget} s that all may take: {verdict}");
        Ok(page)
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn short(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.1} us"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bench_of_a_run_shows_all_and_none_of_an_older_run() {
        let target = tempfile::tempdir().unwrap();
        let scratch = target.path().join("tmp");
        let taken = Taken::new(Duration::from_secs(1), vec![Duration::from_millis(250); 4]);
        let mut older = Summary::new("older", &scratch);
        older.run += 1;
        older.figure("forgotten", &taken, None);
        older.finish().unwrap();
        let mut first = Summary::new("first", &scratch);
        first.figure("writing", &taken, Some(8.0));
        first.figure("filtered out", &Taken::default(), Some(8.0));
        first.finish().unwrap();
        let mut second = Summary::new("second", &scratch);
        second.target("as quick as that", 0.5, Bound::AtLeast(0.8));
        second.target("as slow as that", 0.5, Bound::AtMost(0.8));
        second.event("moving in", 10, Duration::from_secs(5), Some(4.0));
        let lines = second.lines.clone();
        assert!(lines.contains("0.50, wanted >= 0.8: MISSED"), "{lines}");
        assert!(lines.contains("0.50, wanted <= 0.8: met"), "{lines}");
        second.finish().unwrap();
        let page = Summary::new("second", &scratch).page().unwrap();
        assert!(page.contains("250.00 ms            8   0.50"), "{page}");
        let moving = page.lines().find(|line| line.contains("moving in")).unwrap();
        assert!(moving.ends_with("5.00 s            4   0.50"), "{page}");
        assert!(!page.contains("forgotten") && !page.contains("filtered"), "{page}");
    }
}
