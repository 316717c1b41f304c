//! A program of ours as a real process: started, killed without warning, started again.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// One long-running program with its arguments, output going to a log file of its own.
pub(crate) struct Process {
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(binary: &str, arguments: Vec<String>, log: PathBuf) -> Self {
        Self { binary: built(binary), arguments, log, child: None }
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "{} is running already", self.binary.display());
        let log = append(&self.log).expect("the log file opens");
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            // An open pipe, as a terminal is.
            .stdin(Stdio::piped())
            // What a client prints is what people wrote, and not part of what is searched.
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        self.child = Some(child);
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the program is running");
        child.kill().expect("the process can be killed");
        child.wait().expect("the process is gone");
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the program is running");
        let killed = Command::new("kill").arg(child.id().to_string()).status();
        assert!(killed.is_ok_and(|status| status.success()), "SIGTERM was sent");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait().expect("the process can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!(
                    "{} did not stop in 30 s: see {}",
                    self.binary.display(),
                    self.log.display()
                );
            }
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Fails the test when the program ended by itself.
    pub(crate) fn assert_running(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            panic!("{} ended by itself with {status}: {tail:#?}", self.binary.display());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a program to its end.
pub(crate) fn run(binary: &str, arguments: &[&str]) -> Output {
    Command::new(built(binary))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Tries `condition` until it holds; the test fails with `what` after `limit`.
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Where cargo put our programs; builds them when only this package was built.
fn built(binary: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let test = std::env::current_exe().expect("this test has a path");
    let directory = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    BUILT.get_or_init(|| {
        let missing = |name: &str| !directory.join(name).exists();
        if missing("telegraph-manager") || missing("telegraph") {
            let status = Command::new(env!("CARGO"))
                .args(["build", "-p", "telegraph-manager", "-p", "telegraph-client"])
                .status();
            assert!(status.is_ok_and(|status| status.success()), "the programs build");
        }
    });
    directory.join(binary)
}
