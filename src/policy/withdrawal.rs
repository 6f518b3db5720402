//! The events that do nothing but withdraw others: no filter of fields holds them back.

use crate::envelope::{Body, Core};
use crate::event::check_body;
use crate::event::json::JsonKind;
use crate::identity::EventId;
use crate::link::{Link, LinkTarget};

/// Does this event do nothing but withdraw others of its own publisher? A filter that looks at fields has nothing to
/// look at, and everybody who got the target must get this. It says no more than that, and why.
pub(crate) fn is_bare_withdrawal(core: &Core) -> bool {
    let own = |id: &EventId| id.publisher == core.id.publisher;
    let withdraws = |link: &Link| {
        link.relation.as_str() == "withdraws"
            && link.left.as_ref().is_none_or(own)
            && matches!(&link.right, LinkTarget::Event(target) if own(target))
    };
    let Body::Plain(body) = &core.body else { return false };
    core.ext.is_none()
        && !core.links.is_empty()
        && core.links.iter().all(withdraws)
        && check_body(body).is_ok_and(|scan| {
            scan.members
                .iter()
                .all(|member| member.key == "event_description.text" && member.kind == JsonKind::String)
        })
}
