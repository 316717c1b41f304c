//! One member as a process: started, told to stop, killed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

/// How long a process may take to stop when it is told to.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(10);

/// A program with its arguments, running or not. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// A process that is not started yet. What it says goes to the end of the file `log`.
    pub(crate) fn new(program: PathBuf, arguments: Vec<OsString>, log: PathBuf) -> Process {
        Process { program, arguments, log, child: None }
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        assert!(self.child.is_none(), "it is started once");
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Both systems take settings from the environment, which would not be the same for all.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("ETCD_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        self.child = Some(command.spawn().with_context(|| self.program.display().to_string())?);
        Ok(())
    }

    /// Its id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Fails, with the end of what it said, if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let Some(status) = child.try_wait()? else { return Ok(()) };
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        bail!("{} ended: {status}\n{}", self.program.display(), last.join("\n"))
    }

    /// SIGKILL: it has no time for anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It fails for a process that is gone already, and that is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM: it is asked to stop, and does so in its own time.
    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        let Some(id) = self.id() else { return Ok(()) };
        signal("TERM", id)
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    ///
    /// If it has not after a minute; it is killed then.
    pub(crate) async fn stopped(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + STOP_LIMIT;
        while let Some(child) = &mut self.child {
            if child.try_wait()?.is_some() {
                self.child = None;
            } else if Instant::now() > deadline {
                self.kill();
                bail!("{} did not stop in {STOP_LIMIT:?}", self.program.display());
            } else {
                sleep(GLANCE).await;
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process that was started here.
pub(crate) fn signal(name: &str, process: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    match status.context("kill")?.success() {
        true => Ok(()),
        false => bail!("no signal could be sent to process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_ends_when_it_is_asked_to_and_when_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let sleeper = || {
            let log = directory.path().join("log");
            let mut process = Process::new("sleep".into(), vec!["600".into()], log);
            process.start().unwrap();
            process
        };
        let mut asked = sleeper();
        asked.check().unwrap();
        asked.ask_to_stop().unwrap();
        asked.stopped().await.unwrap();
        assert_eq!(asked.id(), None);
        let forgotten = sleeper();
        let id = forgotten.id().unwrap();
        drop(forgotten);
        assert!(!fs::exists(format!("/proc/{id}")).unwrap());
    }

    #[tokio::test]
    async fn a_process_that_failed_is_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = vec!["-c".into(), "echo no such thing; exit 3".into()];
        let mut process = Process::new("sh".into(), arguments, directory.path().join("log"));
        process.start().unwrap();
        let error = loop {
            match process.check() {
                Ok(()) => sleep(GLANCE).await,
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("no such thing") && error.contains('3'), "{error}");
    }
}
