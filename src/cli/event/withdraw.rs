//! `event withdraw`: an event of ours that says that another one of ours does not hold. It goes to the same recipients:
//! label, recipients and seal are copied from the other.

use std::io::{BufRead as _, BufReader, Write as _};

use serde::Deserialize;

use crate::cli::answer::{print, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::place::{NodeDirectory, ask_for};
use crate::cli::status;
use crate::control::{ControlRefusal, ControlRequest, EventFacts, EventRef};
use crate::identity::PublisherName;
use crate::terminal::Lines;

/// The text of the withdrawing event if no reason is given.
const REASON_DEFAULT: &str = "Withdrawn by its publisher.";

/// The answer of `in.sock`.
#[derive(Debug, Deserialize)]
struct WithdrawalOutcome {
    id: Option<String>,
    error: Option<String>,
    code: Option<String>,
    hint: Option<String>,
}

pub fn withdraw(
    place: &NodeDirectory,
    id: EventRef,
    reason: Option<&str>,
    json: bool,
) -> Result<(), CommandFailure> {
    let target = ask_for!(place, ControlRequest::EventShow { id }, Event);
    may_be_withdrawn(&target, &own_names(place)?)?;
    let line = withdrawal(&target, reason.unwrap_or(REASON_DEFAULT)).to_string();
    let outcome = submit(place, &line)?;
    let Some(id) = outcome.id else {
        let what = outcome.error.unwrap_or_else(|| "the node gave no answer".to_owned());
        let code = outcome.code.map(|code| format!(" ({code})")).unwrap_or_default();
        let refusal = ControlRefusal::no(format!("{what}{code}"));
        return Err(match outcome.hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
        .into());
    };
    print(json, &serde_json::json!({"id": id, "withdraws": target.id}), || Lines::of_text(&id))?;
    talk(format!("{} is withdrawn; that goes to everybody who got it", target.id));
    Ok(())
}

/// Only an event of this node's own that holds: a withdrawal by anybody else counts nowhere.
fn may_be_withdrawn(target: &EventFacts, own: &[PublisherName]) -> Result<(), CommandFailure> {
    if own.iter().skip(1).any(|former| *former == target.publisher) {
        let (id, name) = (&target.id, &own[0]);
        return Err(CommandFailure::no(format!("{id} was published under a former name of this node"))
            .hint(format!("what {name} signs takes nothing of it back: tell those who got it")));
    }
    if !own.contains(&target.publisher) {
        return Err(CommandFailure::no(format!("{} is an event of {}", target.id, target.publisher))
            .hint(format!("only its publisher can withdraw it: ask {}", target.publisher)));
    }
    if let Some(by) = &target.withdrawn_by {
        return Err(CommandFailure::no(format!("{} is withdrawn already, by {by}", target.id)));
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

fn withdrawal(target: &EventFacts, reason: &str) -> serde_json::Value {
    let mut meta = serde_json::json!({
        "version": 1,
        "type": "event",
        "format": "intelmq",
        "tlp": target.tlp,
        "links": [{"type": "withdraws", "right": target.id}],
    });
    if !target.to.is_empty() {
        meta["to"] = target.to.iter().map(ToString::to_string).collect();
    }
    if target.sealed {
        meta["seal"] = true.into();
    }
    serde_json::json!({"meta": meta, "payload": {"event_description.text": reason}})
}

fn submit(place: &NodeDirectory, line: &str) -> Result<WithdrawalOutcome, CommandFailure> {
    let broken = |error: std::io::Error| CommandFailure::could_not(format!("in.sock: {error}"));
    let mut stream = place.connect("in.sock")?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(broken)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
    serde_json::from_str(&answer)
        .map_err(|error| CommandFailure::could_not(format!("the node's answer cannot be read: {error}")))
}
