//! Tells the story as it happens: plain words, and how long each step took.

use crate::cluster::Cluster;
use crate::report::Report;
use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// Prints to stdout, or to stderr when stdout is for JSON.
#[derive(Debug)]
pub(crate) struct Narrator {
    json: bool,
    step: Instant,
}

impl Narrator {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, step: Instant::now() }
    }

    /// A heading; what follows is timed from here.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.line(&format!("\n── {title}"));
        self.step = Instant::now();
    }

    /// A sentence of explanation, for who has never heard of this.
    pub(crate) fn explain(&mut self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// Something that happened and was checked, with the time since the last such line.
    pub(crate) fn done(&mut self, text: &str) {
        let took = self.step.elapsed();
        self.done_in(text, took);
    }

    /// Something that happened beside others and was checked, with its own time.
    pub(crate) fn done_in(&mut self, text: &str, took: Duration) {
        let took = pretty(took);
        self.line(&format!("   ✔ {text:<68} {took:>9}"));
        self.step = Instant::now();
    }

    /// The closing table and, when asked for, the JSON object.
    pub(crate) fn close(&mut self, report: &Report) {
        self.line("\n── What came of it");
        for (name, value) in report.rows() {
            self.line(&format!("   {name:<28} {value}"));
        }
        let verdict = if report.holds() {
            "\nEverything above was checked, not assumed: it holds."
        } else {
            "\nNOT everything held: see the table."
        };
        self.line(verdict);
        if self.json {
            match serde_json::to_string(report) {
                Ok(text) => print(&mut io::stdout().lock(), &text),
                Err(error) => self.line(&format!("the report cannot be printed: {error}")),
            }
        }
    }

    /// How to talk to the managers that are left running.
    pub(crate) fn explain_keeping(&mut self, cluster: &Cluster) {
        let managers = cluster.addresses().join(" --manager ");
        let ca = cluster.ca_file().display().to_string();
        let base = format!("telegraph --manager {managers} --ca {ca}");
        self.line("\n── The managers keep running. In another terminal (NAME is yours to choose):");
        self.line(&format!("   {base} --profile ./NAME register NAME"));
        self.line("   telegraph --profile ./NAME run          # stay online; type: OTHER hello");
        self.line("   telegraph --profile ./NAME send OTHER hello");
        self.line(
            "   `telegraph` is `cargo run --release -p telegraph-client --`. Ctrl-C ends the demo.",
        );
    }

    /// The story could not go on.
    pub(crate) fn broke_off(&mut self, error: &anyhow::Error) {
        print(&mut io::stderr().lock(), &format!("\n✘ the demo broke off: {error:#}"));
    }

    fn line(&mut self, text: &str) {
        if self.json {
            print(&mut io::stderr().lock(), text);
        } else {
            print(&mut io::stdout().lock(), text);
        }
    }
}

/// A reader that went away (`| head`) is no reason to stop checking.
fn print(to: &mut dyn Write, text: &str) {
    let _ = writeln!(to, "{text}");
    let _ = to.flush();
}

fn pretty(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}
