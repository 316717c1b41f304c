//! Whether the disk is synced: a sample of the system calls that do it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::process::signal;

/// How long strace may take to write down what it counted.
const END_LIMIT: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(10);

/// What was seen of the members' syncs while they were written to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Trace {
    pub(crate) system: &'static str,
    pub(crate) tls: bool,
    pub(crate) round: u32,
    /// Calls of fsync and fdatasync; none if they could not be seen.
    pub(crate) syncs: Option<u64>,
    /// Writes that were acknowledged meanwhile.
    pub(crate) writes: u64,
    /// Why nothing was seen.
    pub(crate) why: Option<String>,
}

/// strace at work. Dropping it ends it, and leaves the members alone.
#[derive(Debug)]
pub(crate) struct Tracer {
    child: Child,
    directory: tempfile::TempDir,
}

const COUNTS: &str = "counts";
const MESSAGES: &str = "messages";

impl Tracer {
    /// Attaches to processes.
    ///
    /// # Errors
    ///
    /// Why that is not possible, for a human.
    pub(crate) fn attach(processes: &[u32], parent: &Path) -> Result<Tracer, String> {
        let directory = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
        let messages = fs::File::create(directory.path().join(MESSAGES));
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-o"]);
        command.arg(directory.path().join(COUNTS));
        for process in processes {
            command.arg("-p").arg(process.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(messages.map_err(|error| error.to_string())?);
        match command.spawn() {
            Ok(child) => Ok(Tracer { child, directory }),
            Err(error) => Err(format!("strace does not run ({error}): apt-get install strace")),
        }
    }

    /// Lets go of the processes, and tells how often they have synced.
    ///
    /// # Errors
    ///
    /// Why that is not known, for a human.
    pub(crate) async fn count(mut self) -> Result<u64, String> {
        let _ = signal("INT", self.child.id());
        let deadline = Instant::now() + END_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(GLANCE).await;
        }
        let read = |name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        let said = read(MESSAGES);
        if let Some(refusal) = said.lines().find(|line| line.contains("not permitted")) {
            return Err(format!("strace may not look: {refusal}"));
        }
        match syncs(&read(COUNTS)) {
            0 => Err(format!("strace saw none, and said: {}", said.trim())),
            syncs => Ok(syncs),
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum of the calls in strace's table; 0 for one without rows.
fn syncs(table: &str) -> u64 {
    let rows = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let named = matches!(fields.last(), Some(&("fsync" | "fdatasync")));
        named.then(|| fields.get(3)?.parse::<u64>().ok()).flatten()
    });
    rows.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_added_up_whether_some_failed_or_not() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 98.76    0.050000         100       500           fdatasync
  1.24    0.000100          10        10         1 fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.050100          98       510         1 total
";
        assert_eq!(syncs(table), 510);
        assert_eq!(syncs(""), 0);
    }
}
