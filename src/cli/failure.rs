//! A failed verb: its exit code, the fault and a hint. Every failure of the command line becomes one of these, and is
//! printed in one place.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::write::WriteError;
use crate::config::{ConfigErrors, ConfigProblem};
use crate::control::{ControlRefusal, REFUSAL_SEPARATOR};
use crate::files;
use crate::filter::nearest;
use crate::keyring::KeyringError;
use crate::terminal::shown;

/// Done, and nothing to say.
pub(crate) const DONE: u8 = 0;
/// The answer is no.
pub(crate) const NO: u8 = 1;
/// It could not be done.
pub(crate) const COULD_NOT: u8 = 2;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CliFault {
    pub what: String,
    pub hint: Option<String>,
}

/// The reason why a verb ends without having done its work; usually one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandFailure {
    exit: u8,
    faults: Vec<CliFault>,
}

impl CommandFailure {
    pub(crate) fn no(what: impl fmt::Display) -> Self {
        Self::one(NO, what)
    }

    pub(crate) fn could_not(what: impl fmt::Display) -> Self {
        Self::one(COULD_NOT, what)
    }

    /// Everything was said already; only the exit code is left.
    pub(crate) const fn silent(exit: u8) -> Self {
        Self { exit, faults: Vec::new() }
    }

    pub(crate) const fn many(exit: u8, faults: Vec<CliFault>) -> Self {
        Self { exit, faults }
    }

    /// Returns the failure for an error of the file system at `path`, with a hint.
    pub(crate) fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::could_not(format!("{}: {error}", path.display()))
            .hint_if(files::hint_of(error).map(str::to_owned))
    }

    fn one(exit: u8, what: impl fmt::Display) -> Self {
        Self { exit, faults: vec![CliFault { what: what.to_string(), hint: None }] }
    }

    /// Adds a hint to the last fault.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(last) = self.faults.last_mut() {
            last.hint = Some(hint.into());
        }
        self
    }

    fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Returns the first fault in words, for places that only mention it.
    pub(crate) fn first(&self) -> &str {
        self.faults.first().map_or("closed", |fault| fault.what.as_str())
    }

    /// Prints `error: …` and `hint: …` on stderr, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let mut talk = io::stderr().lock();
        for fault in &self.faults {
            // If stderr is closed, nobody reads it.
            let _ = writeln!(talk, "error: {}", shown(&fault.what));
            if let Some(hint) = &fault.hint {
                let _ = writeln!(talk, "hint: {}", shown(hint));
            }
        }
        ExitCode::from(self.exit)
    }
}

impl From<ControlRefusal> for CommandFailure {
    fn from(refusal: ControlRefusal) -> Self {
        // Several that were found at once come as lines; the hint is that of the last.
        let texts: Vec<&str> = refusal.error.split(REFUSAL_SEPARATOR).collect();
        let fault = |what: &&str| CliFault { what: (*what).to_owned(), hint: None };
        Self::many(refusal.exit, texts.iter().map(fault).collect()).hint_if(refusal.hint)
    }
}

impl From<ConfigErrors> for CommandFailure {
    fn from(errors: ConfigErrors) -> Self {
        let fault = |problem: &ConfigProblem| CliFault { what: problem.to_string(), hint: problem.hint() };
        Self::many(COULD_NOT, errors.0.iter().map(fault).collect())
    }
}

impl From<KeyringError> for CommandFailure {
    fn from(error: KeyringError) -> Self {
        Self::many(COULD_NOT, vec![CliFault { what: error.to_string(), hint: error.hint() }])
    }
}

impl From<WriteError> for CommandFailure {
    fn from(error: WriteError) -> Self {
        let exit = match error {
            WriteError::ClientExists { .. }
            | WriteError::OtherKey { .. }
            | WriteError::KnownAs(_)
            | WriteError::AliasOf { .. }
            | WriteError::AliasesFull(_)
            | WriteError::PeerExists { .. }
            | WriteError::Revoked { .. } => NO,
            WriteError::NodeExists(_) | WriteError::Io { .. } | WriteError::Toml { .. } => COULD_NOT,
        };
        Self::many(exit, vec![CliFault { what: error.to_string(), hint: error.hint().map(str::to_owned) }])
    }
}

/// clap explains itself over several lines; ours are two. Help and version are answers, not errors. `command` is the
/// verb that was meant, and `verb` all its words.
pub(crate) fn usage(error: &clap::Error, command: &clap::Command, verb: &str) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                CommandFailure::could_not(format!("stdout: {error}")).report()
            }
            _ => ExitCode::SUCCESS,
        };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(COULD_NOT);
    }
    let text = error.to_string();
    let mut what = Vec::new();
    let mut hint = None;
    let mut usage = None;
    let mut in_what = true;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() {
            in_what = false;
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            // Nobody wants a flag as the name of a file.
            if !tip.contains("as a value") {
                hint.get_or_insert_with(|| tip.to_owned());
            }
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            usage = Some(line.to_owned());
        } else if in_what || line.starts_with('[') {
            what.push(line);
        }
    }
    let what = what.join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let failure = CommandFailure::could_not(what);
    if error.kind() == ErrorKind::UnknownArgument {
        let hint = hint.or_else(|| meant(error, command)).unwrap_or_else(|| format!("{verb} --help"));
        return failure.hint(hint).report();
    }
    match hint.or(usage) {
        Some(hint) => failure.hint(hint),
        None => failure.hint(format!("{verb} --help")),
    }
    .report()
}

/// The flag that was probably meant: two letters that are swapped are no likeness to clap.
fn meant(error: &clap::Error, command: &clap::Command) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let near = nearest(typed.strip_prefix("--")?, flags)?;
    Some(format!("a similar argument exists: '--{near}'"))
}
