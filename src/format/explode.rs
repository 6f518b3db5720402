//! Multiple values (IEP03): an event that has lists as fields becomes one event for each combination of their values,
//! in the text of the line but for the lists. `intake` links and names such events.

use std::collections::BTreeSet;

use super::refusal::{SubmitCode, SubmitError};
use crate::event::json::{self, JsonKind, JsonMember};
use crate::limits::EXPLODED_BYTES_MAX;

/// Fields named in an error.
const FIELDS_SHOWN: usize = 8;

/// Returns true if this member of an IntelMQ event is a list of values instead of one. Lists below `extra` are values.
pub(crate) fn is_list(member: &JsonMember<'_>) -> bool {
    member.kind == JsonKind::Array && member.key != "extra" && !member.key.starts_with("extra.")
}

struct ListField<'a> {
    member: &'a JsonMember<'a>,
    values: Vec<&'a str>,
}

/// Returns all single-valued texts of `payload`, one line of checked JSON; `lists` are the members to take apart. The
/// last list changes fastest; a repeated value counts once.
///
/// # Errors
/// `multi_value`: an empty list, a list of lists or objects, more than `most` combinations or too many bytes of them.
pub(crate) fn product(
    payload: &str,
    lists: &[&JsonMember<'_>],
    most: usize,
) -> Result<Vec<String>, SubmitError> {
    let lists = lists.iter().map(|member| ListField::read(payload, member)).collect::<Result<Vec<_>, _>>()?;
    let events = lists.iter().fold(1usize, |events, list| events.saturating_mul(list.values.len()));
    if events > most {
        return Err(too_many(&lists, events, most));
    }
    let bytes = events.saturating_mul(payload.len());
    if bytes > EXPLODED_BYTES_MAX {
        let what = format!(
            "{events} events of about {} bytes each, at most {EXPLODED_BYTES_MAX} bytes of one line",
            payload.len()
        );
        return Err(SubmitError::new(SubmitCode::MultiValue, what)
            .hint("submit the large field in an event of its own, and link them"));
    }
    Ok((0..events).map(|number| combination(payload, &lists, number)).collect())
}

/// Returns the text with the `number`th combination of values.
fn combination(payload: &str, lists: &[ListField<'_>], number: usize) -> String {
    let mut rest = number;
    let mut chosen: Vec<&str> = Vec::with_capacity(lists.len());
    for list in lists.iter().rev() {
        chosen.push(list.values[rest % list.values.len()]);
        rest /= list.values.len();
    }
    let mut out = String::with_capacity(payload.len());
    let mut at = 0;
    for (list, value) in lists.iter().zip(chosen.iter().rev()) {
        out.push_str(&payload[at..list.member.value_at.start]);
        out.push_str(value);
        at = list.member.value_at.end;
    }
    out.push_str(&payload[at..]);
    out
}

impl<'a> ListField<'a> {
    fn read(payload: &'a str, member: &'a JsonMember<'a>) -> Result<Self, SubmitError> {
        let text = &payload[member.value_at.clone()];
        let fault = |what: &str| {
            let key: String = member.key.chars().take(80).collect();
            SubmitError::new(SubmitCode::MultiValue, format!("\"{key}\" is {what}"))
        };
        let mut values = Vec::new();
        let mut known = BTreeSet::new();
        for value in json::elements(text) {
            let is_new = match value.as_bytes().first() {
                Some(b'[') => {
                    return Err(fault("a list of lists").hint("a field has values, or a list of values"));
                }
                Some(b'{') => {
                    return Err(fault("a list of objects").hint("a field has values, or a list of values"));
                }
                Some(b'"') => known.insert(json::unescape(value)),
                _ => known.insert(value.to_owned()),
            };
            if is_new {
                values.push(value);
            }
        }
        if values.is_empty() {
            return Err(fault("an empty list").hint("leave the field out"));
        }
        Ok(Self { member, values })
    }
}

fn too_many(lists: &[ListField<'_>], events: usize, most: usize) -> SubmitError {
    let shown = |list: &ListField<'_>| {
        format!("\"{}\" ({})", list.member.key.chars().take(80).collect::<String>(), list.values.len())
    };
    let mut fields: Vec<String> = lists.iter().take(FIELDS_SHOWN).map(shown).collect();
    if lists.len() > FIELDS_SHOWN {
        fields.push(format!("{} more", lists.len() - FIELDS_SHOWN));
    }
    let count = if events == usize::MAX { "too many".to_owned() } else { events.to_string() };
    let what = format!("the values of {} make {count} events, at most {most}", fields.join(" x "));
    SubmitError::new(SubmitCode::MultiValue, what).hint("send fewer values in one event")
}

#[cfg(test)]
mod tests;
