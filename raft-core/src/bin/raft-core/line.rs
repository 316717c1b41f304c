//! A line of output: as text for people, or as one JSON object for programs.

use std::fmt::Write as _;
use std::io::{self, Write};

/// A line: what it is about, and its fields in order.
///
/// Invariant: `json` is the object without its closing brace.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    json: String,
}

impl Line {
    /// A line about `kind`.
    pub(crate) fn new(kind: &str) -> Line {
        let mut json = String::from("{\"kind\":");
        quote(kind, &mut json);
        Line { text: kind.to_owned(), json }
    }

    /// Adds a number or a truth.
    pub(crate) fn plain(mut self, name: &str, value: impl std::fmt::Display) -> Line {
        let value = value.to_string();
        self.begin(name);
        self.text.push_str(&value);
        self.json.push_str(&value);
        self
    }

    /// Adds a text. In text it is quoted when it has blanks or is empty.
    pub(crate) fn text(mut self, name: &str, value: impl std::fmt::Display) -> Line {
        let value = value.to_string();
        self.begin(name);
        quote(&value, &mut self.json);
        let bare = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
        if !value.is_empty() && value.chars().all(bare) {
            self.text.push_str(&value);
        } else {
            quote(&value, &mut self.text);
        }
        self
    }

    /// Adds a text, unless there is none.
    pub(crate) fn maybe(self, name: &str, value: Option<impl std::fmt::Display>) -> Line {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Writes it.
    pub(crate) fn write(self, json: bool, to: &mut dyn Write) -> io::Result<()> {
        if json { writeln!(to, "{}}}", self.json) } else { writeln!(to, "{}", self.text) }
    }

    fn begin(&mut self, name: &str) {
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push('=');
        self.json.push(',');
        quote(name, &mut self.json);
        self.json.push(':');
    }
}

/// A JSON string (RFC 8259 §7).
fn quote(value: &str, to: &mut String) {
    to.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                to.push('\\');
                to.push(c);
            }
            c if c.is_control() => {
                // Beyond the basic plane there are no control characters.
                let _ = write!(to, "\\u{:04x}", u32::from(c));
            }
            c => to.push(c),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: Line, json: bool) -> String {
        let mut bytes = Vec::new();
        line.write(json, &mut bytes).expect("memory takes all");
        String::from_utf8(bytes).expect("it was text")
    }

    #[test]
    fn a_line_is_text_or_one_json_object() {
        let line = || {
            Line::new("entry")
                .plain("bytes", 12)
                .text("why", "a \"b\"\n\\c\u{7f}")
                .text("empty", "")
                .text("file", "/a/b")
                .maybe("absent", None::<u8>)
        };
        assert_eq!(
            written(line(), true),
            "{\"kind\":\"entry\",\"bytes\":12,\"why\":\"a \\\"b\\\"\\u000a\\\\c\\u007f\",\
             \"empty\":\"\",\"file\":\"/a/b\"}\n"
        );
        assert_eq!(
            written(line(), false),
            "entry bytes=12 why=\"a \\\"b\\\"\\u000a\\\\c\\u007f\" empty=\"\" file=/a/b\n"
        );
    }
}
