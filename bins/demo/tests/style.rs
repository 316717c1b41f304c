//! The house style, as a test: sizes, names, cycles, and what each crate must not know.
//!
//! Every violation is printed as `file:line what`. The checks are tried on small examples beside
//! their definitions, so that a check that can no longer fail does not go unnoticed.

#![allow(clippy::unwrap_used)] // In tests, and in what they share.

#[path = "style/crates.rs"]
mod crates;
#[path = "style/imports.rs"]
mod imports;
#[path = "style/size.rs"]
mod size;
#[path = "style/source.rs"]
mod source;
#[path = "style/words.rs"]
mod words;

use std::path::{Path, PathBuf};

use source::{Source, Violation};

fn root() -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = demo.ancestors().nth(2).unwrap();
    assert!(root.join("Cargo.lock").is_file(), "{} is not the workspace", root.display());
    root.to_owned()
}

fn rust_sources() -> Vec<Source> {
    let sources = source::read_tree(&root());
    let rust: Vec<Source> = sources.into_iter().filter(Source::is_rust).collect();
    assert!(rust.iter().any(|source| source.path == "raft-core/src/lib.rs"), "nothing was read");
    rust
}

fn none(violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn files_functions_and_lines_are_of_a_readable_size() {
    none(rust_sources().iter().flat_map(size::check).collect());
}

#[test]
fn a_file_is_named_after_what_it_holds() {
    none(rust_sources().iter().flat_map(size::check_name).collect());
}

#[test]
fn files_of_a_crate_do_not_import_each_other_in_circles() {
    none(imports::check(&rust_sources()));
}

#[test]
fn libraries_are_named_where_they_belong_and_nowhere_else() {
    none(rust_sources().iter().flat_map(words::check_named).collect());
}

#[test]
fn nothing_unfinished_and_no_unwrap_outside_tests() {
    none(rust_sources().iter().flat_map(words::check_unfinished).collect());
}

#[test]
fn no_text_names_the_place_or_the_tools_it_was_written_with() {
    none(source::read_tree(&root()).iter().flat_map(words::check_forbidden).collect());
}

#[test]
fn crates_depend_on_each_other_in_the_one_direction() {
    none(crates::check(&crates::metadata(&root())));
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    none(crates::check_lints(&root()));
}
