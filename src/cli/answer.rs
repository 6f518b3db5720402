//! stdout: the answer, and nothing but the answer; stderr: talk. Everything for people goes through
//! [`terminal`](crate::terminal), so that no text of others is obeyed by a terminal. A reader that has seen enough and
//! closes the pipe is no error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

use serde::Serialize;

use super::colour;
use super::failure::CommandFailure;
use crate::terminal::{Lines, shown, wrapped};

/// Returns columns and rows of stdout, if it is a terminal that knows its columns. One that does not know its rows has
/// none: `usize::MAX`.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let size =
        io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten()?;
    let rows = if size.ws_row == 0 { usize::MAX } else { usize::from(size.ws_row) };
    Some((usize::from(size.ws_col), rows)).filter(|(columns, _)| *columns > 0)
}

/// Buffered stdout.
pub(crate) struct CommandAnswer {
    out: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
    /// Columns of the terminal, if it is one.
    width: Option<usize>,
    is_closed: bool,
}

impl CommandAnswer {
    pub(crate) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let width = terminal_size().map(|(columns, _)| columns);
        Self { out: BufWriter::new(io::stdout().lock()), is_terminal, width, is_closed: false }
    }

    /// True once the reader has gone: nothing that is written from then on gets to anybody.
    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// A reader that has gone is no error, and changes neither what is done nor the exit code, which is an answer too.
    fn unless_closed(&mut self, written: io::Result<()>) -> Result<(), CommandFailure> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            written => written.map_err(|error| fault(&error)),
        }
    }

    /// One line for people.
    ///
    /// # Errors
    /// If stdout cannot be written; not if it was closed.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), CommandFailure> {
        self.bytes(format!("{}\n", shown(&text.to_string())).as_bytes())
    }

    /// One line for people, cut at the edge of the terminal: it stands below others like it.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn row(&mut self, text: &str) -> Result<(), CommandFailure> {
        let safe = shown(text);
        let cut: String = safe.chars().take(self.width.unwrap_or(usize::MAX)).collect();
        self.bytes(format!("{}\n", cut.trim_end()).as_bytes())
    }

    /// Several lines for people; a narrow terminal gets them broken between words.
    pub(crate) fn lines(&mut self, lines: &Lines) -> Result<(), CommandFailure> {
        match self.width {
            Some(width) => self.bytes(colour::painted(&wrapped(lines.as_str(), width)).as_bytes()),
            None => self.bytes(lines.as_str().as_bytes()),
        }
    }

    /// Prints bytes for a file or a program, without any change.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CommandFailure> {
        if self.is_closed {
            return Ok(());
        }
        let written = self.out.write_all(bytes);
        self.unless_closed(written)
    }

    /// A JSON text with or without its line end, as it is; on a terminal with other spellings of the same values.
    pub(crate) fn json_text(&mut self, text: &[u8]) -> Result<(), CommandFailure> {
        match std::str::from_utf8(text) {
            Ok(plain) if self.is_terminal => {
                let line = plain.strip_suffix('\n').unwrap_or(plain);
                let end = if line.len() < plain.len() { "\n" } else { "" };
                self.bytes(format!("{}{end}", shown(line)).as_bytes())
            }
            _ => self.bytes(text),
        }
    }

    /// One JSON object on one line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), CommandFailure> {
        self.json_text(format!("{}\n", json_of(value)?).as_bytes())
    }

    /// The same for an object with a named form: `schema` is its first key, before all others.
    pub(crate) fn object(&mut self, schema: &str, value: &impl Serialize) -> Result<(), CommandFailure> {
        let text = json_of(value)?;
        let rest = text.strip_prefix('{').unwrap_or("}");
        let comma = if rest == "}" { "" } else { "," };
        self.json_text(format!("{{\"schema\":\"{schema}\"{comma}{rest}\n").as_bytes())
    }

    pub(crate) fn flush(&mut self) -> Result<(), CommandFailure> {
        if self.is_closed {
            return Ok(());
        }
        let written = self.out.flush();
        self.unless_closed(written)
    }
}

/// Prints the whole answer of a verb: as JSON, or in lines for people.
pub(crate) fn print(
    json: bool,
    value: &impl Serialize,
    lines: impl FnOnce() -> Lines,
) -> Result<(), CommandFailure> {
    let mut answer = CommandAnswer::new();
    if json {
        answer.json(value)?
    } else {
        answer.lines(&lines())?
    }
    answer.flush()
}

/// The same with a named form of JSON.
pub(crate) fn print_object(
    json: bool,
    schema: &str,
    value: &impl Serialize,
    lines: impl FnOnce() -> Lines,
) -> Result<(), CommandFailure> {
    let mut answer = CommandAnswer::new();
    if json {
        answer.object(schema, value)?
    } else {
        answer.lines(&lines())?
    }
    answer.flush()
}

fn json_of(value: &impl Serialize) -> Result<String, CommandFailure> {
    serde_json::to_string(value)
        .map_err(|error| CommandFailure::could_not(format!("bug: {error}; please report")))
}

fn fault(error: &io::Error) -> CommandFailure {
    CommandFailure::could_not(format!("stdout: {error}"))
}

/// Talk: progress and explanations, for people, on stderr.
pub(crate) fn talk(text: impl fmt::Display) {
    // If stderr is closed, nobody reads it.
    let _ = writeln!(io::stderr().lock(), "{}", shown(&text.to_string()));
}
