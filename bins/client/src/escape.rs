//! Text of other people, made safe for a terminal.

/// Shows what a terminal would otherwise obey: control characters (which move the cursor, ring,
/// recolour, retitle) and the invisible characters that reorder or hide text. A line break stays
/// one, with `indent` ahead of the next line; a tab becomes a space.
pub(crate) fn for_terminal(text: &str, indent: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => {
                shown.push('\n');
                shown.push_str(indent);
            }
            '\t' => shown.push(' '),
            c if c.is_control() || is_deceptive(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that change the order of others or cannot be seen (Unicode UAX #9 and UTS #39).
fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{00ad}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::for_terminal;

    #[test]
    fn a_message_cannot_command_the_terminal() {
        let shown = for_terminal("a\u{1b}[2Jb\u{7}\r\u{9b}c\0", "");
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{7}\\u{d}\\u{9b}c\\u{0}");
    }

    #[test]
    fn a_message_cannot_reorder_or_hide_itself() {
        for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{e0041}', '\u{2028}'] {
            let shown = for_terminal(&format!("x{hidden}y"), "");
            assert!(!shown.contains(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn a_line_break_cannot_forge_another_message() {
        assert_eq!(for_terminal("hello\nbob: hi", "    | "), "hello\n    | bob: hi");
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        for text in ["¿Qué tal?", "שלום", "你好", "👍🏽", "a b"] {
            assert_eq!(for_terminal(text, ""), text);
        }
    }
}
