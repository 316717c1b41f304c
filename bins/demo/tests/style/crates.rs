//! Who may depend on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::source::Violation;

/// A crate of ours: which others of ours it may use, what it must not depend on itself, and what
/// must not be linked into it by any way.
struct Rule {
    name: &'static str,
    uses: &'static [&'static str],
    not_itself: &'static [&'static str],
    not_at_all: &'static [&'static str],
}

const RULES: [Rule; 11] = [
    Rule {
        name: "telegraph-proto",
        uses: &[],
        not_itself: &["openraft", "axum", "reqwest", "sled", "redb"],
        not_at_all: &["openraft", "sled", "redb"],
    },
    Rule {
        name: "raft-core-discovery",
        uses: &[],
        not_itself: &["tonic", "axum", "rustls"],
        not_at_all: &["openraft", "sled", "redb", "tonic"],
    },
    Rule { name: "base2histogram", uses: &[], not_itself: &[], not_at_all: &["openraft", "tokio"] },
    Rule {
        name: "raft-core",
        uses: &["telegraph-proto", "raft-core-discovery"],
        not_itself: &["axum", "reqwest", "serde_json"],
        not_at_all: &["sled", "redb", "bcrypt"],
    },
    Rule {
        name: "raft-core-client",
        uses: &["telegraph-proto", "raft-core-discovery"],
        not_itself: &["axum", "reqwest", "serde_json"],
        not_at_all: &["openraft", "raft-core", "sled", "redb"],
    },
    Rule {
        name: "identity-store",
        uses: &["raft-core", "telegraph-proto"],
        not_itself: &["tonic", "axum", "tokio", "serde_json", "getrandom", "rand", "openraft"],
        not_at_all: &["redb", "bcrypt"],
    },
    Rule {
        name: "peer-messaging",
        uses: &["telegraph-proto"],
        not_itself: &["axum", "reqwest", "serde_json"],
        not_at_all: &["openraft", "raft-core", "identity-store", "sled", "reqwest"],
    },
    Rule {
        name: "telegraph-manager",
        uses: &["raft-core", "raft-core-discovery", "identity-store", "telegraph-proto"],
        not_itself: &["openraft", "sled"],
        not_at_all: &["peer-messaging", "redb"],
    },
    Rule {
        name: "telegraph-client",
        uses: &["peer-messaging", "raft-core-discovery", "telegraph-proto"],
        not_itself: &["axum"],
        not_at_all: &["openraft", "raft-core", "identity-store", "sled"],
    },
    Rule {
        name: "telegraph-demo",
        uses: &["telegraph-manager", "telegraph-client", "raft-core", "identity-store"],
        not_itself: &["openraft", "sled", "redb"],
        not_at_all: &[],
    },
    Rule {
        name: "telegraph-benches",
        uses: &[
            "raft-core",
            "raft-core-client",
            "raft-core-discovery",
            "identity-store",
            "peer-messaging",
            "telegraph-proto",
        ],
        not_itself: &["openraft", "sled", "redb"],
        not_at_all: &[],
    },
];

/// What cargo knows of the workspace, without asking any network: hence only of what is built for
/// this machine, for the rest need never have been fetched.
pub(crate) fn metadata(root: &Path) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = Command::new(&cargo).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", host])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks every member of the workspace against its rule; a member without one is a violation.
pub(crate) fn check(metadata: &Value) -> Vec<Violation> {
    let graph = Graph::new(metadata);
    let mut violations = Vec::new();
    for member in &graph.members {
        let mut wrong = |what: String| {
            violations.push(Violation { path: graph.manifest(member), line: 1, what });
        };
        let name = graph.name(member);
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            wrong(format!("`{name}` has no rule of what it may use"));
            continue;
        };
        for used in graph.direct(member) {
            let name = graph.name(used);
            if graph.members.contains(used) && !rule.uses.contains(&name) {
                wrong(format!("`{}` must not use `{name}`", rule.name));
            }
            if rule.not_itself.contains(&name) {
                wrong(format!("`{}` must not depend on `{name}` itself", rule.name));
            }
        }
        for linked in graph.linked(member) {
            if rule.not_at_all.contains(&graph.name(linked)) {
                wrong(format!("`{}` must not link `{}`", rule.name, graph.name(linked)));
            }
        }
    }
    violations
}

/// Every member's manifest says `[lints] workspace = true`.
pub(crate) fn check_lints(root: &Path) -> Vec<Violation> {
    let metadata = metadata(root);
    let graph = Graph::new(&metadata);
    let manifests = graph.members.iter().map(|member| graph.manifest(member));
    manifests
        .filter(|path| !takes_lints(&fs::read_to_string(root.join(path)).unwrap()))
        .map(|path| Violation { path, line: 1, what: "does not take the lints".to_owned() })
        .collect()
}

fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    lines.next().is_some_and(|line| line.replace(' ', "") == "workspace=true")
}

