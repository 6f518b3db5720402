//! `aside`: lines that the doors of the pipeline could not pass on. The files are read here. The running node tries
//! again, because each line has to go through its own door.

use std::collections::{BTreeMap, VecDeque};

use super::answer::{CommandAnswer, print, talk};
use super::args::AsideVerb;
use super::failure::CommandFailure;
use super::place::{NodeDirectory, ask_for};
use crate::config::NodeConfig;
use crate::control::{AsideTried, ControlRequest};
use crate::local::{AsideRecord, read_aside};
use crate::terminal::Lines;

/// Of a line, so much is shown to people.
const LINE_CHARS_SHOWN: usize = 60;

pub(crate) fn aside(place: &NodeDirectory, verb: &AsideVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        AsideVerb::List { door, last } => list(place, door.as_deref(), *last, json),
        AsideVerb::Retry { door } => retry(place, door, json),
    }
}

fn list(
    place: &NodeDirectory,
    door: Option<&str>,
    last: Option<usize>,
    json: bool,
) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let state = &config.paths.state;
    let mut newest: BTreeMap<String, VecDeque<AsideRecord>> = BTreeMap::new();
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    let dir = state.join("aside");
    // A file may be large: only what `--last` asks for is kept until all is read.
    let (mut answer, mut written) = (CommandAnswer::new(), Ok(()));
    let read = read_aside(state, door, |record| {
        *codes.entry(record.code.clone()).or_default() += 1;
        let Some(last) = last else {
            if written.is_ok() {
                written = write(&mut answer, &record, json);
            }
            return;
        };
        let of_door = newest.entry(record.door.clone()).or_default();
        of_door.push_back(record);
        if of_door.len() > last {
            of_door.pop_front();
        }
    });
    let unreadable = read.map_err(|error| CommandFailure::of_file(&dir, &error))?;
    if let Some(door) = door.filter(|_| codes.is_empty()) {
        known_door(&config, door)?;
    }
    written?;
    for record in newest.values().flatten() {
        write(&mut answer, record, json)?;
    }
    answer.flush()?;
    if unreadable > 0 {
        talk(format!("{}: lines that cannot be read: {unreadable}", dir.display()));
    }
    if !json {
        talk(summary(&codes));
    }
    Ok(())
}

fn write(answer: &mut CommandAnswer, record: &AsideRecord, json: bool) -> Result<(), CommandFailure> {
    if json { answer.json(record) } else { answer.line(shown(record)) }
}

/// How many there are of each code, the most frequent first.
fn summary(codes: &BTreeMap<String, u64>) -> String {
    if codes.is_empty() {
        return "nothing is set aside".to_owned();
    }
    let mut counts: Vec<(&String, &u64)> = codes.iter().collect();
    counts.sort_by(|one, other| other.1.cmp(one.1));
    let each: Vec<String> = counts.iter().map(|(code, count)| format!("{count} {code}")).collect();
    let all: u64 = codes.values().sum();
    format!("{all} set aside: {}", each.join(", "))
}

/// # Errors
/// Exit 1 if `intelmesh.toml` has no door of this name.
fn known_door(config: &NodeConfig, name: &str) -> Result<(), CommandFailure> {
    if config.doors.names().any(|known| known.as_str() == name) {
        return Ok(());
    }
    Err(CommandFailure::no(format!("no door \"{name}\"")).hint("intelmesh status shows their names"))
}

fn shown(record: &AsideRecord) -> String {
    let AsideRecord { at, door, code, error, .. } = record;
    let what = record.id.clone().or_else(|| {
        let line = record.line.as_ref()?;
        let begun: String =
            line.chars().take(LINE_CHARS_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some(begun)
    });
    format!("{at} {door} {code}: {error}: {}", what.unwrap_or_else(|| "(bytes)".to_owned()))
}

fn retry(place: &NodeDirectory, door: &str, json: bool) -> Result<(), CommandFailure> {
    let tried = ask_for!(place, ControlRequest::AsideRetry { door: door.to_owned() }, AsideTried);
    print(json, &tried, || {
        let AsideTried { taken, set_aside, kept, expired } = tried;
        let expired = if expired > 0 { format!(", {expired} expired") } else { String::new() };
        Lines::of_text(&format!(
            "{door}: {taken} taken, {set_aside} set aside again, {kept} left as they were{expired}"
        ))
    })?;
    if tried.set_aside + tried.kept > 0 { Err(CommandFailure::silent(super::failure::NO)) } else { Ok(()) }
}
