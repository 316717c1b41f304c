//! What was found: for people on standard output, for programs in a file.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use telegraph_benches::Circumstances;

use crate::figures::{Median, Ratio, Row, Shape, Summary, summaries};
use crate::trace::Trace;

/// Columns of a ratio with its spread.
const RATIO_COLUMNS: usize = 26;

/// Everything that was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) traces: Vec<Trace>,
    /// How long all of it took, without what was built before.
    pub(crate) took: Duration,
}

/// Tells people who wait what goes on.
#[allow(clippy::print_stderr, reason = "what goes on is no figure")]
pub(crate) fn progress(what: &str) {
    eprintln!("{what}");
}

impl Report {
    /// Prints tables: medians of the rounds, and the ratio with the least and the most of it.
    ///
    /// # Errors
    ///
    /// If nobody takes them.
    pub(crate) fn print(&self, about: &Circumstances, to: &mut impl Write) -> io::Result<()> {
        let of = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        writeln!(
            to,
            "{}, commit {}{}",
            of(&about.date),
            of(&about.commit),
            if about.quick { "; quick: short, and not for quoting" } else { "" },
        )?;
        let machine = &about.machine;
        writeln!(to, "{}, kernel {}, {machine}", about.etcd, machine.kernel)?;
        writeln!(
            to,
            "keys of {} bytes out of {}, values of {} bytes; medians, and ratios round by round: \
             the median of the rounds [least .. most]",
            about.key_bytes, about.keys, about.value_bytes,
        )?;
        for group in summaries(&self.rows).chunk_by(|one, next| one.load == next.load) {
            let table = Table::of(group);
            writeln!(to, "\n{}\n{}", title(&group[0].load, about), table.heading())?;
            group.iter().try_for_each(|summary| writeln!(to, "{}", table.line(summary)))?;
        }
        self.print_slowest(to)?;
        self.print_leads(to)?;
        self.print_traces(to)?;
        let failed: u64 = self.rows.iter().map(|row| row.failures).sum();
        if failed > 0 {
            let first = self.rows.iter().find_map(|row| row.first_failure.as_deref());
            writeln!(to, "\n{failed} operations failed; the first: {}", first.unwrap_or("?"))?;
        }
        writeln!(to, "\n{:.1} s in all", self.took.as_secs_f64())
    }

    /// Says how long it took at worst, of what is a single event each time.
    fn print_slowest(&self, to: &mut impl Write) -> io::Result<()> {
        let mut slowest: Vec<(&str, &str, usize, f64)> = Vec::new();
        for row in &self.rows {
            let Some(time_ms) = row.time_ms else { continue };
            let known =
                slowest.iter_mut().find(|known| (known.0, known.1) == (row.workload, row.system));
            match known {
                Some(known) => (known.2, known.3) = (known.2 + 1, known.3.max(time_ms)),
                None => slowest.push((row.workload, row.system, 1, time_ms)),
            }
        }
        if !slowest.is_empty() {
            writeln!(to, "\nthe longest time")?;
        }
        for (workload, system, times, time_ms) in slowest {
            writeln!(to, "  {workload}, {system}: {} ms of {times}", number(time_ms))?;
        }
        Ok(())
    }

    /// Says of every long load whether there was an election.
    fn print_leads(&self, to: &mut impl Write) -> io::Result<()> {
        let mut heading = "\nfull load for long, and who led\n";
        for row in &self.rows {
            let Some((before, after)) = row.lead_before.zip(row.lead_after) else { continue };
            let (term, leader) = (before.term, before.leader);
            let seen = match before == after {
                true => format!("no election: term {term}, and {leader:x} leads, as before"),
                false => format!(
                    "AN ELECTION: term {term} and leader {leader:x} before, term {} and leader \
                     {:x} after",
                    after.term, after.leader,
                ),
            };
            let rate = row.ops_per_s.map(number).unwrap_or_default();
            let slowest = row.max_us.map(|us| number(us / 1e3)).unwrap_or_default();
            let (system, clients, round) = (row.system, row.clients, row.round);
            write!(to, "{heading}  round {round}, {system} x {clients}: {seen}; ")?;
            writeln!(to, "{rate} writes/s, the slowest {slowest} ms, {} failed", row.failures)?;
            heading = "";
        }
        Ok(())
    }

