//! `peer check --dry-run`: shows what a changed peer file would share or hold back. The running node compares; nothing
//! is put in place.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::answer::CommandAnswer;
use super::failure::CommandFailure;
use super::place::{NodeDirectory, unexpected};
use crate::control::{
    ControlReply, ControlRequest, LineDryRun, PASSES, REQUEST_BYTES_MAX, RepublishComparison, TRIAL_SCHEMA,
};

/// A peer file is sent as one line, in which some characters take several bytes.
const FILE_BYTES_MAX: u64 = REQUEST_BYTES_MAX as u64 / 3;

pub fn trial(place: &NodeDirectory, file: &Path, last: u64, json: bool) -> Result<(), CommandFailure> {
    let shown = file.display();
    let could_not = |error: std::io::Error| CommandFailure::of_file(file, &error);
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(could_not)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(could_not)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CommandFailure::could_not(format!("{shown}: more than {FILE_BYTES_MAX} bytes")));
    }
    let request = ControlRequest::PeerTrial { file: shown.to_string(), text, last };
    let trial = match place.ask(&request)? {
        ControlReply::Trial(trial) => trial,
        other => return Err(unexpected(&other)),
    };
    let mut answer = CommandAnswer::new();
    if json {
        let facts = serde_json::to_value(&*trial)
            .map_err(|error| CommandFailure::could_not(format!("bug: {error}; please report")))?;
        answer.object(TRIAL_SCHEMA, &facts)?;
    } else {
        show(&trial, &mut answer)?;
    }
    answer.flush()
}

fn show(trial: &LineDryRun, answer: &mut CommandAnswer) -> Result<(), CommandFailure> {
    let LineDryRun { peer, first_seq, last_seq, .. } = trial;
    let new = if trial.known { "" } else { ", a new peer" };
    let count = (last_seq + 1).saturating_sub(*first_seq);
    answer.line(format!("{peer}{new}: {count} events, seq {first_seq} to {last_seq}"))?;
    direction("share", "shared", &trial.share, answer)?;
    direction("receive", "received", &trial.receive, answer)
}

fn direction(
    section: &str,
    done: &str,
    comparison: &RepublishComparison,
    answer: &mut CommandAnswer,
) -> Result<(), CommandFailure> {
    let RepublishComparison { now, then, changes, failures } = comparison;
    answer.line(format!("[{section}] {done} now {}, then {}", now.passes, then.passes))?;
    for (why, count) in &then.held {
        answer.line(format!("  held back then: {count} {why}"))?;
    }
    for change in changes {
        let word = |why: &str| if why == PASSES { done.to_owned() } else { format!("held back ({why})") };
        let (from, to) = (word(&change.now), word(&change.then));
        answer.line(format!("  {} {from} now, {to} then: {}", change.count, change.examples.join(" ")))?;
    }
    for (why, count) in failures {
        answer.line(format!("  filter_failed: {count} {why}"))?;
    }
    Ok(())
}
