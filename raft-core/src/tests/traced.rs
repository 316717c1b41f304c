//! What a piece of this crate really asks of the system: a test of it, run by itself under strace.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the directory in which the traced process works.
const VARIABLE: &str = "RAFT_CORE_TRACED";

const CALLS: &str = "trace=openat,write,pwrite64,fdatasync,fsync,unlink,unlinkat,rename,renameat,\
                     renameat2";

/// A completed call: its name, the path its descriptor stands for or that it names first, the
/// whole line.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) line: String,
}

/// Where the traced process is to work; `None` where the test runs as one among others. It is to
/// write to a file `acknowledged` there.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Runs the test of that name once more, under strace, in `dir`. The calls that succeeded, in the
/// order in which they were complete; `None` on a machine where nothing can be traced.
pub(crate) fn run(test: &str, dir: &Path) -> Option<Vec<Call>> {
    let output = dir.join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-s", "64", "-e", CALLS, "-o"])
        .arg(&output)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads=1"])
        .env(VARIABLE, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let text = fs::read_to_string(output).unwrap_or_default();
    match status {
        Ok(status) if status.success() => Some(calls(&text)),
        // It has not come so far: there is no strace, or tracing is forbidden.
        _ if !text.contains("acknowledged") => None,
        other => panic!("the traced process failed: {other:?}"),
    }
}

fn calls(trace: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, &str> = HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((process, call)) = line.split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, begun);
            continue;
        }
        let whole = match call.split_once(" resumed>") {
            Some((_, rest)) => format!("{}{rest}", unfinished.remove(process).unwrap_or_default()),
            None => call.to_owned(),
        };
        let Some((name, arguments)) = whole.split_once('(') else { continue };
        if whole.contains(") = -1 ") {
            continue;
        }
        // `-y` shows a descriptor as `5</path>`; a path itself stands in quotes.
        let shown = match name {
            "write" | "pwrite64" | "fdatasync" | "fsync" => {
                arguments.split_once('<').and_then(|(_, rest)| rest.split('>').next())
            }
            _ => arguments.split('"').nth(1),
        };
        let path = shown.unwrap_or_default().to_owned();
        found.push(Call { name: name.to_owned(), path, line: whole });
    }
    found
}
