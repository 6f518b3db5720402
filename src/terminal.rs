//! Makes text of others safe to look at: a terminal obeys control characters, and shows text in another order if it
//! asks for that. All output for people goes through here; values and JSON are not changed.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The same text with each character spelled out that a terminal or a reader would take for something else than a
/// character: C0 and C1 controls, also line ends, the marks of bidirectional text, and separators of lines and
/// paragraphs. Blanks and tabs stay. The spelling is that of JSON, so a JSON text stays the same value.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            // Into a string it never fails. All of them are below 2^16.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// The same lines for a terminal of `width` columns: a longer one is broken at a blank, and goes on behind its margin
/// and two blanks more. A word that is longer stays whole, so that it can be copied.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        wrap_line(line, width, &mut lines);
    }
    lines
}

fn wrap_line(line: &str, width: usize, lines: &mut String) {
    let margin = line.chars().take_while(|c| *c == ' ').count();
    let mut column = 0;
    for (at, word) in line[margin..].split(' ').enumerate() {
        let length = word.chars().count();
        if at == 0 {
            lines.extend(std::iter::repeat_n(' ', margin));
            column = margin + length;
        } else if column + 1 + length > width && column > margin + 2 {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', margin + 2));
            column = margin + 2 + length;
        } else {
            lines.push(' ');
            column += 1 + length;
        }
        lines.push_str(word);
    }
    lines.push('\n');
}

/// Lines for people. Each is made safe when it is added, with any content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(String);

impl Lines {
    pub(crate) fn push(&mut self, line: impl fmt::Display) {
        self.0.push_str(&shown(&line.to_string()));
        self.0.push('\n');
    }

    /// One fact about the thing that an earlier line names.
    pub(crate) fn fact(&mut self, what: &str, value: impl fmt::Display) {
        self.push(format!("  {what:<10} {value}"));
    }

    pub(crate) fn blank(&mut self) {
        self.0.push('\n');
    }

    /// Lines that were made safe before.
    pub(crate) fn append(&mut self, others: &Self) {
        self.0.push_str(&others.0);
    }

    /// A text of ours with its own line ends; in each line everything is made safe.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut lines = Self::default();
        text.lines().for_each(|line| lines.push(line));
        lines
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_hidden(c: char) -> bool {
    match c {
        '\t' => false,
        // C0, DEL and C1.
        c if c.is_control() => true,
        // Arabic letter mark, directional marks, embeddings, overrides and isolates.
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{2028}' | '\u{2029}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        for (text, safe) in [
            ("plain, grün, 日本語\tand 🦀", "plain, grün, 日本語\tand 🦀"),
            ("x\u{1b}[2J\nok: all is well", "x\\u001b[2J\\u000aok: all is well"),
            ("a\u{9b}31mRED", "a\\u009b31mRED"),
            ("exe.\u{202e}fdp", "exe.\\u202efdp"),
            ("one\u{2028}two\u{2029}", "one\\u2028two\\u2029"),
            ("\u{7f}\u{85}\r\0", "\\u007f\\u0085\\u000d\\u0000"),
            ("\u{2066}\u{2069}\u{200f}\u{61c}", "\\u2066\\u2069\\u200f\\u061c"),
        ] {
            assert_eq!(shown(text), safe, "{text:?}");
        }
        let mut lines = Lines::default();
        lines.push("one\nmore");
        lines.push("two\u{1b}");
        assert_eq!(lines.as_str(), "one\\u000amore\ntwo\\u001b\n");
    }

    #[test]
    fn a_long_line_is_broken_at_blanks_behind_its_margin() {
        let text = "warning: the disk is full; free space there\n  short one\n  a-word-that-is-longer-than-that is whole\n";
        let broken = "warning: the disk is\n  full; free space\n  there\n  short one\n  \
                      a-word-that-is-longer-than-that\n    is whole\n";
        assert_eq!(wrapped(text, 20), broken);
        for width in 0..60 {
            let again = wrapped(text, width);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&again), words(text), "{width}");
        }
        assert_eq!(wrapped(text, 80), text);
    }

    #[test]
    fn a_json_text_is_the_same_value() {
        let text = serde_json::to_string("a\u{9b}\u{202e}\u{2028}\u{7f}").unwrap();
        let safe = shown(&text);
        assert!(safe.is_ascii(), "{safe}");
        assert_eq!(
            serde_json::from_str::<String>(&safe).unwrap(),
            serde_json::from_str::<String>(&text).unwrap()
        );
    }
}
