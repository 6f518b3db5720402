//! The events that one line with multiple values became (IEP03): their ids, which depend on nothing but the
//! line, their common parent, and the links between them (decisions/0013). How a line is taken apart is
//! `explode`'s.

use uuid::Uuid;

use super::draft::{CoreDraft, IdInputs};
use super::refusal::{SubmitCode, SubmitError};
use crate::envelope::{Core, IdScheme};
use crate::identity::EventId;
use crate::limits::LINKS_MAX;
use crate::link::{Link, LinkTarget, Relation};

/// At least two drafts of one line.
#[derive(Debug)]
pub struct ExplodedEvent {
    /// The line with its lists: not an event, but the parent of the others.
    whole: CoreDraft,
    drafts: Vec<CoreDraft>,
}

/// The cores to be signed, and the answer to the line once all of them are accepted: `parent`, which is a `duplicate`
/// if each of them is one.
#[derive(Debug)]
pub struct SiblingEvents {
    pub parent: EventId,
    pub cores: Vec<Core>,
}

impl ExplodedEvent {
    pub(super) fn new(mut whole: CoreDraft, mut drafts: Vec<CoreDraft>) -> Result<Self, SubmitError> {
        let own = whole.meta.links.len() + usize::from(whole.meta.parent.is_some());
        if drafts.len() - 1 + own > LINKS_MAX {
            let what = format!(
                "{} events of one line with {} links to each other and {own} of the line's each, at most {LINKS_MAX}",
                drafts.len(),
                drafts.len() - 1
            );
            return Err(SubmitError::new(SubmitCode::MultiValue, what).hint("leave links or values out"));
        }
        // A line that comes again must give the same events.
        if whole.ids == IdScheme::Random {
            drafts.iter_mut().for_each(|draft| draft.ids = IdScheme::Body);
            if whole.meta.current.is_none() {
                whole.ids = IdScheme::Body;
            }
        }
        // The parent is a name, not an event: one that is given has no content to fit.
        if whole.meta.current.is_some() && whole.meta.ids.is_none() {
            whole.ids = IdScheme::Random;
        }
        for draft in &mut drafts {
            draft.meta.current = None;
        }
        Ok(Self { whole, drafts })
    }

    /// Creates the events of one message of another format. Some formats name each of them.
    pub(super) fn of_message(whole: CoreDraft, drafts: Vec<CoreDraft>) -> Result<Self, SubmitError> {
        let named: Vec<_> = drafts.iter().map(|draft| draft.meta.current.clone()).collect();
        let mut exploded = Self::new(whole, drafts)?;
        exploded.drafts.iter_mut().zip(named).for_each(|(draft, id)| draft.meta.current = id);
        Ok(exploded)
    }

    pub(super) fn all_drafts(&mut self) -> impl Iterator<Item = &mut CoreDraft> {
        std::iter::once(&mut self.whole).chain(&mut self.drafts)
    }

    pub(super) fn asks_for_seal(&self) -> bool {
        self.whole.seal
    }

    pub(super) fn unknown_keys(&self) -> &[String] {
        &self.whole.meta.unknown
    }

    /// Returns the number of events.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.drafts.len()
    }

    /// Returns the cores, not yet sealed.
    pub(super) fn into_cores(self, made: &IdInputs<'_>) -> Result<SiblingEvents, SubmitError> {
        let (_, parent) = self.whole.id(made)?;
        let mut named: Vec<NamedDraft> = Vec::with_capacity(self.drafts.len());
        for draft in self.drafts {
            let (ids, id) = draft.id(made)?;
            add(&mut named, (ids, id, draft));
        }
        let all: Vec<EventId> = named.iter().map(|(_, id, _)| id.clone()).collect();
        let cores = named.into_iter().map(|(ids, id, mut draft)| {
            if let Some(named) = draft.meta.parent.replace(parent.clone()) {
                draft.meta.links.extend(link("derived-from", named));
            }
            let others = all.iter().filter(|other| **other != id);
            draft.meta.links.extend(others.filter_map(|other| link("same-report", other.clone())));
            draft.into_core_as(ids, id, made.now)
        });
        let cores = cores.collect::<Result<Vec<_>, _>>()?;
        Ok(SiblingEvents { parent, cores })
    }
}

/// A draft, and how its id was made.
type NamedDraft = (IdScheme, EventId, CoreDraft);

/// Adds an event of a message, under another id if the message gave its id to an event that differs from it.
fn add(named: &mut Vec<NamedDraft>, (ids, mut id, mut draft): NamedDraft) {
    while let Some((_, _, first)) = named.iter_mut().find(|(_, known, _)| known.uuid == id.uuid) {
        // If two differ in nothing that counts for an id of their content, they are one event.
        if ids != IdScheme::Random || first.payload.as_str() == draft.payload.as_str() {
            if draft.label.tlp > first.label.tlp {
                std::mem::swap(first, &mut draft);
            }
            let missing = draft.meta.links.into_iter().filter(|link| !first.meta.links.contains(link));
            let missing: Vec<Link> = missing.collect();
            first.meta.links.extend(missing);
            return;
        }
        id.uuid = Uuid::new_v5(&id.uuid, draft.payload.as_str().as_bytes());
    }
    named.push((ids, id, draft));
}

/// Returns a link from the event itself.
pub(super) fn link(relation: &str, right: EventId) -> Option<Link> {
    Some(Link { left: None, relation: Relation::parse(relation)?, right: LinkTarget::Event(right) })
}

#[cfg(test)]
mod tests;
