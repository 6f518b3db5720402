//! `convert`: lines of one format to another, without a node. The answer is the converted lines; what was lost or moved
//! is talk, so that it can be read apart.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use super::answer::{CommandAnswer, talk};
use super::args::{ConvertArgs, ConvertForm};
use super::failure::{CommandFailure, NO};
use crate::clock;
use crate::format::foreign::convert::{ConvertedLine, LineConversion};
use crate::limits::LINE_BYTES_MAX;

pub(crate) fn convert(args: &ConvertArgs) -> Result<(), CommandFailure> {
    let with_meta = args.form == ConvertForm::Iep04;
    let conversion = LineConversion::new(&args.from, &args.to, with_meta, clock::now().wall)
        .ok_or_else(|| CommandFailure::could_not(format!("{} to {}: no conversion", args.from, args.to)))?;
    let input: Box<dyn Read> = match args.file.as_deref() {
        None => Box::new(io::stdin()),
        Some(path) if path == Path::new("-") => Box::new(io::stdin()),
        Some(path) => Box::new(File::open(path).map_err(|error| CommandFailure::of_file(path, &error))?),
    };
    let mut input = BufReader::new(input);
    let mut answer = CommandAnswer::new();
    let (mut number, mut refused) = (0u64, false);
    let mut line = Vec::new();
    while !answer.is_closed() {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line);
        read.map_err(|error| CommandFailure::could_not(format!("input: {error}")))?;
        if line.is_empty() {
            break;
        }
        number += 1;
        if !line.ends_with(b"\n") && line.len() > LINE_BYTES_MAX {
            input.skip_until(b'\n').map_err(|error| CommandFailure::could_not(format!("input: {error}")))?;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        refused |= !convert_line(&conversion, number, &line, &mut answer)?;
    }
    answer.flush()?;
    if refused { Err(CommandFailure::silent(NO)) } else { Ok(()) }
}

/// Converts one line. Returns false if it was refused.
fn convert_line(
    conversion: &LineConversion,
    number: u64,
    line: &[u8],
    answer: &mut CommandAnswer,
) -> Result<bool, CommandFailure> {
    let outcome = conversion.line(line.strip_suffix(b"\n").unwrap_or(line));
    let ConvertedLine { lines, report, withheld } = match outcome {
        Ok(converted) => converted,
        Err(fault) => {
            talk(format!("line {number}: {} ({})", fault.message, fault.code));
            if let Some(hint) = fault.hint {
                talk(format!("hint: {hint}"));
            }
            return Ok(false);
        }
    };
    for note in &report.notes {
        talk(format!("line {number}: {note}"));
    }
    if report.more > 0 {
        talk(format!("line {number}: {} more places", report.more));
    }
    if let Some(reason) = withheld {
        talk(format!("line {number}: a consumer withholds it: {reason}"));
    }
    for line in lines {
        answer.json_text(format!("{line}\n").as_bytes())?;
    }
    Ok(true)
}
