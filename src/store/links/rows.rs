//! One row of the link index: which event names another, how, and by which carrier; as bytes that sort by the named
//! event. Which rows a carrier makes is here too. Nothing here decides who may see them.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::identity::{EventId, EventKey, ProjectName, PublisherName};
use crate::link::{LinkTarget, Relation};
use crate::record::Entry;

/// Length of a key: the named event, the class, the carrier's seq, and which of its links.
pub(crate) const KEY_BYTES: usize = 27;

/// Rows that one carrier makes for the left sides that it names; a link's right side always has one. If a trace begins
/// at a left side beyond these, it does not find the carrier.
const LEFT_ROWS_MAX: usize = 16;

pub(crate) type RowKey = [u8; KEY_BYTES];

/// Says what a row means for the event that it names. Numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkClass {
    /// Its own publisher withdraws it: this counts.
    Withdrawn = 0,
    /// Its own publisher replaces it: this counts.
    Replaced = 1,
    /// It is the right side of any other link, or of one of these by another publisher.
    Right = 2,
    /// It is given as the left side of a link that another event carries.
    Left = 3,
}

impl LinkClass {
    const ALL: [Self; 4] = [Self::Withdrawn, Self::Replaced, Self::Right, Self::Left];
}

/// One row: the event `by` stands in `relation` to the one that was looked up (the other way round if `class` is
/// `Left`), as the carrier at `seq` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    pub class: LinkClass,
    pub seq: u64,
    pub relation: Relation,
    /// The left side of the link, for `Left` the event that carries it.
    pub by: EventId,
}

/// Returns the key of an opaque id (`CESNET-RT#2235`). No event has it: a full name has another form.
pub(crate) fn opaque_key(text: &str) -> EventKey {
    let mut hash = Sha256::new();
    hash.update(b"alternate\0");
    hash.update(text);
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    EventKey(key)
}

/// Returns the rows of a carrier, by the events that they name. Most carriers have none.
pub(crate) fn rows_of(entry: &Entry) -> Vec<(RowKey, Vec<u8>)> {
    let core = entry.envelope.core();
    let own = &core.id;
    let mut rows = Vec::new();
    let mut put = |target: EventKey, class, relation: &Relation, by: &EventId| {
        let nth = rows.len() as u16;
        let row = LinkRow { class, seq: entry.seq, relation: relation.clone(), by: by.clone() };
        rows.push((key(target, class, entry.seq, nth), row.encode()));
    };
    let mut lefts = 0;
    if let Some(parent) = &core.parent {
        put(parent.key(), LinkClass::Right, &Relation::parent(), own);
    }
    for link in &core.links {
        let left = link.left.as_ref().unwrap_or(own);
        match &link.right {
            LinkTarget::Event(right) if right != left => {
                let counts = right.publisher == own.publisher && left.publisher == own.publisher;
                let class = match link.relation.as_str() {
                    "withdraws" if counts => LinkClass::Withdrawn,
                    "replaces" if counts => LinkClass::Replaced,
                    _ => LinkClass::Right,
                };
                put(right.key(), class, &link.relation, left);
            }
            LinkTarget::Event(_) => {}
            LinkTarget::Opaque(text) => put(opaque_key(text), LinkClass::Right, &link.relation, left),
        }
        if left != own && lefts < LEFT_ROWS_MAX {
            lefts += 1;
            put(left.key(), LinkClass::Left, &link.relation, own);
        }
    }
    rows
}

fn key(target: EventKey, class: LinkClass, seq: u64, nth: u16) -> RowKey {
    let mut key = [0; KEY_BYTES];
    key[..16].copy_from_slice(&target.0);
    key[16] = class as u8;
    key[17..25].copy_from_slice(&seq.to_be_bytes());
    key[25..].copy_from_slice(&nth.to_be_bytes());
    key
}

/// Returns the first and the last key that a row of these classes which names `target` can have.
pub(crate) fn range_of(target: EventKey, (first, last): (LinkClass, LinkClass)) -> (RowKey, RowKey) {
    (key(target, first, 0, 0), key(target, last, u64::MAX, u16::MAX))
}

/// Returns the event that the row under `key` names, and how.
pub(crate) fn target_of(key: &RowKey) -> (EventKey, Option<LinkClass>) {
    let mut target = [0; 16];
    target.copy_from_slice(&key[..16]);
    (EventKey(target), LinkClass::ALL.get(usize::from(key[16])).copied())
}

impl LinkRow {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        for text in [self.relation.as_str(), self.by.publisher.as_str(), self.by.project.as_str()] {
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(self.by.uuid.as_bytes());
        out
    }

    /// Decodes a row; `None` if [`rows_of`] never wrote it.
    pub fn decode(key: &RowKey, value: &[u8]) -> Option<Self> {
        let class = target_of(key).1?;
        let seq = u64::from_be_bytes(*key[17..].first_chunk::<8>()?);
        let (relation, rest) = text(value)?;
        let (publisher, rest) = text(rest)?;
        let (project, rest) = text(rest)?;
        let by = EventId {
            publisher: PublisherName::parse(publisher).ok()?,
            project: ProjectName::parse(project).ok()?,
            uuid: Uuid::from_bytes(rest.try_into().ok()?),
        };
        Some(Self { class, seq, relation: Relation::parse(relation)?, by })
    }
}

fn text(input: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = input.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
