//! What something was measured on, and with.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

const GIB: f64 = (1 << 30) as f64;

/// What a comparison was made with: `compare` writes it, and `plot` reads it. Files of older
/// versions do not have all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// When it began, as [`utc`](crate::utc) says it.
    #[serde(default)]
    pub date: Option<String>,
    /// The commit of the code; none where there is no checkout of it. See [`commit`].
    #[serde(default)]
    pub commit: Option<String>,
    /// What `etcd --version` says first.
    pub etcd: String,
    /// What all of it ran on.
    #[serde(flatten)]
    pub machine: Machine,
    /// Whether it was made to be short, and is not for quoting.
    pub quick: bool,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Keys that there were.
    pub keys: u64,
    /// Entries written before a restart.
    pub entries: u64,
    /// How long each measurement under load took, in seconds.
    pub window_s: f64,
    /// What decided which keys and values were drawn.
    pub seed: u64,
}

/// A machine, as far as it says of itself what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Release of the kernel; empty where none is told.
    pub kernel: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// What the first of them is.
    #[serde(default)]
    pub processor_model: Option<String>,
    /// Memory of the machine.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn here() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor_model: field(&read("/proc/cpuinfo"), "model name").map(str::to_owned),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
        }
    }
}

impl fmt::Display for Machine {
    /// Its processors and its memory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} processors", self.processors)?;
        if let Some(model) = &self.processor_model {
            write!(f, " ({model})")?;
        }
        match self.memory_bytes {
            Some(bytes) => write!(f, ", {:.1} GiB of memory", bytes as f64 / GIB),
            None => Ok(()),
        }
    }
}

/// The commit that is checked out around `directory`, with `-dirty` behind it when a file that
/// belongs to it was changed since; none without a checkout, or without git.
#[must_use]
pub fn commit(directory: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let said = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
        let text = String::from_utf8(said.stdout).ok()?;
        said.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "-dirty" })
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kilobytes: u64 = field(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// What the first line that begins with `name` has behind its colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_it_is() {
        assert_eq!(field("processor\t: 0\nmodel name\t: A: B\n", "model name"), Some("A: B"));
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(memory_bytes("MemFree: 1 kB\n"), None);
        let mut machine = Machine {
            kernel: "6".to_owned(),
            processors: 2,
            processor_model: Some("A".to_owned()),
            memory_bytes: Some(3 << 29),
        };
        assert_eq!(machine.to_string(), "2 processors (A), 1.5 GiB of memory");
        (machine.processor_model, machine.memory_bytes) = (None, None);
        assert_eq!(machine.to_string(), "2 processors");
        assert!(Machine::here().processors > 0);
    }

    #[test]
    fn where_nothing_is_checked_out_there_is_no_commit() {
        assert_eq!(commit(Path::new("/proc")), None);
    }

    #[test]
    fn what_older_versions_did_not_write_may_be_away() {
        let older = r#"{"etcd": "etcd Version: 3", "kernel": "6", "processors": 2, "quick": false,
            "key_bytes": 16, "value_bytes": 256, "keys": 1, "entries": 1, "window_s": 3.0,
            "seed": 1}"#;
        let read: Circumstances = serde_json::from_str(older).unwrap();
        assert_eq!((&read.date, &read.machine.memory_bytes), (&None, &None));
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written["processors"], 2, "what is of the machine stands beside the rest");
        assert_eq!(serde_json::from_value::<Circumstances>(written).unwrap(), read);
    }
}
