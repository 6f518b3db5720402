//! `reload`: the running node reads `intelmesh.toml` again.

use super::answer::print_object;
use super::failure::{COULD_NOT, CommandFailure};
use super::place::{NodeDirectory, ask_for};
use crate::audit::AuditedAction;
use crate::control::{ControlRequest, ReloadResult};
use crate::terminal::Lines;

/// # Errors
/// Exit 1 if the file cannot be used: the node goes on with what it had. Exit 2 if a door could not be opened anew.
pub(crate) fn reload(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let told = ask_for!(place, ControlRequest::Reload, Reloaded);
    let ReloadResult { changed, restart, failed } = &told;
    place.audit_here(AuditedAction::Reloaded, None, &changed.join(", "));
    print_object(json, "intelmesh.reload/1", &told, || {
        let mut lines = Lines::default();
        if changed.is_empty() && restart.is_empty() {
            lines.push("nothing has changed");
        }
        for (what, which) in [("in force now", changed), ("at the next start", restart)] {
            if !which.is_empty() {
                lines.push(format!("{what}: {}", which.join(", ")));
            }
        }
        failed.iter().for_each(|what| lines.push(format!("not in force: {what}")));
        lines
    })?;
    if failed.is_empty() { Ok(()) } else { Err(CommandFailure::silent(COULD_NOT)) }
}
