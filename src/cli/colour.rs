//! Colour for a terminal that has it. Words carry the meaning; colour only leads the eye to them.

use std::io::{self, IsTerminal as _};

const RED: &str = "\x1b[1;31m";
const GREEN: &str = "\x1b[1;32m";
const YELLOW: &str = "\x1b[1;33m";
const PLAIN: &str = "\x1b[0m";

/// Words at the start of a line, and their colour.
const VERDICTS: [(&str, &str); 4] =
    [("ok:", GREEN), ("starting:", YELLOW), ("warning:", RED), ("error:", RED)];
/// Words anywhere: they are written in capitals only where something is wrong.
const ALARMS: [&str; 5] = ["DOWN", "REVOKED", "OFF", "NOT", "VERIFIED"];

/// True if stdout is a terminal with colours, and the operator did not forbid them (<https://no-color.org>).
pub(crate) fn is_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb()
}

/// True if the terminal obeys no sequences: it can neither paint nor clear.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Returns the lines with colours, if they are wanted. The text must be safe for a terminal already.
pub(crate) fn painted(text: &str) -> String {
    if is_wanted() { paint(text) } else { text.to_owned() }
}

fn paint(text: &str) -> String {
    text.split_inclusive('\n').map(paint_line).collect()
}

fn paint_line(line: &str) -> String {
    for (verdict, colour) in VERDICTS {
        if let Some(rest) = line.strip_prefix(verdict) {
            return format!("{colour}{verdict}{PLAIN}{rest}");
        }
    }
    let paint_word = |word: &str| match ALARMS.contains(&word.trim_end_matches([':', '\n'])) {
        true => format!("{RED}{word}{PLAIN}"),
        false => word.to_owned(),
    };
    line.split_inclusive(' ')
        .map(|word| {
            let bare = word.trim_end_matches([' ', '\n']);
            format!("{}{}", paint_word(bare), &word[bare.len()..])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_alarms_are_painted_and_nothing_else() {
        assert_eq!(paint("ok: 1 of 1 peers up\n"), "\x1b[1;32mok:\x1b[0m 1 of 1 peers up\n");
        assert_eq!(paint("cert-ee  DOWN 3 s\n"), "cert-ee  \x1b[1;31mDOWN\x1b[0m 3 s\n");
        assert_eq!(paint("cert-ee  DOWN\n"), "cert-ee  \x1b[1;31mDOWN\x1b[0m\n");
        assert_eq!(paint("DOWNLOAD is ok: no\n\n"), "DOWNLOAD is ok: no\n\n");
    }
}
