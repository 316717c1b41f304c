//! The source tree as the checks see it.

use std::fmt;
use std::fs;
use std::path::Path;

/// Extensions of the files that are read; those without one are read too.
const TEXT: [&str; 9] = ["rs", "toml", "md", "proto", "sh", "yml", "yaml", "json", "html"];

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.path, self.line, self.what)
    }
}

/// One file.
///
/// - `text`, `code` and `production` have the same lines.
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// With comments and the insides of literals blanked out.
    pub(crate) code: String,
    /// `code` with everything under `#[cfg(test)]` blanked out too.
    pub(crate) production: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { blank_literals(text) } else { text.to_owned() };
        let production = blank_tests(&code);
        assert_eq!(text.lines().count(), production.lines().count(), "{path}");
        Source { path: path.to_owned(), text: text.to_owned(), code, production }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is a test or a bench.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
            && !self.path.starts_with("benches/src/")
    }

    pub(crate) fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

/// Every text file below `root`, sorted, without build results and hidden folders save `.ci`.
pub(crate) fn read_tree(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    read_folder(root, "", &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            if path != "target" && (!name.starts_with('.') || path == ".ci") {
                read_folder(&entry.path(), &format!("{path}/"), sources);
            }
            continue;
        }
        let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
        if kind.is_file() && extension.is_none_or(|extension| TEXT.contains(&extension)) {
            // A file that is no text holds nothing these checks are about.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                sources.push(Source::new(&path, &text));
            }
        }
    }
}

/// The line (from 1) of a byte of `text`.
pub(crate) fn line_of(text: &str, position: usize) -> usize {
    text[..position].matches('\n').count() + 1
}

/// The byte after the brace that closes the one at `open`; the end of the text if none does.
pub(crate) fn after_block(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (position, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return position + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The byte after the item that starts at `start`: after its block, or its semicolon.
pub(crate) fn after_item(code: &str, start: usize) -> usize {
    let mut brackets = 0;
    for (position, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' if brackets == 0 => return after_block(code, position),
            b';' | b',' if brackets == 0 => return position + 1,
            _ => {}
        }
    }
    code.len()
}

pub(crate) fn blank(text: &mut [u8], from: usize, to: usize) {
    text[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

fn blank_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut bytes = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find(MARK) {
        let start = from + found;
        let end = after_item(code, start + MARK.len());
        blank(&mut bytes, start, end);
        from = end;
    }
    String::from_utf8(bytes).unwrap()
}

/// Blanks out comments and what is inside string and character literals, byte for byte.
fn blank_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut blanked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (skip, keep) = match rest {
            [b'/', b'/', ..] => (line_comment(rest), 0),
            [b'/', b'*', ..] => (block_comment(rest), 0),
            [b'"', ..] => (quoted(rest), 1),
            [b'r', b'"' | b'#', ..] if !in_word(bytes, at) => match raw_string(rest) {
                Some(length) => (length, 1),
                None => (1, 1),
            },
            [b'\'', ..] => match character(text, at) {
                Some(length) => (length, 1),
                None => (1, 1),
            },
            _ => (1, 1),
        };
        let end = (at + skip).min(bytes.len());
        if skip > 1 && at + keep + keep <= end {
            blank(&mut blanked, at + keep, end - keep);
        }
        at = end;
    }
    String::from_utf8(blanked).unwrap()
}

/// Whether the byte at `at` goes on a word (`br"` and `cr"` are prefixes, not words).
fn in_word(bytes: &[u8], at: usize) -> bool {
    let word = |back: usize| {
        let byte = at.checked_sub(back).and_then(|place| bytes.get(place));
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    word(1) && (!matches!(bytes.get(at.wrapping_sub(1)), Some(b'b' | b'c')) || word(2))
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None; // A raw identifier.
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = 2 + hashes;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    Some(found.map_or(rest.len(), |found| body + found + end.len()))
}

/// The length of a character literal at `at`; `None` if a lifetime stands there.
fn character(text: &str, at: usize) -> Option<usize> {
    let mut characters = text[at + 1..].char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        let escaped = text[at + 3..].find('\'')?;
        return Some(3 + escaped + 1);
    }
    let (after, second) = characters.next()?;
    (second == '\'').then_some(1 + after + 1)
}

#[test]
fn what_is_in_literals_and_comments_is_not_code() {
    let text = r##"let a = "x { \" }"; // y {
let b = r#"x " {"#; /* z /* { */ } */ let c = '{'; let d: &'static str = b"{"; let e = '\'';
"##;
    let code = Source::new("a.rs", text).code;
    assert!(!code.contains(['{', '}', 'y', 'z']), "{code}");
    assert!(code.contains("let d: &'static str = b\" \"; let e = '") && code.len() == text.len());
}

#[test]
fn what_is_only_for_tests_is_not_production() {
    let text = "fn a() {}\n#[cfg(test)]\nfn b() { c; }\nfn d() {}\n\
                #[cfg(test)]\nmod tests;\nfn e() {}\n\
                #[cfg(test)]\nmod f {\n    fn g() { if x { y } }\n}\nfn h() {}\n";
    let production = Source::new("a.rs", text).production;
    for kept in ["fn a", "fn d", "fn e", "fn h"] {
        assert!(production.contains(kept), "{kept}: {production}");
    }
    for gone in ["fn b", "mod tests", "mod f", "fn g"] {
        assert!(!production.contains(gone), "{gone}: {production}");
    }
}

#[test]
fn tests_are_told_from_what_they_test() {
    let is_test = |path| Source::new(path, "").is_test();
    assert!(is_test("raft-core/tests/cluster.rs") && is_test("raft-core/src/wal/tests.rs"));
    assert!(is_test("raft-core/src/wal/tests/crash.rs") && is_test("benches/benches/write.rs"));
    assert!(!is_test("raft-core/src/wal.rs") && !is_test("benches/src/lib.rs"));
}
