//! Sizes and names of files, functions and lines.

use crate::source::{Source, Violation, after_item, line_of};

const FILE_MAX_LINES: usize = 400;
const FUNCTION_MAX_LINES: usize = 70;
const LINE_MAX_COLUMNS: usize = 100;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let mut violations: Vec<Violation> = long_lines(source).chain(long_functions(source)).collect();
    let lines = production_lines(source);
    if !source.is_test() && lines > FILE_MAX_LINES {
        let what = format!("{lines} lines without tests; at most {FILE_MAX_LINES}");
        violations.push(source.violation(1, what));
    }
    violations
}

pub(crate) fn check_name(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let stem = source.path.trim_end_matches(".rs");
    if stem.ends_with("/mod") {
        violations.push(source.violation(1, "foo/mod.rs is to be foo.rs beside foo/"));
    }
    for part in stem.split('/').filter(|part| EMPTY_NAMES.contains(part)) {
        violations.push(source.violation(1, format!("`{part}` says nothing about what is inside")));
    }
    violations
}

fn long_lines(source: &Source) -> impl Iterator<Item = Violation> + '_ {
    let lines = source.text.lines().enumerate();
    // A link cannot be broken.
    let long = lines.filter(|(_, line)| !line.contains("://"));
    long.filter_map(|(index, line)| {
        let columns = line.chars().count();
        let what = format!("{columns} columns; at most {LINE_MAX_COLUMNS}");
        (columns > LINE_MAX_COLUMNS).then(|| source.violation(index + 1, what))
    })
}

fn long_functions(source: &Source) -> impl Iterator<Item = Violation> + '_ {
    let code = &source.code;
    code.match_indices("fn ").filter_map(move |(start, _)| {
        let before = code[..start].chars().next_back();
        let name: String = code[start + 3..].chars().take_while(|c| is_word(*c)).collect();
        if before.is_some_and(is_word) || name.is_empty() {
            return None;
        }
        let end = after_item(code, start);
        let lines = code[start..end].matches('\n').count() + 1;
        let what = format!("`{name}` has {lines} lines; at most {FUNCTION_MAX_LINES}");
        (lines > FUNCTION_MAX_LINES).then(|| source.violation(line_of(code, start), what))
    })
}

/// Lines but those that hold nothing except what is for tests.
fn production_lines(source: &Source) -> usize {
    let lines = source.code.lines().zip(source.production.lines());
    lines.filter(|(code, production)| code == production).count()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let body = "const A: u8 = 0;\n".repeat(FILE_MAX_LINES);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    use super::*;\n".repeat(500));
    assert_eq!(check(&Source::new("a/src/a.rs", &format!("{body}{tests}"))), []);
    let found = check(&Source::new("a/src/a.rs", &format!("//! One more.\n{body}{tests}")));
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().starts_with("a/src/a.rs:1 401 lines"), "{}", found[0]);
}

#[test]
fn a_long_function_is_found_where_it_starts() {
    let function =
        |lines: usize| format!("\nfn long(a: [u8; 2]) {{\n{}}}\n", "    a;\n".repeat(lines));
    assert_eq!(check(&Source::new("a.rs", &function(FUNCTION_MAX_LINES - 2))), []);
    let found = check(&Source::new("a.rs", &function(FUNCTION_MAX_LINES - 1)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "a.rs:2 `long` has 71 lines; at most 70");
}

#[test]
fn a_long_line_is_found_unless_it_is_a_link() {
    let line = format!("// {}\n", "x".repeat(98));
    let found = check(&Source::new("a.rs", &format!("\n{line}")));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].line, 2);
    assert_eq!(check(&Source::new("a.rs", &format!("// https://{line}"))), []);
}

#[test]
fn names_that_say_nothing_are_found() {
    for path in ["a/src/mod.rs", "a/src/b/mod.rs", "a/src/utils.rs", "a/tests/common/x.rs"] {
        assert_eq!(check_name(&Source::new(path, "")).len(), 1, "{path}");
    }
    assert_eq!(check_name(&Source::new("a/src/model.rs", "")), []);
}
