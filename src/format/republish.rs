//! An event that came from the mesh, went through a local pipeline and is to be published again (decisions/0014): a
//! child of the event that was handed off, for no wider audience, and never in a circle. The caller looks up which
//! events are held.

use super::draft::CoreDraft;
use super::refusal::{SubmitCode, SubmitError};
use super::siblings::link;
use crate::envelope::Core;
use crate::identity::{EventId, PublisherName};
use crate::limits::{LINKS_MAX, REPUBLISH_ANCESTORS_MAX};
use crate::link::LinkTarget;
use crate::policy::{Tlp, TrustList};

/// A draft that may not be signed before its lineage is known.
#[derive(Debug)]
pub struct ChildEvent {
    of: EventId,
    draft: CoreDraft,
}

impl ChildEvent {
    pub(super) fn new(of: EventId, draft: CoreDraft) -> Self {
        Self { of, draft }
    }

    pub(super) fn draft_mut(&mut self) -> &mut CoreDraft {
        &mut self.draft
    }

    pub(super) fn unknown_keys(&self) -> &[String] {
        &self.draft.meta.unknown
    }

    /// Returns the event that was handed off.
    pub fn of(&self) -> &EventId {
        &self.of
    }

    /// Returns the draft of the child. `lineage` are the cores of the event that was handed off and of its ancestors,
    /// nearest first, as far as they are held; empty if it is not held itself. Recipients that the child inherits are
    /// kept if they are peers in `trust`, by their present names.
    ///
    /// # Errors
    /// `foreign_event` if it is not held, if it comes back to a publisher of its ancestry, or if that is too long;
    /// `bad_tlp` for a label that goes to nobody, `bad_meta` if no recipient is left.
    pub fn into_draft(self, lineage: &[&Core], trust: &TrustList) -> Result<CoreDraft, SubmitError> {
        let Self { of, mut draft } = self;
        let (Some(parent), Some(oldest)) = (lineage.first(), lineage.last()) else {
            return Err(SubmitError::not_seen(&of.to_string()));
        };
        if lineage.iter().any(|core| comes_from(core, trust)) {
            return Err(SubmitError::comes_back(&of, &draft.publisher));
        }
        if lineage.len() + usize::from(oldest.parent.is_some()) > REPUBLISH_ANCESTORS_MAX {
            return Err(SubmitError::lineage_too_long(&of));
        }
        draft.label.raise(parent.tlp);
        // Relays that could not read the parent cannot read its child.
        draft.seal |= parent.body.is_sealed();
        draft.to = no_wider(&draft, parent, trust)?;
        if draft.label.tlp >= Tlp::AmberStrict && draft.to.is_empty() {
            return Err(draft.label.goes_to_nobody());
        }
        draft.meta.expires = draft.meta.expires.into_iter().chain(parent.expires).min();
        if let Some(named) = draft.meta.parent.replace(parent.id.clone()).filter(|named| *named != parent.id)
        {
            draft.meta.links.extend(link("derived-from", named));
        }
        if draft.meta.links.len() > LINKS_MAX {
            return Err(SubmitError::bad_meta(format!("meta.links has more than {LINKS_MAX} links")));
        }
        Ok(draft)
    }
}

/// Returns true if this node published this, or an event that it says it was made from, by any of its names.
fn comes_from(core: &Core, trust: &TrustList) -> bool {
    let source =
        core.links.iter().filter(|link| link.left.is_none() && link.relation.as_str() == "derived-from");
    let sources = source.filter_map(|link| match &link.right {
        LinkTarget::Event(id) => Some(id),
        LinkTarget::Opaque(_) => None,
    });
    sources.chain([&core.id]).chain(&core.parent).any(|id| trust.is_own(&id.publisher))
}

/// Returns the child's recipients, each of them one of its parent's too.
fn no_wider(draft: &CoreDraft, parent: &Core, trust: &TrustList) -> Result<Vec<PublisherName>, SubmitError> {
    if parent.to.is_empty() {
        return Ok(draft.to.clone());
    }
    let mut to: Vec<PublisherName> = Vec::new();
    for name in parent.to.iter().filter_map(|name| trust.known_as(name)).map(|peer| &peer.name) {
        if (draft.to.is_empty() || draft.to.contains(name)) && !to.contains(name) {
            to.push(name.clone());
        }
    }
    if to.is_empty() {
        let what = format!("{} was for named recipients, and none of them may get this from here", parent.id);
        return Err(SubmitError::new(SubmitCode::BadMeta, what)
            .hint("what is made of an event goes to nobody who could not have that event"));
    }
    Ok(to)
}

#[cfg(test)]
mod tests;
