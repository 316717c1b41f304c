use std::process::Command;

use super::program;

#[test]
fn the_counter_counts_on_three_nodes() {
    let output = Command::new(program::path("counter")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}{complaint}");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 6, "{printed}");
    for (line, total) in lines.iter().zip(["5", "35", "42"]) {
        assert!(line.starts_with("added ") && line.ends_with(&format!(": {total}")), "{printed}");
    }
    for (id, line) in (1..).zip(&lines[3..]) {
        assert_eq!(*line, format!("node {id} reads 42"));
    }
}

/// openraft#858, openraft#204, openraft#477, openraft#1273: weeks of work before the first command.
#[test]
fn the_counter_takes_no_more_than_sixty_lines() {
    let source = include_str!("../../examples/counter.rs");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = source.lines().filter(is_code).count();
    assert!(lines <= 60, "{lines} lines");
}
