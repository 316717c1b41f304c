//! What goes beyond a single item: promises, operations, and where to find the proof.
//!
//! | page | answers |
//! |---|---|
//! | [`guarantees`] | what a service may rely on, and what it may not |
//! | [`operations`] | how to run it, what to watch, and what to do when it breaks |
//! | [`features`] | what there is and what is missing, each with the test that shows it |
//! | [`paper`] | where this differs from the Raft paper, and why |

#[doc = include_str!("../docs/features.md")]
pub mod features {}

#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

#[doc = include_str!("../docs/paper.md")]
pub mod paper {}

/// Has the compiler read the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_test_that_the_table_of_features_names_exists() {
        let page = include_str!("../docs/features.md");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let quoted = page.split('`').skip(1).step_by(2);
        let named: Vec<(&str, &str)> = quoted.filter_map(|name| name.split_once(".rs::")).collect();
        assert!(named.len() > 80, "{} tests are named", named.len());
        for (file, name) in named {
            let source = fs::read_to_string(here.join(format!("{file}.rs"))).unwrap_or_default();
            let mut lines = source.lines().rev();
            let declared = format!("fn {name}() ");
            let found = lines.any(|line| line.contains(&declared));
            let is_test = lines.take(4).any(|line| line.contains("test"));
            assert!(found && is_test, "there is no test {name} in {file}.rs");
        }
    }

    #[test]
    fn every_row_of_the_table_of_features_has_a_test_or_a_reason() {
        let page = include_str!("../docs/features.md");
        let rows = page.lines().filter(|line| line.starts_with("| "));
        for row in rows {
            let heading = row.contains("| here |") || row.contains("what becomes of it |");
            let heading = heading || row.starts_with("| report |");
            let reasoned = row.contains("| no: ") || row.contains("no test: ");
            assert!(heading || reasoned || row.contains(".rs::"), "neither in {row}");
        }
    }

    #[test]
    fn every_metric_that_the_operators_page_names_is_there() {
        let page = include_str!("../docs/operations.md");
        let sources: String =
            ["metrics.rs", "metrics/page.rs", "metrics/latencies.rs", "meters.rs"]
                .map(|file| {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
                    fs::read_to_string(path).unwrap()
                })
                .concat();
        let quoted = page.split('`').skip(1).step_by(2);
        let named: Vec<&str> = quoted.filter_map(|name| name.strip_prefix("raft_")).collect();
        assert!(named.len() > 10);
        for name in named {
            let name = name.split('{').next().unwrap();
            assert!(sources.contains(&format!("\"{name}\"")), "there is no metric raft_{name}");
        }
    }
}
