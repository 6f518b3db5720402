//! Why the journal cannot be used: the errors of its segments, their indexes and the file `newest`.

use std::io;

use thiserror::Error;

use super::format::OtherFormat;

/// Why the journal cannot be used. The node refuses to start, or stops.
#[derive(Debug, Error)]
pub enum JournalError {
    #[error("journal/{file}: {source}")]
    Io { file: String, source: io::Error },
    #[error("journal/{file}: offset {offset}: {what}")]
    Damaged { file: String, offset: u64, what: String },
    #[error(transparent)]
    Format(OtherFormat),
}

impl JournalError {
    pub fn io(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { file, source }
    }

    pub fn damaged(file: &str, offset: u64, what: impl ToString) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what: what.to_string() }
    }

    /// Returns the steps that the operator can take.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "look at the disk and the rights of that file".into(),
            Self::Damaged { file, .. } => format!(
                "keep a copy, move journal/{file} to aside/ and start again: the node takes what it held from its peers, \
                 and says for each consumer how much may come again"
            ),
            Self::Format(other) => other.hint(),
        }
    }
}
