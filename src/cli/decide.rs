//! `event release` and `event drop`: the operator decides about events that a revoked key signed.

use super::answer::talk;
use super::failure::CommandFailure;
use super::place::NodeDirectory;
use crate::audit::AuditedAction;
use crate::control::ControlRequest;
use crate::identity::{EventId, PublisherName};

/// `what` is an event's full name, or a publisher: then all of it that waits.
pub(crate) fn decide(place: &NodeDirectory, what: &str, release: bool) -> Result<(), CommandFailure> {
    let (publisher, event) = match what.parse::<EventId>() {
        Ok(id) => (id.publisher.clone(), Some(id)),
        Err(_) => match PublisherName::parse(what) {
            Ok(name) => (name, None),
            Err(_) => {
                return Err(CommandFailure::could_not(format!(
                    "\"{what:.120}\" is neither an event's full name nor a publisher's"
                ))
                .hint("intelmesh event waiting lists what waits"));
            }
        },
    };
    let request = ControlRequest::Decide {
        publisher: publisher.clone(),
        event: event.as_ref().map(ToString::to_string),
        release,
    };
    place.order(&request)?;
    let (verb, audited) = if release {
        ("released: asked for again, and taken as any other", AuditedAction::EventReleased)
    } else {
        ("dropped", AuditedAction::EventDropped)
    };
    place.audit_here(audited, Some(&publisher), what);
    talk(format!("{what}: {verb}"));
    Ok(())
}
