//! `status`: is all well, and how does everything stand?

mod nagios;
mod watch;

use super::answer::CommandAnswer;
use super::args::StatusArgs;
use super::failure::{CommandFailure, NO};
use super::place::{NodeDirectory, unexpected};
use crate::audit::AuditedAction;
use crate::control::{ControlReply, ControlRequest};
use crate::status::{HealthCode, Snapshot, health_line, render};

pub fn ask(place: &NodeDirectory) -> Result<Snapshot, CommandFailure> {
    match place.ask(&ControlRequest::Status)? {
        ControlReply::Status(snapshot) => Ok(*snapshot),
        other => Err(unexpected(&other)),
    }
}

/// # Errors
/// With `check`, exit 1 if not all is well; without it, being unwell is still an answer.
pub fn status(place: &NodeDirectory, args: &StatusArgs, json: bool) -> Result<(), CommandFailure> {
    if let Some(code) = args.ack {
        return acknowledge(place, code, json);
    }
    if args.nagios {
        return nagios::nagios(place);
    }
    if args.watch {
        return watch::watch(place);
    }
    let check = args.check;
    let snapshot = ask(place)?;
    let mut answer = CommandAnswer::new();
    match (json, check) {
        (true, _) => answer.json(&snapshot)?,
        (false, true) => answer.line(health_line(&snapshot))?,
        (false, false) => answer.lines(&render(&snapshot, crate::clock::now().wall))?,
    }
    answer.flush()?;
    if check && !snapshot.ok && !snapshot.starting { Err(CommandFailure::silent(NO)) } else { Ok(()) }
}

/// Marks incidents as seen by the operator: they are hidden unless they happen again.
fn acknowledge(place: &NodeDirectory, code: HealthCode, json: bool) -> Result<(), CommandFailure> {
    let incidents = match place.ask(&ControlRequest::Acknowledge { code })? {
        ControlReply::Acknowledged { incidents } => incidents,
        other => return Err(unexpected(&other)),
    };
    place.audit_here(AuditedAction::Acknowledged, None, code.as_str());
    let mut answer = CommandAnswer::new();
    match json {
        true => answer.json(&serde_json::json!({"acknowledged": code.as_str(), "incidents": incidents}))?,
        false => answer
            .line(format!("{}: {incidents} acknowledged; shown again if it happens again", code.as_str()))?,
    }
    answer.flush()
}
