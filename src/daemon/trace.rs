//! Walks from an event along parents, links and equal content ids, in both directions, breadth first and within
//! bounds, for `event trace`. Reads the store and decides nothing: each claim is shown with its author.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use crate::control::{TRACE_SCHEMA, TraceFacts, TracedEvent, TracedLink};
use crate::envelope::{Body, IdScheme};
use crate::identity::EventId;
use crate::limits::{TRACE_EVENTS_MAX, TRACE_LINKS_MAX, TRACE_NAMING_MAX};
use crate::link::{Link, LinkTarget, Relation};
use crate::record::Entry;
use crate::store::links::{LinkClass, LinkRow, opaque_key};
use crate::store::{Store, StoreError};

/// `classification.type` is shown if it is a word of at most this many characters.
const WORD_CHARS_MAX: usize = 40;

/// The right end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TracePlace {
    Event(EventId),
    Opaque(String),
}

impl TracePlace {
    fn text(&self) -> String {
        match self {
            Self::Event(id) => id.to_string(),
            Self::Opaque(text) => text.clone(),
        }
    }

    fn key(&self) -> crate::identity::EventKey {
        match self {
            Self::Event(id) => id.key(),
            Self::Opaque(text) => opaque_key(text),
        }
    }
}

impl From<&LinkTarget> for TracePlace {
    fn from(target: &LinkTarget) -> Self {
        match target {
            LinkTarget::Event(id) => Self::Event(id.clone()),
            LinkTarget::Opaque(text) => Self::Opaque(text.clone()),
        }
    }
}

/// (left, type, right), and the event that claims it; `None` if that event is not held, or if none claims it.
struct TraceClaim {
    left: EventId,
    relation: Relation,
    right: TracePlace,
    by: Option<EventId>,
    void: bool,
}

/// Returns everything known around `start`, or `None` if it is neither held nor named by anything.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn trace(store: &Store, start: TracePlace, depth: u8) -> Result<Option<TraceFacts>, StoreError> {
    let mut walk = TraceWalk {
        store,
        depth,
        known: HashMap::new(),
        events: Vec::new(),
        links: Vec::new(),
        said: HashMap::new(),
        cut: BTreeSet::new(),
    };
    let of = start.text();
    let mut frontier = vec![start.clone()];
    walk.add(start, 0)?;
    for distance in 0..=depth {
        frontier = walk.step(&frontier, distance)?;
        if frontier.is_empty() {
            break;
        }
    }
    let nothing = walk.links.is_empty() && walk.events.iter().all(|event| !event.held);
    let cut = walk.cut.into_iter().map(str::to_owned).collect();
    let facts =
        TraceFacts { schema: TRACE_SCHEMA.to_owned(), of, events: walk.events, links: walk.links, cut };
    Ok((!nothing).then_some(facts))
}

struct TraceWalk<'a> {
    store: &'a Store,
    depth: u8,
    /// Every place met, with its entry if that is held.
    known: HashMap<TracePlace, Option<Arc<Entry>>>,
    events: Vec<TracedEvent>,
    links: Vec<TracedLink>,
    /// The index of each link in `links`.
    said: HashMap<(EventId, String, String), usize>,
    cut: BTreeSet<&'static str>,
}

