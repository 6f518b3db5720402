//! Reads links as a line gives them, in this node's form and in those of IEP04's drafts. Their meaning is not known
//! here.

use super::super::refusal::SubmitError;
use super::{MetaValue, elements};
use crate::identity::{EventId, ProjectName, PublisherName, parse_uuid};
use crate::limits::{LINK_OPAQUE_BYTES_MAX, LINKS_MAX};
use crate::link::{Link, LinkTarget, Relation};

/// The publisher and project that a bare UUID belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub publisher: &'a PublisherName,
    pub project: &'a ProjectName,
}

impl Names<'_> {
    /// Reads a full name, or a bare UUID of this node's own.
    pub(crate) fn event(self, text: &str) -> Option<EventId> {
        if let Ok(uuid) = parse_uuid(text) {
            return Some(EventId { publisher: self.publisher.clone(), project: self.project.clone(), uuid });
        }
        text.parse().ok()
    }
}

/// Reads `[{"type": …, "right": …, "left": …}]`.
///
/// # Errors
/// `bad_meta` for the first that is not a link.
pub(crate) fn read(value: &MetaValue<'_>, names: Names<'_>) -> Result<Vec<Link>, SubmitError> {
    let elements = elements(value).ok_or_else(|| SubmitError::bad_meta("meta.links is no list"))?;
    if elements.len() > LINKS_MAX {
        return Err(SubmitError::bad_meta(format!("meta.links has more than {LINKS_MAX} links")));
    }
    elements.iter().map(|element| read_one(element, names)).collect()
}

fn read_one(element: &serde_json::Value, names: Names<'_>) -> Result<Link, SubmitError> {
    let fault = |what: &str| {
        let shown: String = element.to_string().chars().take(160).collect();
        SubmitError::bad_meta(format!("meta.links: {shown}: {what}"))
            .hint("{\"type\":…,\"right\":…}, with \"left\" where it is not the event itself")
    };
    let members = element.as_object().ok_or_else(|| fault("no object"))?;
    if members.keys().any(|key| !["type", "right", "left"].contains(&key.as_str())) {
        return Err(fault("an unknown member"));
    }
    let string = |key: &str| members.get(key).and_then(serde_json::Value::as_str);
    let relation = string("type").and_then(Relation::parse).ok_or_else(|| fault("no type"))?;
    let right = string("right").filter(|right| !right.is_empty()).ok_or_else(|| fault("no right side"))?;
    let right = match names.event(right) {
        Some(id) => LinkTarget::Event(id),
        None if relation.needs_event() => return Err(fault("its right side is no full name of an event")),
        None => LinkTarget::Opaque(right.to_owned()),
    };
    let left = match members.get("left") {
        None | Some(serde_json::Value::Null) => None,
        Some(left) => {
            let left = left.as_str().and_then(|left| names.event(left));
            Some(left.ok_or_else(|| fault("its left side is no full name of an event"))?)
        }
    };
    if left.as_ref().is_some_and(|left| right == LinkTarget::Event(left.clone())) {
        return Err(fault("both sides are one event"));
    }
    Ok(Link { left, relation, right })
}

/// Returns the links that a member of IEP04's drafts means. These gave relations other places than the schema that was
/// decided on: `related`, `group`, `alternate`, and `links` as triples. If a part is not understood, it gives no link:
/// the member is kept whole as `ext`.
pub(crate) fn read_draft(key: &str, value: &MetaValue<'_>, names: Names<'_>) -> Vec<Link> {
    let relation = match key {
        "related" => "related",
        "group" => "same-report",
        "alternate" => "alternate",
        "links" => {
            return elements(value).iter().flatten().filter_map(|triple| triple_of(triple, names)).collect();
        }
        _ => return Vec::new(),
    };
    let single = value.string().map(|text| serde_json::Value::from(text.into_owned()));
    let elements = elements(value).into_iter().flatten().chain(single);
    elements.filter_map(|element| to(relation, element.as_str()?, names)).collect()
}

fn to(relation: &str, right: &str, names: Names<'_>) -> Option<Link> {
    let relation = Relation::parse(relation)?;
    let right = match names.event(right) {
        Some(id) => LinkTarget::Event(id),
        None if relation.needs_event() => return None,
        None if right.is_empty() || right.len() > LINK_OPAQUE_BYTES_MAX => return None,
        None => LinkTarget::Opaque(right.to_owned()),
    };
    Some(Link { left: None, relation, right })
}

/// Reads `{"left_side": …, "type": "is_parent_event", "right_side": …}`: the left is the parent of the right.
fn triple_of(triple: &serde_json::Value, names: Names<'_>) -> Option<Link> {
    let side = |key: &str| triple.get(key).and_then(serde_json::Value::as_str);
    let (left, right, relation) = (side("left_side")?, side("right_side")?, side("type")?);
    if relation == "is_parent_event" {
        return between("parent", right, left, names);
    }
    between(relation, left, right, names)
}

fn between(relation: &str, left: &str, right: &str, names: Names<'_>) -> Option<Link> {
    let left = names.event(left)?;
    let link = to(relation, right, names)?;
    (link.right != LinkTarget::Event(left.clone())).then_some(Link { left: Some(left), ..link })
}
