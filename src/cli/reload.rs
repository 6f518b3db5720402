//! `reload`: the running node reads `intelmesh.toml` again.

use super::answer::CommandAnswer;
use super::failure::{COULD_NOT, CommandFailure};
use super::place::{NodeDirectory, unexpected};
use crate::audit::AuditedAction;
use crate::control::{ControlReply, ControlRequest, ReloadResult};

/// # Errors
/// Exit 1 if the file cannot be used: the node goes on with what it had. Exit 2 if a door could not be opened anew.
pub fn reload(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let told = match place.ask(&ControlRequest::Reload)? {
        ControlReply::Reloaded(told) => told,
        other => return Err(unexpected(&other)),
    };
    let ReloadResult { changed, restart, failed } = &told;
    place.audit_here(AuditedAction::Reloaded, None, &changed.join(", "));
    let mut answer = CommandAnswer::new();
    if json {
        let facts = serde_json::json!({"changed": changed, "restart": restart, "failed": failed});
        answer.object("intelmesh.reload/1", &facts)?;
    } else {
        if changed.is_empty() && restart.is_empty() {
            answer.line("nothing has changed")?;
        }
        if !changed.is_empty() {
            answer.line(format!("in force now: {}", changed.join(", ")))?;
        }
        if !restart.is_empty() {
            answer.line(format!("at the next start: {}", restart.join(", ")))?;
        }
        for what in failed {
            answer.line(format!("not in force: {what}"))?;
        }
    }
    answer.flush()?;
    if failed.is_empty() { Ok(()) } else { Err(CommandFailure::silent(COULD_NOT)) }
}
