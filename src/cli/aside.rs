//! `aside`: what the doors of the pipeline could not pass on. The files are read here; trying again is the
//! running node's, because each line has to go through its own door.

use super::answer::{Answer, talk};
use super::args::AsideVerb;
use super::failure::Failure;
use super::place::{Place, unexpected};
use crate::control::{AsideTried, Reply, Request};
use crate::local::{AsideRecord, read_aside};

/// Of a line, so much is shown to people.
const LINE_CHARS_SHOWN: usize = 60;

pub fn aside(place: &Place, verb: &AsideVerb, json: bool) -> Result<(), Failure> {
    match verb {
        AsideVerb::List { door } => list(place, door.as_deref(), json),
        AsideVerb::Retry { door } => retry(place, door, json),
    }
}

fn list(place: &Place, door: Option<&str>, json: bool) -> Result<(), Failure> {
    let state = place.config()?.paths.state;
    let mut answer = Answer::new();
    let mut written = Ok(());
    let mut count = 0;
    let read = read_aside(&state, door, |record| {
        count += 1;
        if written.is_ok() {
            written = if json { answer.json(&record) } else { answer.line(shown(&record)) };
        }
    });
    written?;
    answer.flush()?;
    let dir = state.join("aside");
    let unreadable = read.map_err(|error| Failure::could_not(format!("{}: {error}", dir.display())))?;
    if unreadable > 0 {
        talk(format!("{}: lines that cannot be read: {unreadable}", dir.display()));
    } else if count == 0 && !json {
        talk("nothing is set aside");
    }
    Ok(())
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

fn retry(place: &Place, door: &str, json: bool) -> Result<(), Failure> {
    let tried = match place.ask(&Request::AsideRetry { door: door.to_owned() })? {
        Reply::AsideTried(tried) => tried,
        other => return Err(unexpected(&other)),
    };
    let mut answer = Answer::new();
    if json {
        answer.json(&tried)?;
    } else {
        let AsideTried { taken, set_aside, kept, expired } = tried;
        let expired = if expired > 0 { format!(", {expired} expired") } else { String::new() };
        answer.line(format!(
            "{door}: {taken} taken, {set_aside} set aside again, {kept} left as they were{expired}"
        ))?;
    }
    answer.flush()?;
    if tried.set_aside + tried.kept > 0 { Err(Failure::silent(super::failure::NO)) } else { Ok(()) }
}
