//! `event`: one envelope, decoded, exported or verified, and its links (`trace`, `graph`). To verify is to check the
//! signature over the bytes with the key that this node's peer files give the publisher.

mod graph;
mod list;
mod trace;
mod waiting;
mod withdraw;

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::answer::{CommandAnswer, print, print_object, talk};
use super::args::EventVerb;
use super::envelope_file::{read_envelope, verified};
use super::event_open::open;
use super::failure::CommandFailure;
use super::place::{NodeDirectory, ask_for, unexpected};
use crate::control::{ControlReply, ControlRequest, EventFacts, EventRef};
use crate::identity::public_key_text;
use crate::terminal::Lines;

pub(crate) fn event(place: &NodeDirectory, verb: EventVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        EventVerb::Release { what } => super::decide::decide(place, &what, true),
        EventVerb::Drop { what } => super::decide::decide(place, &what, false),
        EventVerb::Withdraw { id, reason } => withdraw::withdraw(place, id, reason.as_deref(), json),
        EventVerb::Replace { id, file } => withdraw::replace(place, id, &file, json),
        EventVerb::List(args) => list::list(place, args, json),
        EventVerb::Waiting => waiting::waiting(place, json),
        EventVerb::Show { id } => show(place, id, json),
        EventVerb::Trace(args) => trace::trace(place, args, json),
        EventVerb::Export { id, cose } => export(place, id, &cose),
        EventVerb::Verify { what } => verify(place, &what, json),
        EventVerb::Open { file } => open(place, &file, json),
    }
}

fn show(place: &NodeDirectory, id: EventRef, json: bool) -> Result<(), CommandFailure> {
    let facts = ask_for!(place, ControlRequest::EventShow { id }, Event);
    print(json, &facts, || render(&facts))
}

fn render(facts: &EventFacts) -> Lines {
    let sealed = if facts.sealed { ", sealed" } else { "" };
    let mut rows: Vec<(&str, String)> = vec![
        ("publisher", format!("{} (key {}, signature checked)", facts.publisher, facts.key)),
        ("source", facts.source.as_ref().map_or_else(|| "submitted here".to_owned(), ToString::to_string)),
    ];
    if !facts.path.is_empty() {
        rows.push(("path", facts.path.clone()));
    }
    rows.push(("tlp", facts.tlp.clone()));
    if !facts.to.is_empty() {
        let names: Vec<&str> = facts.to.iter().map(crate::identity::PublisherName::as_str).collect();
        rows.push(("to", names.join(", ")));
    }
    rows.push(("created", facts.created.to_string()));
    rows.push(("arrived", format!("{} (seq {})", facts.arrived, facts.seq)));
    rows.extend(facts.expires.map(|at| ("expires", at.to_string())));
    rows.push(("form", format!("{}, {}, ids {}{sealed}", facts.event_type, facts.format, facts.ids)));
    rows.push(("size", format!("{} bytes, at most {} hops", facts.bytes, facts.max_hops)));
    rows.extend(facts.parent.clone().map(|parent| ("parent", parent)));
    for link in &facts.links {
        let left = link.left.as_ref().map(|left| format!("{left} ")).unwrap_or_default();
        rows.push(("link", format!("{left}{} {}", link.relation, link.right)));
    }
    rows.extend(facts.withdrawn_by.clone().map(|by| ("withdrawn", format!("by {by}"))));
    rows.extend(facts.replaced_by.clone().map(|by| ("replaced", format!("by {by}"))));
    rows.extend(facts.ext.as_ref().map(|ext| ("ext", ext.get().to_owned())));
    let payload = match &facts.payload {
        Some(payload) => payload.get().to_owned(),
        None => facts.cannot_open.as_ref().map_or_else(
            || "cannot open".to_owned(),
            |why| format!("cannot open: {why}{}", own_remedy(facts)),
        ),
    };
    rows.push(("payload", payload));
    rows.extend(facts.went.iter().map(|went| ("went", went.line())));
    let mut lines = Lines::default();
    lines.push(&facts.id);
    rows.iter().for_each(|(name, value)| lines.fact(name, value));
    lines
}

/// This node cannot read bodies that it sealed for others, unless it names itself.
fn own_remedy(facts: &EventFacts) -> String {
    let own = facts.publisher.as_str();
    if facts.source.is_some() || facts.to.iter().any(|name| name.as_str() == own) {
        return String::new();
    }
    let names: Vec<&str> = facts.to.iter().map(crate::identity::PublisherName::as_str).collect();
    format!("; to read it here later, name this node too: --to {},{own}", names.join(","))
}

/// The bytes of an event that the running node holds.
fn fetch(place: &NodeDirectory, id: EventRef) -> Result<(String, Vec<u8>), CommandFailure> {
    match place.ask(&ControlRequest::EventExport { id })? {
        ControlReply::Envelope { id, cose } => {
            let bytes = data_encoding::BASE64.decode(cose.as_bytes());
            let bytes = bytes.map_err(|error| {
                CommandFailure::could_not(format!("the node's answer cannot be read: {error}"))
            })?;
            Ok((id, bytes))
        }
        other => Err(unexpected(&other)),
    }
}

fn export(place: &NodeDirectory, id: EventRef, to: &Path) -> Result<(), CommandFailure> {
    let (id, bytes) = fetch(place, id)?;
    if to == Path::new("-") {
        let mut answer = CommandAnswer::new();
        answer.bytes(&bytes)?;
        return answer.flush();
    }
    fs::write(to, &bytes).map_err(|error| CommandFailure::of_file(to, &error))?;
    talk(format!("{id}: {} bytes of COSE_Sign1 in {}", bytes.len(), to.display()));
    Ok(())
}

/// Verifies the file of that name if there is one, else the event with that id.
fn verify(place: &NodeDirectory, what: &Path, json: bool) -> Result<(), CommandFailure> {
    let bytes = if what.exists() {
        read_envelope(what)?
    } else {
        let text = what.to_string_lossy();
        let id = EventRef::parse(&text)
            .map_err(|_| CommandFailure::could_not(format!("{text}: no such file, and no id of an event")))?;
        fetch(place, id)?.1
    };
    let trust = place.trust()?;
    let verdict = verified(Bytes::from(bytes), &trust)
        .map(|verified| (verified.envelope().publisher().to_string(), public_key_text(verified.signer())));
    let (facts, text) = match &verdict {
        Ok((publisher, key)) => (
            serde_json::json!({"ok": true, "publisher": publisher, "key": key}),
            format!("ok publisher={publisher} key={key}"),
        ),
        Err(fault) => (serde_json::json!({"ok": false, "fault": fault}), fault.clone()),
    };
    print_object(json, "intelmesh.verify/1", &facts, || Lines::of_text(&text))?;
    verdict.map(|_| ()).map_err(|_| CommandFailure::silent(super::failure::NO))
}
