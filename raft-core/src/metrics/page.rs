//! Prometheus' text format, version 0.0.4.
//!
//! Written here and not by a library: what is exposed are a few dozen numbers known beforehand,
//! which the libraries for it would want registered, named and locked at run time.

use std::fmt::{Display, Write as _};

use crate::histogram::Distribution;

/// A page of metrics; all names begin with `raft_`.
#[derive(Debug)]
pub(crate) struct Page(String);

impl Page {
    /// An empty page with room for everything a node says.
    pub(crate) fn new() -> Page {
        Page(String::with_capacity(32 << 10))
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }

    /// Begins a family; what follows until the next belongs to it.
    pub(crate) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP raft_{name} {help}\n# TYPE raft_{name} {kind}");
    }

    /// A sample. `name` may carry labels, whose values need no escaping.
    pub(crate) fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "raft_{name} {value}");
    }

    /// A family of one sample.
    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, value);
    }

    /// A family of one distribution.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, seen: &Distribution) {
        self.head(name, "histogram", help);
        self.distribution(name, "", seen);
    }

    /// One distribution of a family; `label` is empty, or `name="value"`.
    pub(crate) fn distribution(&mut self, name: &str, label: &str, seen: &Distribution) {
        let comma = if label.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, below) in seen.cumulative() {
            let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.line(&format!("{name}_bucket{{{label}{comma}le=\"{le}\"}}"), below);
            count = below;
        }
        let labels = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        self.line(&format!("{name}_sum{labels}"), seen.sum());
        // Of the same reading as the buckets, so that they agree.
        self.line(&format!("{name}_count{labels}"), count);
    }
}
