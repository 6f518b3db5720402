//! stdout: the answer, and nothing but the answer; stderr: talk. Everything for people goes through
//! [`terminal`](crate::terminal), so that no text of others is obeyed by a terminal. A reader that has seen enough and
//! closes the pipe is no error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

use serde::Serialize;

use super::failure::Failure;
use crate::terminal::{Lines, shown};

/// Buffered stdout.
pub struct Answer {
    out: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
}

impl Answer {
    pub fn new() -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self { out: BufWriter::new(io::stdout().lock()), is_terminal }
    }

    /// One line for people.
    ///
    /// # Errors
    /// If stdout cannot be written; without a word if it was closed.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{}", shown(&text.to_string())).map_err(|error| fault(&error))
    }

    /// Several lines for people.
    pub fn lines(&mut self, lines: &Lines) -> Result<(), Failure> {
        self.bytes(lines.as_str().as_bytes())
    }

    /// What is for a file or a program: nothing of it is changed.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| fault(&error))
    }

    /// A JSON text with or without its line end, as it is; on a terminal with other spellings of the same values.
    pub fn json_text(&mut self, text: &[u8]) -> Result<(), Failure> {
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
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::could_not(format!("bug: {error}; please report")))?;
        self.json_text(format!("{text}\n").as_bytes())
    }

    /// The same for an object whose form has a name: `schema` is its first key, whatever the others are.
    pub fn object(&mut self, schema: &str, value: &serde_json::Value) -> Result<(), Failure> {
        let text = value.to_string();
        let rest = text.strip_prefix('{').unwrap_or("}");
        let comma = if rest == "}" { "" } else { "," };
        self.json_text(format!("{{\"schema\":\"{schema}\"{comma}{rest}\n").as_bytes())
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| fault(&error))
    }
}

fn fault(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::closed_pipe();
    }
    Failure::could_not(format!("stdout: {error}"))
}

/// Talk: progress and explanations, for people, on stderr.
pub fn talk(text: impl fmt::Display) {
    // If stderr is closed, nobody reads it.
    let _ = writeln!(io::stderr().lock(), "{}", shown(&text.to_string()));
}