/// The resolved graph without what only tests need. Packages go by cargo's ids.
struct Graph<'a> {
    root: &'a str,
    members: BTreeSet<&'a str>,
    packages: BTreeMap<&'a str, &'a Value>,
    edges: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Value) -> Graph<'a> {
        let list = |value: &'a Value| value.as_array().unwrap().iter();
        let edges = list(&metadata["resolve"]["nodes"]).map(|node| {
            let kept = list(&node["deps"]).filter(|dependency| {
                let mut kinds = list(&dependency["dep_kinds"]);
                kinds.any(|kind| kind["kind"].as_str() != Some("dev"))
            });
            let used = kept.map(|dependency| dependency["pkg"].as_str().unwrap()).collect();
            (node["id"].as_str().unwrap(), used)
        });
        let packages = list(&metadata["packages"]);
        Graph {
            root: metadata["workspace_root"].as_str().unwrap(),
            members: list(&metadata["workspace_members"]).filter_map(Value::as_str).collect(),
            packages: packages.map(|package| (package["id"].as_str().unwrap(), package)).collect(),
            edges: edges.collect(),
        }
    }

    fn name(&self, id: &str) -> &'a str {
        self.packages[id]["name"].as_str().unwrap()
    }

    fn manifest(&self, id: &str) -> String {
        let path = self.packages[id]["manifest_path"].as_str().unwrap();
        path.trim_start_matches(self.root).trim_start_matches('/').to_owned()
    }

    fn direct(&self, id: &str) -> &BTreeSet<&'a str> {
        &self.edges[id]
    }

    fn linked(&self, id: &str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = self.direct(id).iter().copied().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(self.direct(next));
            }
        }
        seen
    }
}

/// A workspace in which the first `members` packages are ours; edges as `from to kind`.
#[cfg(test)]
fn workspace(names: &[&str], members: usize, edges: &[(&str, &str, Option<&str>)]) -> Value {
    let package = |name: &&str| {
        let manifest = format!("/w/{name}/Cargo.toml");
        serde_json::json!({"id": name, "name": name, "manifest_path": manifest})
    };
    let node = |name: &&str| {
        let deps: Vec<Value> = edges
            .iter()
            .filter(|(from, _, _)| from == name)
            .map(|(_, to, kind)| serde_json::json!({"pkg": to, "dep_kinds": [{"kind": kind}]}))
            .collect();
        serde_json::json!({"id": name, "deps": deps})
    };
    serde_json::json!({
        "workspace_root": "/w",
        "workspace_members": names[..members],
        "packages": names.iter().map(package).collect::<Vec<_>>(),
        "resolve": {"nodes": names.iter().map(node).collect::<Vec<_>>()},
    })
}

#[cfg(test)]
fn found(names: &[&str], members: usize, edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
    check(&workspace(names, members, edges)).iter().map(ToString::to_string).collect()
}

#[test]
fn an_edge_against_the_direction_is_found() {
    let names = ["telegraph-proto", "raft-core"];
    let right = [("raft-core", "telegraph-proto", None)];
    assert_eq!(found(&names, 2, &right), Vec::<String>::new());
    let wrong = [("telegraph-proto", "raft-core", None)];
    let what = "telegraph-proto/Cargo.toml:1 `telegraph-proto` must not use `raft-core`";
    assert_eq!(found(&names, 2, &wrong), [what]);
}

#[test]
fn what_is_linked_by_a_detour_is_found_and_what_tests_need_is_not() {
    let names = ["telegraph-client", "between", "sled"];
    let linked = [("telegraph-client", "between", None), ("between", "sled", None)];
    let what = "telegraph-client/Cargo.toml:1 `telegraph-client` must not link `sled`";
    assert_eq!(found(&names, 1, &linked), [what]);
    let built = [("telegraph-client", "between", Some("build")), ("between", "sled", None)];
    assert_eq!(found(&names, 1, &built), [what]);
    let tested = [("telegraph-client", "between", Some("dev")), ("between", "sled", None)];
    assert_eq!(found(&names, 1, &tested), Vec::<String>::new());
}

#[test]
fn a_direct_dependency_is_told_from_an_inherited_one() {
    let names = ["identity-store", "raft-core", "tonic"];
    let inherited = [("identity-store", "raft-core", None), ("raft-core", "tonic", None)];
    assert_eq!(found(&names, 2, &inherited), Vec::<String>::new());
    let direct = [("identity-store", "tonic", None)];
    assert_eq!(found(&names, 2, &direct).len(), 1);
}

#[test]
fn a_new_crate_needs_a_rule() {
    assert_eq!(found(&["telegraph-novelty"], 1, &[]).len(), 1);
}

#[test]
fn a_manifest_without_the_lints_is_found() {
    assert!(takes_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
    assert!(!takes_lints("[package]\nworkspace = true\n"));
    assert!(!takes_lints("[lints]\nworkspace = false\n"));
}
