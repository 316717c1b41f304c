//! Where the examples lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

/// One build at a time, and no second one once it is there.
static BUILDING: Mutex<()> = Mutex::new(());

/// The program of an example. `cargo test` builds examples before it runs tests, except when it is
/// told to run one test file alone; then it is built here, unless it is there and up to date.
pub(crate) fn path(name: &str) -> PathBuf {
    // This test is target/<profile>/deps/examples-<hash>.
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    let _one_at_a_time = BUILDING.lock().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "examples", "tests/upgrade"].map(|folder| newest(&here.join(folder)));
    let built = fs::metadata(&path).and_then(|file| file.modified()).ok();
    if built < sources.into_iter().max() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--package", "raft-core", "--example", name]);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        assert!(cargo.status().unwrap().success(), "{name} is not built");
    }
    path
}

/// When the newest file of a folder was changed.
fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let changed = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => newest(&entry.path()),
        false => entry.metadata().unwrap().modified().unwrap(),
    });
    changed.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
