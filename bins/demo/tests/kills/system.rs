//! Three managers and two people as real processes on this machine, in one directory.

use crate::process::{Process, run, wait_until};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

/// What everybody's password contains, so that one search finds all of them.
pub(crate) const CANARY_PASSWORD: &str = "canary-password-7f3a";

/// How long a person's program may take for one command, elections included, in seconds.
const PATIENCE: &str = "60";

/// How long a restarted program may take to be back.
const RECOVERY: Duration = Duration::from_secs(90);

pub(crate) struct System {
    root: PathBuf,
    ports: Vec<Ports>,
    pub(crate) managers: Vec<Process>,
    pub(crate) people: Vec<Process>,
    names: Vec<&'static str>,
}

#[derive(Clone, Copy)]
struct Ports {
    raft: u16,
    rest: u16,
}

impl System {
    /// Everything started, everybody registered and online.
    pub(crate) fn start(root: &Path, names: &[&'static str]) -> Self {
        let certs = root.join("certs");
        let made = run(
            "telegraph-manager",
            &["certs", "init", "--dir", text(&certs), "--host", "127.0.0.1"],
        );
        assert!(made.status.success(), "certificates: {}", shown(&made));
        let mut system = Self {
            root: root.to_owned(),
            ports: (0..3).map(|_| Ports { raft: free_port(), rest: free_port() }).collect(),
            managers: Vec::new(),
            people: Vec::new(),
            names: names.to_vec(),
        };
        for number in 1..=3 {
            let log = system.log(&format!("manager-{number}"));
            let arguments = system.manager_arguments(number);
            let mut manager = Process::new("telegraph-manager", arguments, log);
            manager.start();
            system.managers.push(manager);
        }
        for name in names {
            system.write_password(name);
            // Registration is idempotent: until there is a leader it is simply tried again.
            wait_until(&format!("{name} is registered"), RECOVERY, || {
                let done = system.command(name, &["register", name]);
                done.status.success()
            });
            let mut arguments = system.person_arguments(name);
            arguments.extend(["run", "--listen", "127.0.0.1:0"].map(String::from));
            let log = system.log(name);
            let mut person = Process::new("telegraph", arguments, log);
            person.start();
            system.people.push(person);
        }
        for person in 0..names.len() {
            system.await_person(person);
        }
        system
    }

    /// Runs one `telegraph` command for a person.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Output {
        let mut all = self.person_arguments(name);
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        run("telegraph", &all)
    }

    /// Registers somebody new in a profile of their own; true when it was acknowledged.
    pub(crate) fn register(&self, name: &str) -> bool {
        self.write_password(name);
        self.command(name, &["register", name]).status.success()
    }

    /// Waits until a manager answers as one that knows its leader.
    pub(crate) fn await_manager(&mut self, index: usize) {
        let certs = self.root.join("certs");
        let address = format!("127.0.0.1:{}", self.ports[index].rest);
        let ca = certs.join("ca.pem");
        let manager = &mut self.managers[index];
        wait_until(&format!("manager {} is ready", index + 1), RECOVERY, || {
            manager.assert_running();
            let asked = ["health", "--manager", &address, "--ca", text(&ca)];
            run("telegraph-manager", &asked).status.success()
        });
    }

    /// Waits until a person's running program says that it is online. A command that finds no
    /// running program looks at the profile by itself, and says that it is not.
    pub(crate) fn await_person(&mut self, index: usize) {
        let name = self.names[index];
        wait_until(&format!("{name} is back"), RECOVERY, || {
            self.people[index].assert_running();
            let who = self.command(name, &["whoami"]);
            let value: Option<serde_json::Value> = serde_json::from_slice(&who.stdout).ok();
            value.is_some_and(|value| value["address"].is_string())
        });
    }

    /// A manager's own directory.
    pub(crate) fn data(&self, number: usize) -> PathBuf {
        self.root.join(format!("manager-{number}"))
    }

    fn manager_arguments(&self, number: usize) -> Vec<String> {
        let certs = self.root.join("certs");
        let own = self.ports[number - 1];
        let mut arguments: Vec<String> = vec!["serve".into()];
        let mut flag = |name: &str, value: String| {
            arguments.extend([name.to_owned(), value]);
        };
        flag("--node-id", number.to_string());
        flag("--data-dir", text(&self.data(number)).into());
        for (at, ports) in self.ports.iter().enumerate() {
            let Ports { raft, rest } = ports;
            flag("--member", format!("{}=127.0.0.1:{raft}/127.0.0.1:{rest}", at + 1));
        }
        flag("--raft-listen", format!("127.0.0.1:{}", own.raft));
        flag("--rest-listen", format!("127.0.0.1:{}", own.rest));
        flag("--discovery-listen", "off".into());
        flag("--ca", text(&certs.join("ca.pem")).into());
        flag("--cert", text(&certs.join("manager.pem")).into());
        flag("--key", text(&certs.join("manager.key")).into());
        flag("--log-format", "json".into());
        // Often enough that kills fall into snapshots too, and that there are some to search.
        flag("--snapshot-after", "25".into());
        arguments
    }

    fn person_arguments(&self, name: &str) -> Vec<String> {
        let mut arguments: Vec<String> = vec!["--json".into()];
        let mut flag = |name: &str, value: String| {
            arguments.extend([name.to_owned(), value]);
        };
        flag("--profile", text(&self.profile(name)).into());
        for ports in &self.ports {
            flag("--manager", format!("127.0.0.1:{}", ports.rest));
        }
        flag("--ca", text(&self.root.join("certs").join("ca.pem")).into());
        flag("--password-file", text(&self.password_file(name)).into());
        flag("--timeout", PATIENCE.into());
        arguments
    }

    fn write_password(&self, name: &str) {
        let file = self.password_file(name);
        let directory = file.parent().expect("a file has a directory");
        fs::create_dir_all(directory).expect("the directory is made");
        fs::write(file, format!("{CANARY_PASSWORD}-{name}\n")).expect("the password is written");
    }

    /// Outside of everything that is searched afterwards.
    fn password_file(&self, name: &str) -> PathBuf {
        self.root.join("passwords").join(name)
    }

    fn profile(&self, name: &str) -> PathBuf {
        self.root.join("profiles").join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        let logs = self.root.join("logs");
        fs::create_dir_all(&logs).expect("the directory is made");
        logs.join(format!("{name}.log"))
    }
}

/// Files below `directory` that contain one of `secrets`, passwords' own files aside.
pub(crate) fn files_with(directory: &Path, secrets: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory lists") {
        let path = entry.expect("the directory lists").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "passwords") {
                found.extend(files_with(&path, secrets));
            }
            continue;
        }
        let kind = fs::symlink_metadata(&path).expect("the file is there").file_type();
        if kind.is_socket() {
            continue;
        }
        let bytes = fs::read(&path).expect("the file reads");
        for secret in secrets {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                found.push((path.clone(), (*secret).to_owned()));
            }
        }
    }
    found
}

/// A program's output, for a failing test.
pub(crate) fn shown(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{}\n{out}\n{err}", output.status)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// A port that was free a moment ago; all of them are members' names before any is listened on.
fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    listener.local_addr().expect("it has an address").port()
}
