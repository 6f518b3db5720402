//! `submit`: JSON lines to the running node, and its answers. Lines are sent ahead of their answers, as many as the
//! socket holds. A line is not done if the node has not answered it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use serde::Deserialize;

use super::answer::CommandAnswer;
use super::args::{LinkEnd, LinkFlag, SubmitArgs};
use super::failure::{CommandFailure, NO};
use super::labels::LabelColumns;
use super::place::{NodeDirectory, ask_for};
use super::submit_dry_run;
use crate::control::{ControlRequest, EventRef, LinkFacts};
use crate::limits::LINE_BYTES_MAX;

/// Answers are short; a longer line is not an answer. In bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The parts of an answer that the command line looks at.
#[derive(Deserialize)]
struct LineOutcome {
    error: Option<String>,
}

pub(crate) fn submit(place: &NodeDirectory, args: SubmitArgs, json: bool) -> Result<(), CommandFailure> {
    let input: Box<dyn Read + Send> = match args.file.as_deref() {
        None => Box::new(io::stdin()),
        Some(path) if path == Path::new("-") => Box::new(io::stdin()),
        Some(path) => Box::new(
            // A directory opens, and cannot be read.
            File::open(path).map_err(|error| CommandFailure::of_file(path, &error))?,
        ),
    };
    let links = args.link.into_iter().map(|flag| linked(place, flag)).collect::<Result<_, _>>()?;
    let labels = LabelColumns { to: args.to, tlp: args.tlp, seal: args.seal, links };
    if args.dry_run {
        return submit_dry_run::trial(place, input, &labels, json);
    }
    let stream = place.connect("in.sock")?;
    let sending = stream.try_clone().map_err(|error| broken(&error))?;
    // Not joined before the answers have ended: they end because it shuts the writing side.
    let sender = thread::spawn(move || send(BufReader::with_capacity(256 * 1024, input), sending, &labels));
    let errors = print_answers(stream)?;
    match sender.join() {
        Ok(Ok(sent)) if sent.lines > errors.answers => Err(CommandFailure::could_not(format!(
            "the node answered {} of {} lines and closed in.sock",
            errors.answers, sent.lines
        ))
        .hint("the rest may be submitted again: what is there already is answered \"duplicate\"")),
        Ok(Ok(_)) if errors.refused > 0 => Err(CommandFailure::silent(NO)),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(CommandFailure::could_not("bug: the sending thread stopped; please report")),
    }
}

/// The running node has the full name of an event of which only the beginning was given.
fn linked(place: &NodeDirectory, flag: LinkFlag) -> Result<LinkFacts, CommandFailure> {
    let right = match flag.right {
        LinkEnd::Opaque(text) => text,
        LinkEnd::Event(EventRef::Full(id)) => id.to_string(),
        LinkEnd::Event(id) => ask_for!(place, ControlRequest::EventShow { id }, Event).id,
    };
    Ok(LinkFacts { left: None, relation: flag.relation.as_str().to_owned(), right })
}

struct SentLines {
    /// Lines that get an answer.
    lines: u64,
}

/// Sends all of `input`, then shuts the writing side: the node answers what it has and closes.
fn send(
    mut input: impl BufRead,
    mut stream: UnixStream,
    labels: &LabelColumns,
) -> Result<SentLines, CommandFailure> {
    let mut sent = SentLines { lines: 0 };
    let result = send_lines(&mut input, &mut stream, labels, &mut sent);
    // If the node is gone already, the end of the answers has shown it.
    let _ = stream.shutdown(Shutdown::Write);
    result.map(|()| sent)
}

fn send_lines(
    input: &mut impl BufRead,
    stream: &mut UnixStream,
    labels: &LabelColumns,
    sent: &mut SentLines,
) -> Result<(), CommandFailure> {
    let unreadable = |error: io::Error| CommandFailure::could_not(format!("input: {error}"));
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LINE_BYTES_MAX as u64 + 2;
        input.by_ref().take(most).read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.is_empty() {
            return Ok(());
        }
        sent.lines += u64::from(!line.iter().all(u8::is_ascii_whitespace));
        let whole = line.ends_with(b"\n") || (line.len() as u64) < most;
        let labelled = match std::str::from_utf8(&line) {
            Ok(text) if whole && !labels.is_empty() => {
                Some(labels.put_on(text.trim_end_matches(['\r', '\n'])))
            }
            _ => None,
        };
        let result = match labelled {
            Some(mut text) => {
                text.push('\n');
                stream.write_all(text.as_bytes())
            }
            None => stream.write_all(&line),
        };
        if result.is_ok() && !whole {
            // Too long: the node says so, once; the rest of the line goes as it comes.
            if pass_rest_of_line(input, stream)? {
                continue;
            }
            return Ok(());
        }
        if result.is_err() {
            // The node closed; how much it answered is what counts.
            return Ok(());
        }
    }
}

/// Passes on the rest of a line. Returns false if the node closed.
fn pass_rest_of_line(input: &mut impl BufRead, stream: &mut UnixStream) -> Result<bool, CommandFailure> {
    loop {
        let buffer =
            input.fill_buf().map_err(|error| CommandFailure::could_not(format!("input: {error}")))?;
        if buffer.is_empty() {
            return Ok(true);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = end.map_or(buffer.len(), |at| at + 1);
        if stream.write_all(&buffer[..piece]).is_err() {
            return Ok(false);
        }
        input.consume(piece);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[derive(Default)]
struct SubmitAnswers {
    answers: u64,
    refused: u64,
}

fn print_answers(stream: UnixStream) -> Result<SubmitAnswers, CommandFailure> {
    let mut reader = BufReader::new(stream);
    let mut answer = CommandAnswer::new();
    let mut count = SubmitAnswers::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(_) => {}
            // It closed without reading what was still on its way.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => line.clear(),
            Err(error) => return Err(broken(&error)),
        }
        if line.is_empty() {
            answer.flush()?;
            return Ok(count);
        }
        count.answers += 1;
        let outcome: LineOutcome = serde_json::from_slice(&line).map_err(|error| {
            CommandFailure::could_not(format!("the node's answer cannot be read: {error}"))
        })?;
        count.refused += u64::from(outcome.error.is_some());
        answer.json_text(&line)?;
        if reader.buffer().is_empty() {
            answer.flush()?;
        }
    }
}

fn broken(error: &io::Error) -> CommandFailure {
    CommandFailure::could_not(format!("in.sock: {error}"))
}
