//! `peer check --dry-run`: shows what a changed peer file would share or hold back. The running node compares; nothing
//! is put in place.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::answer::print_object;
use super::failure::CommandFailure;
use super::place::{NodeDirectory, ask_for};
use crate::control::{
    ControlRequest, LineDryRun, PASSES, REQUEST_BYTES_MAX, RepublishComparison, TRIAL_SCHEMA,
};
use crate::terminal::Lines;

/// A peer file is sent as one line, in which some characters take several bytes.
const FILE_BYTES_MAX: u64 = REQUEST_BYTES_MAX as u64 / 3;

pub(crate) fn trial(place: &NodeDirectory, file: &Path, last: u64, json: bool) -> Result<(), CommandFailure> {
    let shown = file.display();
    let could_not = |error: std::io::Error| CommandFailure::of_file(file, &error);
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(could_not)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(could_not)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CommandFailure::could_not(format!("{shown}: more than {FILE_BYTES_MAX} bytes")));
    }
    let request = ControlRequest::PeerTrial { file: shown.to_string(), text, last };
    let trial = ask_for!(place, request, Trial);
    print_object(json, TRIAL_SCHEMA, &trial, || {
        let LineDryRun { peer, known, first_seq, last_seq, share, receive } = &*trial;
        let new = if *known { "" } else { ", a new peer" };
        let count = (last_seq + 1).saturating_sub(*first_seq);
        let mut lines = Lines::default();
        lines.push(format!("{peer}{new}: {count} events, seq {first_seq} to {last_seq}"));
        direction("share", "shared", share, &mut lines);
        direction("receive", "received", receive, &mut lines);
        lines
    })
}

fn direction(section: &str, done: &str, comparison: &RepublishComparison, lines: &mut Lines) {
    let RepublishComparison { now, then, changes, failures } = comparison;
    lines.push(format!("[{section}] {done} now {}, then {}", now.passes, then.passes));
    for (why, count) in &then.held {
        lines.push(format!("  held back then: {count} {why}"));
    }
    for change in changes {
        let word = |why: &str| if why == PASSES { done.to_owned() } else { format!("held back ({why})") };
        let (from, to) = (word(&change.now), word(&change.then));
        lines.push(format!("  {} {from} now, {to} then: {}", change.count, change.examples.join(" ")));
    }
    for (why, count) in failures {
        lines.push(format!("  filter_failed: {count} {why}"));
    }
}