    fn print_traces(&self, to: &mut impl Write) -> io::Result<()> {
        if !self.traces.is_empty() {
            writeln!(to, "\nsyncs of the disk, in a sample of each turn with 64 writers")?;
        }
        for trace in &self.traces {
            let tls = if trace.tls { " over TLS" } else { "" };
            let seen = match (trace.syncs, &trace.why) {
                (Some(syncs), _) => {
                    format!("{syncs} fsync and fdatasync for {} writes", trace.writes)
                }
                (None, why) => format!("not seen: {}", why.as_deref().unwrap_or("?")),
            };
            writeln!(to, "  round {}, {}{tls}: {seen}", trace.round, trace.system)?;
        }
        Ok(())
    }

    /// Writes every figure to a file.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub(crate) fn write_json(&self, about: &Circumstances, path: &Path) -> anyhow::Result<()> {
        let all = serde_json::json!({
            "circumstances": about,
            "rows": self.rows,
            "summaries": summaries(&self.rows),
            "traces": self.traces,
            "took_s": self.took.as_secs_f64(),
        });
        let text = serde_json::to_string_pretty(&all)?;
        fs::write(path, text + "\n").with_context(|| path.display().to_string())
    }
}

fn title(load: &Shape, about: &Circumstances) -> String {
    let tls = if load.tls { ", TLS" } else { "" };
    match (load.workload, load.clients) {
        ("failover", _) => "kill -9 of the leader to the next acknowledged write".to_owned(),
        ("idle", _) => "idle".to_owned(),
        (workload, 1) if workload.starts_with("restart") => {
            format!("{workload}, {} entries", about.entries)
        }
        ("embedded", clients) => format!("writes, three members in one process, {clients} callers"),
        (workload, 1) => format!("{workload}, 1 client{tls}"),
        (workload, clients) => format!("{workload}, {clients} clients{tls}"),
    }
}

/// The columns that the figures of one load need.
struct Table {
    systems: Vec<&'static str>,
    /// Whose figures by whose.
    ratios: Vec<(&'static str, &'static str)>,
}

impl Table {
    fn of(group: &[Summary]) -> Table {
        let mut table = Table { systems: Vec::new(), ratios: Vec::new() };
        for Median { system, .. } in group.iter().flat_map(|summary| &summary.medians) {
            if !table.systems.contains(system) {
                table.systems.push(system);
            }
        }
        for Ratio { of, by, .. } in group.iter().flat_map(|summary| &summary.ratios) {
            if !table.ratios.contains(&(of, by)) {
                table.ratios.push((of, by));
            }
        }
        table
    }

    fn heading(&self) -> String {
        let systems = self.systems.iter().map(|system| format!(" {system:>10}"));
        let ratios = self.ratios.iter().map(|(of, by)| {
            let name = format!("{of} / {by}");
            format!("  {name:RATIO_COLUMNS$}")
        });
        let columns: String = systems.chain(ratios).collect();
        format!("  {:14}{columns}", "").trim_end().to_owned()
    }

    fn line(&self, summary: &Summary) -> String {
        let medians = self.systems.iter().map(|system| {
            let median = summary.medians.iter().find(|median| median.system == *system);
            let shown = median.map_or_else(|| "-".to_owned(), |median| number(median.value));
            format!(" {shown:>width$}", width = system.len().max(10))
        });
        let ratios = self.ratios.iter().map(|pair| {
            let ratio = summary.ratios.iter().find(|ratio| (ratio.of, ratio.by) == *pair);
            let shown = ratio.map(|ratio| {
                let [median, min, max] = [ratio.median, ratio.min, ratio.max].map(number);
                format!("{median}  [{min} .. {max}]")
            });
            format!("  {:RATIO_COLUMNS$}", shown.unwrap_or_default())
        });
        let columns: String = medians.chain(ratios).collect();
        format!("  {:14}{columns}", summary.figure).trim_end().to_owned()
    }
}

