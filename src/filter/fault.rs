//! Faults of a filter, at load (the place, the fault and its fix) and on one event. Values of events are never part of
//! a message: messages are shown and logged.

use std::collections::BTreeSet;

use cel::ExecutionError;
use thiserror::Error;

use super::ListFault;
use super::value::TOO_LARGE;
use crate::limits::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_LOOPS_MAX, FILTER_NODES_MAX};

/// Why a filter is refused, and the place in its text. The operator, or the client that sent it, must fix it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{kind}")]
pub struct FilterFault {
    /// From 1, as the column, which counts characters.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The fault itself.
    pub kind: FilterFaultKind,
}

impl FilterFault {
    /// Returns the fix, if there is an obvious one.
    pub fn hint(&self) -> Option<String> {
        self.kind.hint()
    }
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum FilterFaultKind {
    #[error("{0}")]
    Syntax(String),
    #[error("the filter has {0} bytes, more than {FILTER_BYTES_MAX}")]
    TooLong(usize),
    #[error("the filter is nested deeper than {FILTER_DEPTH_MAX} levels")]
    TooDeep,
    #[error("the filter has more than {FILTER_NODES_MAX} parts")]
    TooLarge,
    #[error("more than {FILTER_LOOPS_MAX} of all, exists, exists_one and filter inside each other")]
    TooManyLoops,
    /// The result is neither true nor false.
    #[error("the filter is {0}, not true or false")]
    NotBoolean(&'static str),
    #[error("unknown name \"{name}\"")]
    UnknownName { name: String, near: Option<String> },
    #[error("unknown function \"{name}\"")]
    UnknownFunction { name: String, near: Option<&'static str> },
    #[error("meta has no \"{name}\"")]
    UnknownMeta { name: String, near: Option<&'static str> },
    #[error("the fields of an event are flat: {written} reads nothing")]
    FieldAccess { written: String, instead: String },
    #[error("{what} cannot be used in a filter")]
    Unsupported { what: &'static str, instead: &'static str },
    #[error("{function} takes {wanted}")]
    Arguments { function: &'static str, wanted: &'static str },
    #[error("{function}: \"{value}\" is not a valid {wanted}")]
    Constant { function: &'static str, value: String, wanted: &'static str },
    #[error("{function}: {why}")]
    Pattern { function: &'static str, why: String },
    #[error("{function}: list \"{name}\": {fault}")]
    List { function: &'static str, name: String, fault: ListFault },
    #[error("no thread to read the filter on: {0}")]
    NoThread(String),
}

impl FilterFaultKind {
    /// Puts the parser's own words into plain ones, without the list of all that it would have taken; `before` is the
    /// word before the place.
    pub(super) fn syntax(said: &str, before: &str) -> Self {
        if before == "not" {
            return Self::Syntax("'not' cannot stand here".to_owned());
        }
        let said = said
            .trim_start_matches("Syntax error: ")
            .replace("'<EOF>'", "the end")
            .replace("<EOF>", "the end");
        let said = said.split(" expecting ").next().unwrap_or("not understood");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let unexpected = [
            "mismatched input ",
            "extraneous input ",
            "no viable alternative at input ",
            "token recognition error at: ",
        ];
        let said = match unexpected.into_iter().find_map(|words| said.strip_prefix(words)) {
            Some("the end") => "something is missing at the end".to_owned(),
            Some(token) => format!("{} cannot stand here", token.replace(" '", "'")),
            None => said,
        };
        Self::Syntax(said.chars().take(120).collect())
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownName { near: Some(near), .. } => Some(format!("did you mean {near}?")),
            Self::UnknownName { .. } => {
                Some("a filter sees event and meta: event[\"source.ip\"], meta.publisher".into())
            }
            Self::UnknownFunction { near, .. } => near.map(|near| format!("did you mean {near}?")),
            Self::UnknownMeta { near: Some(near), .. } => Some(format!("did you mean meta.{near}?")),
            Self::UnknownMeta { .. } => Some(format!("meta has {}", super::facts::META.join(", "))),
            Self::FieldAccess { instead, .. } => Some(format!("write {instead}")),
            Self::Unsupported { instead, .. } => Some((*instead).into()),
            Self::NotBoolean(_) => {
                Some("compare it with something, as in event[\"source.ip\"] == \"192.0.2.1\"".into())
            }
            Self::Syntax(what) if what.contains("'='") => Some("to compare write ==".into()),
            Self::Syntax(what) if what.contains("'and'") => Some("write &&".into()),
            Self::Syntax(what) if what.contains("'or'") => Some("write ||".into()),
            Self::Syntax(what) if what.contains("'not'") => Some("write !".into()),
            Self::Syntax(what) if what.contains("has()") => {
                Some("for a field with dots in its name write \"source.ip\" in event".into())
            }
            Self::List { fault: ListFault::Unknown, name, .. } if name.contains('/') => {
                Some("name a file of lists/, without a directory before it".into())
            }
            Self::List { fault: ListFault::Unknown, name, .. } => {
                Some(format!("put the file into lists/{name}, one entry a line"))
            }
            Self::TooLong(_) | Self::TooLarge => {
                Some("put long lists into a file: cidr_in, asn_in and under_in read lists/NAME".into())
            }
            _ => None,
        }
    }
}

/// Why a filter could not answer for one event: it counts as no.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum FilterFailure {
    /// The event lacks a field that the filter did not ask for first.
    #[error("no key \"{0}\"")]
    NoKey(String),
    /// The filter made its name out of the event.
    #[error("no such key")]
    NoKeyOfEvent,
    /// Its question about `event` cannot be answered.
    #[error("the body is sealed: a filter sees only meta of it")]
    Sealed,
    /// The payload is not JSON.
    #[error("the payload cannot be read")]
    Unreadable,
    #[error("the answer is of kind {0}, not true or false")]
    NotBoolean(String),
    /// Values of these kinds cannot be compared or computed with.
    #[error("{function} cannot be applied to {kinds}")]
    Kinds { function: String, kinds: String },
    /// A function refuses its argument.
    #[error("{function}: {why}")]
    Function { function: String, why: String },
    /// The bound on the work for one event was reached.
    #[error("it would take too long on this event")]
    TooDear,
    /// Another fault at this event.
    #[error("{0}")]
    Other(&'static str),
}

impl FilterFailure {
    /// Returns the fix.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoKey(_) | Self::NoKeyOfEvent => {
                "ask first, as in \"source.ip\" in event && …, or give a default: field(event, \"source.ip\", \"\")"
            }
            Self::Sealed => {
                "let sealed events through, meta.sealed || …, or keep them back, !meta.sealed && …"
            }
            Self::TooDear => "ask less of long lists and texts",
            _ => "correct the filter: see docs/FILTERS.md",
        }
    }

    /// Converts `error` without the values in it; a key is named if it is one of `known`, which the filter's text
    /// names.
    pub(super) fn of(error: ExecutionError, known: &BTreeSet<String>) -> Self {
        let names =
            |key: &str| known.contains(key.strip_prefix("meta.").unwrap_or(key)) || known.contains(key);
        match error {
            ExecutionError::NoSuchKey(key) if names(&key) => Self::NoKey(cut(&key)),
            ExecutionError::NoSuchKey(_) => Self::NoKeyOfEvent,
            ExecutionError::FunctionError { function, message: key } if function == TOO_LARGE => {
                let value =
                    if names(&key) { format!("the value of \"{key}\"") } else { "a value".to_owned() };
                Self::Function { function: "event".to_owned(), why: cut(&format!("{value} is too large")) }
            }
            ExecutionError::NoSuchOverload(error) => {
                Self::Kinds { function: plain(error.function()), kinds: error.argument_types().join(" and ") }
            }
            ExecutionError::FunctionError { function, message } => {
                Self::Function { function: plain(&function), why: cut(&message) }
            }
            ExecutionError::UnsupportedBinaryOperator(operator, ..) => {
                Self::Kinds { function: operator.to_owned(), kinds: "these".to_owned() }
            }
            ExecutionError::UnexpectedType { want, .. } if want == "iterable" => {
                Self::Other("this is no list")
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                Self::Other("division by zero")
            }
            ExecutionError::Overflow(..) => Self::Other("a number is too large"),
            ExecutionError::IndexOutOfBounds(_) => Self::Other("a list has no such place"),
            _ => Self::Other("values of the wrong kind"),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

/// Returns the plain name: `_==_` is `==`, and `cidr#3`, which the compiler named so, is `cidr`.
fn plain(function: &str) -> String {
    let named = function.trim_start_matches('@').split('#').next().unwrap_or("");
    cut(named.trim_matches('_'))
}

/// Returns the known word that was probably meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&typed, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 2.max(word.len() / 4) && *distance < word.len())
        .min()
        .map(|(_, word)| word)
}
