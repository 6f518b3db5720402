//! `status`: is all well, and how does everything stand?

mod nagios;
#[cfg(test)]
mod sample;
mod watch;

use super::answer::print;
use super::args::StatusArgs;
use super::failure::{CommandFailure, NO};
use super::place::{NodeDirectory, ask_for, unexpected};
use crate::audit::AuditedAction;
use crate::control::{ControlReply, ControlRequest};
use crate::status::{HealthCode, Snapshot, health_line, render};
use crate::terminal::Lines;

pub(crate) fn ask(place: &NodeDirectory) -> Result<Snapshot, CommandFailure> {
    Ok(*ask_for!(place, ControlRequest::Status, Status))
}

/// # Errors
/// With `check`, exit 1 if not all is well; without it, being unwell is still an answer.
pub(crate) fn status(place: &NodeDirectory, args: &StatusArgs, json: bool) -> Result<(), CommandFailure> {
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
    print(json, &snapshot, || match check {
        true => Lines::of_text(&health_line(&snapshot)),
        false => render(&snapshot, crate::clock::now().wall),
    })?;
    if check && !snapshot.ok && !snapshot.starting { Err(CommandFailure::silent(NO)) } else { Ok(()) }
}

/// Marks incidents as seen by the operator: they are hidden unless they happen again.
fn acknowledge(place: &NodeDirectory, code: HealthCode, json: bool) -> Result<(), CommandFailure> {
    let incidents = match place.ask(&ControlRequest::Acknowledge { code })? {
        ControlReply::Acknowledged { incidents } => incidents,
        other => return Err(unexpected(&other)),
    };
    place.audit_here(AuditedAction::Acknowledged, None, code.as_str());
    let code = code.as_str();
    print(json, &serde_json::json!({"acknowledged": code, "incidents": incidents}), || {
        Lines::of_text(&format!("{code}: {incidents} acknowledged; shown again if it happens again"))
    })
}