/// Three digits or more that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Lead;
    use crate::options::Options;
    use crate::system::System;
    use clap::Parser as _;

    fn example() -> (Report, Circumstances) {
        let mut report = Report { took: Duration::from_millis(90_500), ..Report::default() };
        for (round, etcd, kv_service) in [(1, 8000.0, 40_000.0), (2, 8000.0, 48_000.0)] {
            for (system, ops) in [(System::Etcd, etcd), (System::KvService, kv_service)] {
                let row = Row::new(system, "write", 64, round);
                report.rows.push(Row { ops_per_s: Some(ops), ..row });
            }
        }
        report.traces.push(Trace {
            system: "etcd",
            tls: false,
            round: 1,
            syncs: None,
            writes: 5,
            why: Some("strace is away".to_owned()),
        });
        let options = Options::try_parse_from(["compare", "--quick"]).unwrap();
        (report, options.circumstances("etcd 0".to_owned(), &options.plan()))
    }

    #[test]
    fn a_table_shows_both_and_the_ratio_with_its_spread() {
        let (report, about) = example();
        let mut shown = Vec::new();
        report.print(&about, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let line = shown.lines().find(|line| line.contains("operations/s")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["operations/s", "8000", "44000", "5.50", "[5.00", "..", "6.00]"]);
        assert!(shown.contains("not seen: strace is away") && shown.contains("64 clients"));
        assert!(!shown.contains("failed"));
        assert!(shown.ends_with("\n90.5 s in all\n"), "{shown}");
    }

    #[test]
    fn a_table_has_a_column_for_each_system_and_each_ratio() {
        let (mut report, about) = example();
        report.rows.clear();
        for (system, ops) in
            [(System::Etcd, 10.0), (System::Embedded, 120.0), (System::EmbeddedMemory, 160.0)]
        {
            let row = Row::new(system, "embedded", 1024, 1);
            let p50_us = (system != System::EmbeddedMemory).then_some(5.0);
            report.rows.push(Row { ops_per_s: Some(ops), p50_us, ..row });
        }
        let mut shown = Vec::new();
        report.print(&about, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("embedded / etcd"), "{shown}");
        assert!(shown.contains("embedded / embedded, memory log"), "{shown}");
        let words = |what: &str| {
            let line = shown.lines().find(|line| line.contains(what)).unwrap();
            line.split_whitespace().skip(1).collect::<Vec<&str>>().join(" ")
        };
        let rates = "10.0 120 160 12.0 [12.0 .. 12.0] 0.750 [0.750 .. 0.750]";
        assert_eq!(words("operations/s"), rates);
        assert_eq!(words("p50"), "us 5.00 5.00 - 1.00 [1.00 .. 1.00]");
    }

    #[test]
    fn an_election_under_a_long_load_is_said_plainly() {
        let (mut report, about) = example();
        let before = Some(Lead { term: 2, leader: 1 });
        for (round, term) in [(1, 2), (2, 3)] {
            let lead_after = Some(Lead { term, leader: 1 });
            let row = Row::new(System::KvService, "steady", 1024, round);
            let row = Row { ops_per_s: Some(1000.0), max_us: Some(123_000.0), ..row };
            report.rows.push(Row { lead_before: before, lead_after, ..row });
        }
        let mut shown = Vec::new();
        report.print(&about, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let line = |what: &str| shown.lines().find(|line| line.contains(what)).unwrap();
        assert!(line("round 1, kv").contains("no election: term 2,"), "{shown}");
        assert!(line("round 2, kv").contains("AN ELECTION: term 2 and"), "{shown}");
        assert!(line("round 2, kv").contains("1000 writes/s, the slowest 123 ms, 0 failed"));
        assert_eq!(shown.matches("who led").count(), 1);
    }

    #[test]
    fn the_file_has_what_programs_look_for() {
        let (report, about) = example();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("figures.json");
        report.write_json(&about, &path).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let row = read["rows"][0].as_object().unwrap();
        for name in ["system", "workload", "clients", "ops_per_s", "p50_us", "p99_us", "p999_us"] {
            assert!(row.contains_key(name), "{name}");
        }
        assert_eq!(read["summaries"][0]["ratios"][0]["max"], 6.0);
    }
}
