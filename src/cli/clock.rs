//! `clock accept`: the operator confirms that the machine's clock is right.

use super::answer::talk;
use super::failure::CommandFailure;
use super::place::NodeDirectory;
use crate::audit::AuditedAction;
use crate::control::ControlRequest;

pub(crate) fn accept(place: &NodeDirectory) -> Result<(), CommandFailure> {
    place.order(&ControlRequest::ClockAccept)?;
    place.audit_here(AuditedAction::ClockAccepted, None, "");
    talk("the clock is accepted: what waited for it goes on");
    Ok(())
}
