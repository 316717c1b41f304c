//! Words, and where they may stand.

use crate::source::{Source, Violation};

/// A word of the code, below which folder it is looked for, and where alone it may be found.
struct Named {
    word: &'static str,
    below: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const NAMED: [Named; 14] = [
    Named { word: "sled", below: "", allowed: &["identity-store/src/tree.rs"], why: "one file" },
    Named {
        word: "redb",
        below: "",
        allowed: &["peer-messaging/src/store", "raft-core/examples/kv_service"],
        why: "the store, and an example of one",
    },
    Named { word: "openraft", below: "", allowed: &["raft-core/src/engine"], why: "the engine" },
    pure("SystemTime"),
    pure("Instant"),
    pure("getrandom"),
    pure("rand"),
    pure("tonic"),
    pure("axum"),
    below_the_edge("axum"),
    below_the_edge("serde_json"),
    below_the_edge("http"),
    below_the_edge("StatusCode"),
    below_the_edge("tonic"),
];

const fn pure(word: &'static str) -> Named {
    let why = "applying is the same on every replica, and knows no transport";
    Named { word, below: "identity-store/src/", allowed: &[], why }
}

const fn below_the_edge(word: &'static str) -> Named {
    let why = "nothing below the edge knows JSON, HTTP or gRPC status";
    Named { word, below: "bins/manager/src/api", allowed: &[], why }
}

/// Libraries and clocks outside their place.
pub(crate) fn check_named(source: &Source) -> Vec<Violation> {
    let applies = |named: &&Named| {
        let elsewhere = !named.allowed.iter().any(|place| source.path.starts_with(place));
        source.path.starts_with(named.below) && elsewhere
    };
    let mut violations = Vec::new();
    for named in NAMED.iter().filter(applies) {
        // Where a library may not be named, neither may its tests; a clock is theirs to use.
        let everywhere = named.below.is_empty();
        if source.is_test() && !everywhere {
            continue;
        }
        let code = if everywhere { &source.code } else { &source.production };
        for line in lines_with_word(code, named.word) {
            let what = format!("`{}` is named here: {}", named.word, named.why);
            violations.push(source.violation(line, what));
        }
    }
    if source.path == "raft-core/src/lib.rs" {
        for (index, line) in source.code.lines().enumerate() {
            if ["pub mod engine", "pub use engine"].iter().any(|text| line.contains(text)) {
                violations
                    .push(source.violation(index + 1, "the engine is nobody else's business"));
            }
        }
    }
    violations
}

/// What must not stand outside tests, and what must not stand anywhere.
pub(crate) fn check_unfinished(source: &Source) -> Vec<Violation> {
    const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    const PANICKING: [&str; 2] = [".unwrap()", ".unwrap_err()"];
    let mut violations = Vec::new();
    let mut look = |code: &str, words: &[&str], what: &str| {
        for (index, line) in code.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                violations.push(source.violation(index + 1, format!("`{word}` {what}")));
            }
        }
    };
    look(&source.code, &UNFINISHED, "is unfinished work");
    if !source.is_test() {
        look(&source.production, &PANICKING, "outside tests");
    }
    violations
}

/// Where the text was written, and with what, is nobody's business.
pub(crate) fn check_forbidden(source: &Source) -> Vec<Violation> {
    if source.path == "Cargo.lock" {
        return check_lock(source);
    }
    let forbidden = forbidden();
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let line = line.to_lowercase();
        for word in forbidden.iter().filter(|word| line.contains(word.as_str())) {
            violations.push(source.violation(index + 1, format!("`{word}` is not for readers")));
        }
    }
    violations
}

/// In halves, so that this file does not find itself.
fn forbidden() -> Vec<String> {
    let halves = [
        ("/wo", "rk/"),
        ("/tmp/br", "ief"),
        ("crates", ".io"),
        ("regis", "try.npmjs"),
        ("py", "pi.org"),
        ("clau", "de"),
        ("anthro", "pic"),
        ("open", "ai"),
        ("chat", "gpt"),
        ("copi", "lot"),
        ("language ", "model"),
        ("next ", "issue"),
        ("this ", "issue"),
        ("next ", "session of"),
        ("the coordi", "nator"),
        ("being ", "written\""),
        ("path = ", "\"/"),
    ];
    halves.iter().map(|(first, second)| [*first, *second].concat()).collect()
}

