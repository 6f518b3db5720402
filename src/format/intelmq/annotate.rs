//! Adds `extra.intelmesh.*` to an event at the hand-off: it is known by this when it comes back. Other fields say which
//! events it takes back or replaces. If an event has members under these names itself, they are moved away before.

use std::borrow::Cow;

use thiserror::Error;

use super::adapt::{AdaptPlan, Unfit};
use super::harmonization::{FieldList, is_key, says_its_end_twice};
use super::value::FieldValue;
use crate::event::json::JsonKind;
use crate::format::handoff::Carried;
use crate::identity::EventId;
use crate::link::{Link, LinkTarget};

/// Names below `extra.intelmesh.` that have a meaning of their own.
const TAKEN: [&str; 8] = ["uuid", "part", "publisher", "path", "tlp", "moved", "feed", "time_observation"];

/// Fields, and their values as JSON text.
pub(super) type AnnotationSource<'s> = Vec<(&'s str, String)>;

/// Why a field cannot show relations.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RelationFieldError {
    #[error("\"{0}\" is no field that IntelMQ can have: a-z, 0-9 and _, parts with dots between")]
    Key(String),
    #[error("\"{0}\" is written for something else")]
    Taken(String),
    #[error("\"{0}\" is named twice, or stands inside of another")]
    Twice(String),
}

/// The fields that show a consumer of plain events which events an event withdraws or replaces, and which do so to it.
/// If a name is empty, that is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationFields {
    withdraws: String,
    replaces: String,
    withdrawn_by: String,
    replaced_by: String,
}

impl Default for RelationFields {
    fn default() -> Self {
        let name = |name: &str| format!("extra.intelmesh.{name}");
        Self {
            withdraws: name("withdraws"),
            replaces: name("replaces"),
            withdrawn_by: name("withdrawn_by"),
            replaced_by: name("replaced_by"),
        }
    }
}

impl RelationFields {
    /// # Errors
    /// [`RelationFieldError`] for a name that is not a key of IntelMQ's, is ours already, or is given twice.
    pub fn new(
        withdraws: &str,
        replaces: &str,
        withdrawn_by: &str,
        replaced_by: &str,
    ) -> Result<Self, RelationFieldError> {
        let names = [withdraws, replaces, withdrawn_by, replaced_by];
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            check(name)?;
            let below = |left: &str, right: &str| {
                left.strip_prefix(right).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let others = names.iter().enumerate().filter(|(other, text)| *other != index && !text.is_empty());
            if others.into_iter().any(|(_, other)| below(name, other)) {
                return Err(RelationFieldError::Twice((*name).to_owned()));
            }
        }
        Ok(Self {
            withdraws: withdraws.to_owned(),
            replaces: replaces.to_owned(),
            withdrawn_by: withdrawn_by.to_owned(),
            replaced_by: replaced_by.to_owned(),
        })
    }

    /// Returns the fields to add for the event's links, with their values as JSON text.
    pub(super) fn told_by<'s>(&'s self, carried: &Carried<'_>) -> AnnotationSource<'s> {
        let mut told = Vec::new();
        for (field, relation) in [(&self.withdraws, "withdraws"), (&self.replaces, "replaces")] {
            let taken = carried.links().iter().filter(|link| link.relation.as_str() == relation);
            let ids: Vec<&EventId> = taken.filter_map(|link| counting(link, carried)).collect();
            if !field.is_empty() && !ids.is_empty() {
                told.push((field.as_str(), as_json(&ids)));
            }
        }
        for (field, id) in
            [(&self.withdrawn_by, carried.withdrawn_by), (&self.replaced_by, carried.replaced_by)]
        {
            if let Some(id) = id.filter(|_| !field.is_empty()) {
                told.push((field.as_str(), as_json(&[id])));
            }
        }
        told
    }
}

/// Returns the event that the carried one takes back with `link`: its own publisher's, and in the open (docs/LINKS.md).
/// A consumer of plain events sees only the field, and would believe another's claim.
fn counting<'a>(link: &'a Link, carried: &Carried<'_>) -> Option<&'a EventId> {
    let own = carried.envelope.id();
    let of_its_own = link.left.as_ref().is_none_or(|left| left == own) && !carried.core().body.is_sealed();
    match &link.right {
        LinkTarget::Event(id) if of_its_own && id.publisher == own.publisher && id != own => Some(id),
        _ => None,
    }
}

fn check(name: &str) -> Result<(), RelationFieldError> {
    if !is_key(name) || says_its_end_twice(name) || name == "extra" {
        return Err(RelationFieldError::Key(name.chars().take(120).collect()));
    }
    let inside = name.strip_prefix("extra.intelmesh.").map(|rest| rest.split('.').next().unwrap_or(rest));
    if name == "extra.intelmesh" || inside.is_some_and(|part| TAKEN.contains(&part)) {
        return Err(RelationFieldError::Taken(name.to_owned()));
    }
    Ok(())
}

/// Writes one full name as a string, several as a list of them; names need no escapes.
fn as_json(ids: &[&EventId]) -> String {
    match ids {
        [id] => format!("\"{id}\""),
        _ => {
            let names: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
            format!("[{}]", names.join(","))
        }
    }
}

/// Adds the members by which a returning event is known (decisions/0014).
pub(super) fn annotate(carried: &Carried<'_>, plan: &mut AdaptPlan<'_>) {
    let core = carried.core();
    let mut put = |name: &str, value: String| {
        plan.put.push((format!("extra.intelmesh.{name}"), Cow::Owned(format!("\"{value}\""))));
    };
    put("uuid", core.id.to_string());
    if let Some(part) = carried.converted.and_then(|converted| converted.part.as_ref()) {
        put("part", part.clone());
    }
    put("publisher", core.id.publisher.to_string());
    if !carried.path.is_empty() {
        put("path", carried.path.to_string());
    }
    put("tlp", core.tlp.to_string());
}

/// Splits the values of the event's links into those that their field accepts, and the others.
pub(super) fn that_fit<'s>(
    told: AnnotationSource<'s>,
    fields: &FieldList,
) -> (AnnotationSource<'s>, AnnotationSource<'s>) {
    told.into_iter().partition(|(name, value)| {
        let kind = if value.starts_with('[') { JsonKind::Array } else { JsonKind::String };
        match fields.find(name) {
            Some(field) => field.accepts(&FieldValue::of(value, kind)),
            None => fields.dict_of(name).is_some(),
        }
    })
}

/// Adds the values of the event's links: in their field, or kept with the rest, unless the event's own value of that
/// name is kept there.
pub(super) fn relate((fit, unfit): (AnnotationSource<'_>, AnnotationSource<'_>), plan: &mut AdaptPlan<'_>) {
    plan.put.extend(fit.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
    for (name, value) in unfit {
        plan.note(name, Unfit::Value);
        if !plan.moved.iter().any(|(moved, _)| moved == name) {
            plan.moved.push((name.to_owned(), value.into()));
        }
    }
}

/// Appends one member and its comma.
pub(super) fn put_member(out: &mut Vec<u8>, first: &mut bool, key: &str, value: &str) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
    let plain = key.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(key).to_string().as_bytes());
    }
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests;
