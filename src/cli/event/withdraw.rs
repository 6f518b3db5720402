//! `event withdraw` and `event replace`: an event of ours that says that another one of ours does not hold, or holds as
//! this one. It goes to the same recipients: label, recipients and seal are copied from the other.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;

use serde::Deserialize;

use crate::cli::answer::{print, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::labels;
use crate::cli::place::{NodeDirectory, ask_for};
use crate::cli::status;
use crate::clock;
use crate::control::{ControlRefusal, ControlRequest, EventFacts, EventRef};
use crate::identity::PublisherName;
use crate::limits::LINE_BYTES_MAX;
use crate::terminal::Lines;

/// The text of the withdrawing event if no reason is given.
const REASON_DEFAULT: &str = "Withdrawn by its publisher.";

/// What becomes of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TakeBack {
    Withdraw,
    Replace,
}

impl TakeBack {
    const fn verb(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Replace => "replace",
        }
    }

    /// The type of the link.
    const fn relation(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraws",
            Self::Replace => "replaces",
        }
    }
}

/// The answer of `in.sock`.
#[derive(Debug, Deserialize)]
struct TakeBackOutcome {
    id: Option<String>,
    error: Option<String>,
    code: Option<String>,
    hint: Option<String>,
}

pub(crate) fn withdraw(
    place: &NodeDirectory,
    id: EventRef,
    reason: Option<&str>,
    json: bool,
) -> Result<(), CommandFailure> {
    let target = target(place, id, TakeBack::Withdraw)?;
    let reason = reason.unwrap_or(REASON_DEFAULT);
    let payload = serde_json::json!({"event_description.text": reason}).to_string();
    let id = publish(place, &target, ("event", "intelmq"), TakeBack::Withdraw, &payload)?;
    print(json, &serde_json::json!({"id": id, "withdraws": target.id}), || Lines::of_text(&id))?;
    talk(format!("{} is withdrawn; that goes to everybody who got it", target.id));
    Ok(())
}

/// The new event is in the format of the other: `file` has its payload alone.
pub(crate) fn replace(
    place: &NodeDirectory,
    id: EventRef,
    file: &Path,
    json: bool,
) -> Result<(), CommandFailure> {
    let target = target(place, id, TakeBack::Replace)?;
    let payload = read_payload(file)?;
    let form = (target.event_type.as_str(), target.format.as_str());
    let id = publish(place, &target, form, TakeBack::Replace, &payload)?;
    print(json, &serde_json::json!({"id": id, "replaces": target.id}), || Lines::of_text(&id))?;
    talk(format!("{} is replaced; that goes to everybody who got it", target.id));
    Ok(())
}

fn target(place: &NodeDirectory, id: EventRef, how: TakeBack) -> Result<EventFacts, CommandFailure> {
    let target = ask_for!(place, ControlRequest::EventShow { id }, Event);
    may_be_taken_back(&target, &own_names(place)?, how)?;
    Ok(*target)
}

/// One JSON object, as it is, on one line: line ends are blanks there, since no text of JSON has a raw one.
fn read_payload(file: &Path) -> Result<String, CommandFailure> {
    let fault = |error: io::Error| CommandFailure::of_file(file, &error);
    let input: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(file).map_err(fault)?),
    };
    let mut text = String::new();
    input.take(LINE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(fault)?;
    let text = text.trim();
    let shown = file.display();
    let Some(members) = labels::members(text) else {
        return Err(CommandFailure::could_not(format!("{shown}: not one JSON object of 1 MiB at most"))
            .hint("give the new event as one JSON object, without meta"));
    };
    let is_outer = |key: &str| ["meta", "payload"].iter().any(|outer| key.eq_ignore_ascii_case(outer));
    if let Some(outer) = members.iter().find(|member| is_outer(&member.key)) {
        return Err(CommandFailure::could_not(format!("{shown}: the event has \"{}\"", outer.key))
            .hint("give the payload alone: its meta comes from the event that it replaces"));
    }
    Ok(text.replace(['\n', '\r'], " "))
}

fn publish(
    place: &NodeDirectory,
    target: &EventFacts,
    form: (&str, &str),
    how: TakeBack,
    payload: &str,
) -> Result<String, CommandFailure> {
    let outcome = submit(place, &format!("{{\"meta\":{},\"payload\":{payload}}}", meta(target, form, how)))?;
    if let Some(id) = outcome.id {
        return Ok(id);
    }
    let what = outcome.error.unwrap_or_else(|| "the node gave no answer".to_owned());
    let code = outcome.code.map(|code| format!(" ({code})")).unwrap_or_default();
    let refusal = ControlRefusal::no(format!("{what}{code}"));
    Err(match outcome.hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
    .into())
}

/// Only an event of this node's own that holds: a link by anybody else counts nowhere.
fn may_be_taken_back(
    target: &EventFacts,
    own: &[PublisherName],
    how: TakeBack,
) -> Result<(), CommandFailure> {
    let (id, verb) = (&target.id, how.verb());
    if own.iter().skip(1).any(|former| *former == target.publisher) {
        let name = &own[0];
        return Err(CommandFailure::no(format!("{id} was published under a former name of this node"))
            .hint(format!("what {name} signs takes nothing of it back: tell those who got it")));
    }
    if !own.contains(&target.publisher) {
        return Err(CommandFailure::no(format!("{id} is an event of {}", target.publisher))
            .hint(format!("only its publisher can {verb} it: ask {}", target.publisher)));
    }
    if let Some(by) = &target.withdrawn_by {
        return Err(CommandFailure::no(format!("{id} is withdrawn already, by {by}")));
    }
    if let (TakeBack::Replace, Some(by)) = (how, &target.replaced_by) {
        return Err(CommandFailure::no(format!("{id} is replaced already, by {by}"))
            .hint(format!("replace that one: intelmesh event replace {by} FILE")));
    }
    Ok(())
}

/// Returns the name of this node, and then its earlier names. After a restore, a copy of its own event may have come
/// back from a peer.
fn own_names(place: &NodeDirectory) -> Result<Vec<PublisherName>, CommandFailure> {
    if let Ok(config) = place.config() {
        return Ok([vec![config.name], config.aliases].concat());
    }
    // An account of the pipeline may not read the file.
    Ok(vec![status::ask(place)?.name])
}

fn meta(target: &EventFacts, (event_type, format): (&str, &str), how: TakeBack) -> serde_json::Value {
    let mut meta = serde_json::json!({
        "version": 1,
        "type": event_type,
        "format": format,
        "tlp": target.tlp,
        "links": [{"type": how.relation(), "right": target.id}],
    });
    if !target.to.is_empty() {
        meta["to"] = target.to.iter().map(ToString::to_string).collect();
    }
    if target.sealed {
        meta["seal"] = true.into();
    }
    // What replaces an event does not outlive it.
    let expires = target.expires.filter(|at| how == TakeBack::Replace && *at > clock::now().wall);
    if let Some(at) = expires {
        meta["expires"] = at.to_string().into();
    }
    meta
}

fn submit(place: &NodeDirectory, line: &str) -> Result<TakeBackOutcome, CommandFailure> {
    let broken = |error: std::io::Error| CommandFailure::could_not(format!("in.sock: {error}"));
    let mut stream = place.connect("in.sock")?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
    serde_json::from_str(&answer)
        .map_err(|error| CommandFailure::could_not(format!("the node's answer cannot be read: {error}")))
}
