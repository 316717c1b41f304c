//! Circles among the files of a crate.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Violation, after_item, blank, line_of};

/// A module, as the names from the crate's root to it.
type Module = Vec<String>;

/// Who names whom, with the line that does.
type Edges = BTreeMap<Module, BTreeMap<Module, usize>>;

/// Reports each circle once, at an import that is part of it.
pub(crate) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        if let Some((name, _)) = source.path.split_once("/src/") {
            crates.entry(name).or_default().push(source);
        }
    }
    crates.values().flat_map(|files| check_crate(files)).collect()
}

fn check_crate(files: &[&Source]) -> Vec<Violation> {
    let modules: BTreeMap<Module, &Source> =
        files.iter().map(|source| (module_of(&source.path), *source)).collect();
    let mut edges = Edges::new();
    for (module, source) in &modules {
        let found = edges.entry(module.clone()).or_default();
        for (path, line) in paths(&source.production, module) {
            let target = resolve(&path, &modules);
            if target.as_ref().is_some_and(|target| target != module) {
                found.entry(target.unwrap()).or_insert(line);
            }
        }
    }
    let mut violations = Vec::new();
    while let Some(circle) = find_circle(&edges) {
        let (from, to) = (&circle[0], &circle[1 % circle.len()]);
        let line = edges.get_mut(from).unwrap().remove(to).unwrap();
        let names: Vec<String> = circle.iter().map(shown).collect();
        let what = format!("imports in a circle: {} -> {}", names.join(" -> "), names[0]);
        violations.push(modules[from].violation(line, what));
    }
    violations
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

/// `a/src/b/c.rs` is `b::c`; `lib.rs` is the root; `main.rs` is a root of its own.
fn module_of(path: &str) -> Module {
    let (_, inside) = path.split_once("/src/").unwrap();
    match inside.trim_end_matches(".rs") {
        "lib" => Module::new(),
        stem => stem.split('/').map(str::to_owned).collect(),
    }
}

/// The file that a path leads into: that of the longest part of it that names a module.
fn resolve(path: &[String], modules: &BTreeMap<Module, &Source>) -> Option<Module> {
    let parts = (0..=path.len()).rev().map(|length| path[..length].to_vec());
    parts.into_iter().find(|part| modules.contains_key(part))
}

/// Every path of the file that starts at the crate's root, with its line.
fn paths(code: &str, module: &Module) -> Vec<(Vec<String>, usize)> {
    let code = without_inline_modules(code);
    let children = children(&code);
    let mut found = Vec::new();
    for (start, name) in words(&code) {
        // `crate` goes on in `crate::a`, and does not in `pub(crate)`; `a::crate` is no path.
        let text = &code[start..];
        // `pub(in crate::a)` says who may look, and imports nothing.
        let before = &code[..start];
        let continued = before.ends_with("::") || before.ends_with("(in ");
        if !text[name.len()..].starts_with("::") || continued {
            continue;
        }
        let base = match name {
            "crate" => Module::new(),
            "self" => module.clone(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            child if children.contains(child) => [module.as_slice(), &[child.to_owned()]].concat(),
            _ => continue,
        };
        let line = line_of(&code, start);
        let mut tails = Vec::new();
        expand(&text[name.len() + 2..], &mut Vec::new(), &mut tails);
        for mut tail in tails {
            let mut path = base.clone();
            while tail.first().is_some_and(|part| part == "super") {
                path.pop();
                tail.remove(0);
            }
            path.extend(tail);
            found.push((path, line));
        }
    }
    found
}

/// Reads `a::{b, c::d}` into `a::b` and `a::c::d`; returns how much it has read.
fn expand(text: &str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    let mut at = skip_space(text, 0);
    loop {
        let name: String = text[at..].chars().take_while(|c| is_word(*c)).collect();
        if !name.is_empty() {
            at += name.len();
            prefix.push(name);
            if text[at..].starts_with("::") {
                at += 2;
                continue;
            }
            found.push(prefix.clone());
        } else if text[at..].starts_with('{') {
            at += 1;
            while at < text.len() && !text[at..].starts_with('}') {
                at += expand(&text[at..], prefix, found);
                // Past `as name`, and to the next of the group or its end.
                let rest = text[at..].find([',', '}']).unwrap_or(text.len() - at);
                at += rest;
                at = skip_space(text, at + usize::from(text[at..].starts_with(',')));
            }
            at = (at + 1).min(text.len());
        } else {
            found.push(prefix.clone()); // `*`, or the turbofish.
        }
        prefix.truncate(depth);
        return at;
    }
}

fn skip_space(text: &str, at: usize) -> usize {
    at + text[at..].len() - text[at..].trim_start().len()
}

/// The names of `mod a;`.
fn children(code: &str) -> BTreeSet<String> {
    let declared = code.match_indices("mod ").filter_map(|(start, _)| {
        let rest = &code[start + 4..];
        let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
        rest[name.len()..].starts_with(';').then_some(name)
    });
    declared.collect()
}

/// What is in `mod a { … }` has another `self` and another `super`; there is little of it.
fn without_inline_modules(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (start, name) in words(code) {
        let end = after_item(code, start);
        if name == "mod" && code[start..end].contains('{') {
            blank(&mut bytes, start, end);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| {
        let start = word.as_ptr() as usize - code.as_ptr() as usize;
        (start, word)
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn find_circle(edges: &Edges) -> Option<Vec<Module>> {
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| walk(start, edges, &mut Vec::new(), &mut done))
}

fn walk(
    module: &Module,
    edges: &Edges,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(position) = way.iter().position(|there| there == module) {
        return Some(way[position..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    way.push(module.clone());
    let targets = edges.get(module).into_iter().flat_map(BTreeMap::keys);
    let found = targets.into_iter().find_map(|target| walk(target, edges, way, done));
    way.pop();
    done.insert(module.clone());
    found
}

#[cfg(test)]
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    check(&sources).iter().map(ToString::to_string).collect()
}

#[test]
fn two_files_that_import_each_other_are_found() {
    let files = [
        ("x/src/lib.rs", "mod a;\nmod b;\npub use a::A;\n"),
        ("x/src/a.rs", "use std::fmt;\nuse crate::b::B;\n"),
        ("x/src/b.rs", "fn f() { crate::a::f() }\n"),
    ];
    assert_eq!(circles(&files), ["x/src/a.rs:2 imports in a circle: a -> b -> a"]);
}

#[test]
fn a_longer_circle_through_groups_and_parents_is_found() {
    let files = [
        ("x/src/lib.rs", "mod a;\nmod c;\n"),
        ("x/src/a.rs", "mod b;\nuse crate::{c::{D, e as f}, g};\n"),
        ("x/src/a/b.rs", "use super::A;\n"),
        ("x/src/c.rs", "use crate::a::b::{self, B};\n"),
    ];
    assert_eq!(circles(&files), ["x/src/a.rs:2 imports in a circle: a -> c -> a::b -> a"]);
}

#[test]
fn importing_through_the_root_is_a_circle() {
    let files =
        [("x/src/lib.rs", "mod a;\npub use a::A;\n"), ("x/src/a.rs", "use crate::Other;\n")];
    let found = circles(&files);
    assert_eq!(
        found,
        ["x/src/lib.rs:2 imports in a circle: the crate's root -> a -> the crate's root"]
    );
}

#[test]
fn declaring_a_child_and_testing_a_parent_are_no_imports() {
    let files = [
        ("x/src/lib.rs", "mod a;\n"),
        (
            "x/src/a.rs",
            "mod b;\npub(crate) struct A;\n#[cfg(test)]\nmod tests { use super::b::*; }\n",
        ),
        ("x/src/a/b.rs", "use super::A;\n// use crate::a::b;\nmod c { use super::B; }\n"),
        ("y/src/lib.rs", "use crate::a::A;\nmod a;\n"),
        ("y/src/a.rs", "use x::a::b::B;\npub(in crate::a) struct A;\n"),
        ("y/src/a/b.rs", "pub(in crate::a) struct C(crate::a::A);\n"),
    ];
    assert_eq!(circles(&files), Vec::<String>::new());
}
