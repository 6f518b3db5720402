//! stdout: the answer, and nothing but the answer. A reader that has seen enough and closes the pipe is no error.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use super::failure::Failure;

/// Buffered stdout.
pub struct Answer {
    out: BufWriter<StdoutLock<'static>>,
}

impl Answer {
    pub fn new() -> Self {
        Self { out: BufWriter::new(io::stdout().lock()) }
    }

    /// # Errors
    /// Where stdout cannot be written; without a word where it was closed.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(|error| fault(&error))
    }

    /// Text that ends with its own newline.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| fault(&error))
    }

    /// One JSON object on one line.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::could_not(format!("bug: {error}; please report")))?;
        self.line(text)
    }

    /// The same for an object whose form has a name: `schema` is its first key, whatever the others are.
    pub fn object(&mut self, schema: &str, value: &serde_json::Value) -> Result<(), Failure> {
        let text = value.to_string();
        let rest = text.strip_prefix('{').unwrap_or("}");
        let comma = if rest == "}" { "" } else { "," };
        self.line(format!("{{\"schema\":\"{schema}\"{comma}{rest}"))
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
    // Where stderr is closed there is nobody to talk to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