/// The one place that names a registry names the public one.
fn check_lock(source: &Source) -> Vec<Violation> {
    let public =
        ["source = \"registry+https://github.com/rust-lang/crates", ".io-index\""].concat();
    let lines = source.text.lines().enumerate();
    let foreign = lines.filter(|(_, line)| line.starts_with("source = ") && *line != public);
    foreign.map(|(index, _)| source.violation(index + 1, "not the public registry")).collect()
}

fn lines_with_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let separates = |c: char| !(c.is_alphanumeric() || c == '_');
    let lines = code.lines().enumerate();
    let with_word = lines.filter(move |(_, line)| line.split(separates).any(|part| part == word));
    with_word.map(|(index, _)| index + 1)
}

#[cfg(test)]
fn found(check: fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<String> {
    check(&Source::new(path, text)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_library_outside_its_place_is_found_and_a_comment_is_not() {
    let text = "// sled is fine here\nuse sled::Db;\n";
    assert_eq!(found(check_named, "identity-store/src/tree.rs", text), Vec::<String>::new());
    let elsewhere = found(check_named, "identity-store/src/store.rs", text);
    assert_eq!(elsewhere, ["identity-store/src/store.rs:2 `sled` is named here: one file"]);
    let text = "use openraft::Raft;\n";
    assert_eq!(found(check_named, "raft-core/src/engine/log.rs", text), Vec::<String>::new());
    assert_eq!(found(check_named, "raft-core/src/node.rs", text).len(), 1);
    assert_eq!(found(check_named, "raft-core/src/lib.rs", "pub use engine::Log;\n").len(), 1);
    assert_eq!(found(check_named, "bins/client/src/a.rs", "fn f(d: redb::Database) {}").len(), 1);
}

#[test]
fn a_clock_or_a_transport_in_what_must_be_pure_is_found() {
    let clock = "fn f() { std::time::SystemTime::now(); }\n";
    assert_eq!(found(check_named, "identity-store/src/apply.rs", clock).len(), 1);
    assert_eq!(found(check_named, "bins/manager/src/a.rs", clock), Vec::<String>::new());
    let tested = format!("#[cfg(test)]\nmod tests {{ {clock} }}\n");
    assert_eq!(found(check_named, "identity-store/src/apply.rs", &tested), Vec::<String>::new());
    let text = "use axum::Json;\nuse http::StatusCode;\n";
    assert_eq!(found(check_named, "bins/manager/src/api/users.rs", text).len(), 3);
    assert_eq!(found(check_named, "bins/manager/src/edge/rest.rs", text), Vec::<String>::new());
}

#[test]
fn unwraps_and_unfinished_work_are_found() {
    let text = "fn a() { b().unwrap(); }\n#[cfg(test)]\nfn c() { d().unwrap(); }\n";
    assert_eq!(
        found(check_unfinished, "a/src/a.rs", text),
        ["a/src/a.rs:1 `.unwrap()` outside tests"]
    );
    assert_eq!(found(check_unfinished, "a/tests/a.rs", text), Vec::<String>::new());
    assert_eq!(found(check_unfinished, "a/tests/a.rs", "fn a() { todo!() }\n").len(), 1);
    assert_eq!(
        found(check_unfinished, "a/src/a.rs", "// x.unwrap()\nf(\".unwrap()\");\n").len(),
        0
    );
}

#[test]
fn places_and_tools_are_found_in_any_text_and_in_any_case() {
    for word in forbidden() {
        let text = format!("fine\nsee {} there\n", word.to_uppercase());
        assert_eq!(found(check_forbidden, "README.md", &text).len(), 1, "{word}");
    }
    let lock = "source = \"registry+https://mirror.example/index\"\n";
    assert_eq!(found(check_forbidden, "Cargo.lock", lock).len(), 1);
}