impl TraceWalk<'_> {
    /// Takes every claim about the places in `frontier`, and returns the new places that they lead to.
    fn step(&mut self, frontier: &[TracePlace], distance: u8) -> Result<Vec<TracePlace>, StoreError> {
        let mut next = Vec::new();
        for place in frontier {
            for claim in self.said_by(place)? {
                self.take(claim, distance, &mut next)?;
            }
        }
        let keys: Vec<_> = frontier.iter().map(TracePlace::key).collect();
        let (named, more) = self.store.naming(&keys, TRACE_NAMING_MAX)?;
        if more {
            self.cut.insert("links");
        }
        for (key, row) in named {
            let Some(place) = frontier.iter().find(|place| place.key() == key) else { continue };
            for claim in self.claims_of(row, place)? {
                self.take(claim, distance, &mut next)?;
            }
        }
        Ok(next)
    }

    /// Returns the claims of a held event, and its links to events with the same content id.
    fn said_by(&self, place: &TracePlace) -> Result<Vec<TraceClaim>, StoreError> {
        let Some(Some(entry)) = self.known.get(place) else { return Ok(Vec::new()) };
        let mut claims = claims(entry);
        let core = entry.envelope.core();
        if core.ids == IdScheme::Content {
            for other in self.store.find(&core.id.uuid.to_string())? {
                let twin = other.envelope.core();
                if twin.ids == IdScheme::Content && twin.id != core.id {
                    let (later, earlier) =
                        if entry.seq > other.seq { (&core.id, &twin.id) } else { (&twin.id, &core.id) };
                    claims.push(TraceClaim {
                        left: later.clone(),
                        relation: Relation::corroborates(),
                        right: TracePlace::Event(earlier.clone()),
                        by: None,
                        void: false,
                    });
                }
            }
        }
        Ok(claims)
    }

    /// Returns the claims that the index has about `place`, in the carrier's own words if the carrier is held.
    fn claims_of(&self, row: LinkRow, place: &TracePlace) -> Result<Vec<TraceClaim>, StoreError> {
        let carrier = self.store.entry(row.seq)?;
        if row.class == LinkClass::Left {
            let claims = carrier.map(|carrier| claims(&carrier)).unwrap_or_default();
            let about = |claim: &TraceClaim| TracePlace::Event(claim.left.clone()) == *place;
            return Ok(claims.into_iter().filter(about).collect());
        }
        let by = carrier.map(|carrier| carrier.envelope.id().clone()).filter(|id| *id != row.by);
        let void = row.class == LinkClass::Right && row.relation.takes_back();
        Ok(vec![TraceClaim { left: row.by, relation: row.relation, right: place.clone(), by, void }])
    }

    fn take(
        &mut self,
        claim: TraceClaim,
        distance: u8,
        next: &mut Vec<TracePlace>,
    ) -> Result<(), StoreError> {
        let said = (claim.left.clone(), claim.relation.as_str().to_owned(), claim.right.text());
        if let Some(known) = self.said.get(&said).and_then(|at| self.links.get_mut(*at)) {
            if known.void && !claim.void {
                // Another publisher made this claim before, and it is void for that one.
                (known.void, known.by) = (false, claim.by.map(|by| by.to_string()));
            }
            return Ok(());
        }
        if self.links.len() >= TRACE_LINKS_MAX {
            self.cut.insert("links");
            return Ok(());
        }
        for place in [TracePlace::Event(claim.left.clone()), claim.right.clone()] {
            if self.known.contains_key(&place) {
                continue;
            }
            if distance >= self.depth {
                self.cut.insert("depth");
                return Ok(());
            }
            if self.known.len() >= TRACE_EVENTS_MAX {
                self.cut.insert("events");
                return Ok(());
            }
            self.add(place.clone(), distance + 1)?;
            next.push(place);
        }
        self.said.insert(said, self.links.len());
        self.links.push(TracedLink {
            left: claim.left.to_string(),
            relation: claim.relation.as_str().to_owned(),
            right: claim.right.text(),
            opaque: matches!(claim.right, TracePlace::Opaque(_)),
            by: claim.by.map(|by| by.to_string()),
            void: claim.void,
        });
        Ok(())
    }

    fn add(&mut self, place: TracePlace, distance: u8) -> Result<(), StoreError> {
        let mut entry = None;
        if let TracePlace::Event(id) = &place {
            entry = self.store.fetch(id)?;
            self.events.push(describe(id, entry.as_deref(), distance));
        }
        self.known.insert(place, entry);
        Ok(())
    }
}

/// Returns the claims of `entry` about itself and about others.
fn claims(entry: &Entry) -> Vec<TraceClaim> {
    let core = entry.envelope.core();
    let own = &core.id;
    let parent = core.parent.as_ref().map(|parent| TraceClaim {
        left: own.clone(),
        relation: Relation::parent(),
        right: TracePlace::Event(parent.clone()),
        by: None,
        void: false,
    });
    parent.into_iter().chain(core.links.iter().map(|link| claim(own, link))).collect()
}

fn claim(own: &EventId, link: &Link) -> TraceClaim {
    let left = link.left.clone().unwrap_or_else(|| own.clone());
    let sides = [Some(&left), if let LinkTarget::Event(right) = &link.right { Some(right) } else { None }];
    let foreign = sides.into_iter().flatten().any(|id| id.publisher != own.publisher);
    TraceClaim {
        void: link.relation.takes_back() && foreign,
        by: (left != *own).then(|| own.clone()),
        relation: link.relation.clone(),
        right: TracePlace::from(&link.right),
        left,
    }
}

fn describe(id: &EventId, entry: Option<&Entry>, distance: u8) -> TracedEvent {
    let core = entry.map(|entry| entry.envelope.core());
    TracedEvent {
        id: id.to_string(),
        publisher: id.publisher.clone(),
        distance,
        held: entry.is_some(),
        seq: entry.map(|entry| entry.seq),
        created: core.map(|core| core.created),
        tlp: core.map(|core| core.tlp.as_str().to_owned()),
        what: entry.map(one_word),
        withdrawn_by: entry.and_then(|entry| entry.withdrawn_by.as_ref()).map(EventId::to_string),
        replaced_by: entry.and_then(|entry| entry.replaced_by.as_ref()).map(EventId::to_string),
    }
}

#[derive(Deserialize)]
struct ClassifiedLink {
    #[serde(rename = "classification.type")]
    classification: String,
}

/// Returns the publisher's word for the event, if it is one word: it comes from outside and goes to a terminal.
fn one_word(entry: &Entry) -> String {
    let core = entry.envelope.core();
    let Body::Plain(body) = &core.body else { return "sealed".to_owned() };
    let word = serde_json::from_slice::<ClassifiedLink>(body).map(|classified| classified.classification);
    let is_word = |text: &String| {
        (1..=WORD_CHARS_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    word.ok().filter(is_word).unwrap_or_else(|| core.event_type.as_str().to_owned())
}

#[cfg(test)]
mod tests;
