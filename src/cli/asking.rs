//! Questions to the operator, and the answer. On the terminal itself if standard input is something else; never in the
//! place of an operator who is not there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read, Write as _};

use super::answer::talk;
use super::failure::CommandFailure;
use crate::terminal::shown;

/// The source from which the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskSource {
    /// Standard input is free for it: a terminal, or a script that answers.
    Stdin,
    /// Standard input was something else: only the terminal is left.
    Terminal,
}

/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 256;

/// Asks the operator to agree on standard input, unless `yes` was said already.
///
/// # Errors
/// Exit 1 if the operator does not agree; exit 2 if there is nobody to ask.
pub(crate) fn confirm(yes: bool, question: &str, otherwise: &str, verb: &str) -> Result<(), CommandFailure> {
    if yes || agreed(question, AskSource::Stdin, otherwise, verb)? {
        return Ok(());
    }
    Err(CommandFailure::no(otherwise))
}

/// Asks the operator to agree. `otherwise` says what was not done if not. `verb` is the command to repeat with `--yes`,
/// with all its arguments: without them it may be a worse one.
///
/// # Errors
/// Exit 2 if there is nobody to ask.
pub(crate) fn agreed(
    question: &str,
    from: AskSource,
    otherwise: &str,
    verb: &str,
) -> Result<bool, CommandFailure> {
    let line = match from {
        AskSource::Stdin => {
            talk(question);
            let line = read_line(&mut io::stdin().lock())
                .map_err(|error| CommandFailure::could_not(format!("stdin: {error}")))?;
            if line.is_empty() && !io::stdin().is_terminal() { None } else { Some(line) }
        }
        AskSource::Terminal => on_terminal(question),
    };
    let Some(line) = line else {
        let why = match from {
            AskSource::Stdin => "nobody to ask, stdin has ended",
            AskSource::Terminal => "nobody to ask, stdin is the invitation and there is no terminal",
        };
        return Err(CommandFailure::could_not(format!("{otherwise}: {why}")).hint(match verb {
            "peer add" | "peer verify" => {
                format!("compare the fingerprint's words with the peer, then: {verb} … --yes")
            }
            _ => format!("say it with --yes: intelmesh {verb} --yes"),
        }));
    };
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for one line, on a terminal alone. `None` if there is none.
///
/// # Errors
/// If standard input cannot be read.
pub(crate) fn line(question: &str) -> Result<Option<String>, CommandFailure> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    talk(question);
    let line = read_line(&mut io::stdin().lock())
        .map_err(|error| CommandFailure::could_not(format!("stdin: {error}")))?;
    Ok(Some(line.trim().to_owned()))
}

/// `None` without a terminal.
fn on_terminal(question: &str) -> Option<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    writeln!(terminal, "{}", shown(question)).ok()?;
    read_line(&mut BufReader::new(terminal)).ok()
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(ANSWER_BYTES_MAX).read_line(&mut line)?;
    Ok(line)
}
