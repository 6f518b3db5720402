//! `extra`, which IntelMQ takes flat (`extra.a`), as an object and as a string of JSON, and stores flat. IntelMQ stops
//! at both ways of writing together, at keys that its next bot refuses, and at `extra.a` before `extra.a.b`.

use std::borrow::Cow;

use super::adapt::{AdaptPlan, Subject, Unfit, as_python_reads, is_sound};
use super::harmonization::{is_key, says_its_end_twice};
use super::value::FieldValue;
use crate::event::json::{self, JsonKind, JsonMember};
use crate::limits::JSON_DEPTH_MAX;

/// A member below `extra`, at any place.
struct Part<'t> {
    /// `extra.a`
    key: String,
    text: &'t str,
    kind: JsonKind,
    /// Index among the event's members; `None` if it is inside of the object.
    flat: Option<usize>,
    unfit: Option<Unfit>,
}

/// The member `extra` itself.
struct Container<'s, 'm> {
    index: usize,
    member: &'s JsonMember<'m>,
}

impl<'a> AdaptPlan<'a> {
    /// Adapts all of `extra`, and of other fields of its kind.
    pub(super) fn dicts(&mut self, subject: &Subject<'a>) {
        let mut done: Vec<&str> = Vec::new();
        for member in &subject.scan.members {
            match subject.fields.dict_of(&member.key) {
                Some(name) if !done.contains(&name) => {
                    done.push(name);
                    self.dict(subject, name);
                }
                _ => {}
            }
        }
    }

    fn dict(&mut self, subject: &Subject<'a>, name: &str) {
        let members = subject.scan.members.iter().enumerate();
        let mut flats: Vec<(usize, &JsonMember<'a>)> = Vec::new();
        let mut container = None;
        for (index, member) in members.filter(|(_, member)| subject.fields.dict_of(&member.key) == Some(name))
        {
            if member.key == name {
                container = Some(Container { index, member })
            } else {
                flats.push((index, member))
            }
        }
        let mut parts: Vec<Part<'_>> =
            flats.iter().map(|(index, member)| Part::flat(subject, *index, member)).collect();
        let Some(container) = container else {
            self.settle(subject, name, parts, None);
            return;
        };
        let text = &subject.text[container.member.value_at.clone()];
        let value = FieldValue::of(text, container.member.kind);
        if value.is_ignored() {
            if !flats.is_empty() {
                self.gone.push(container.member.key_at.start);
            }
            self.settle(subject, name, parts, None);
            return;
        }
        let inside: Cow<'_, str> = match value {
            FieldValue::Text(inside) => inside,
            _ => text.into(),
        };
        let scan = json::scan(inside.as_bytes(), JSON_DEPTH_MAX);
        let Some(scan) = scan.ok().filter(|scan| !scan.members.is_empty()) else {
            self.moves(container.member, text, Unfit::Value);
            self.settle(subject, name, parts, None);
            return;
        };
        parts.extend(scan.members.iter().map(|member| Part::inside(subject, name, &inside, member)));
        self.settle(subject, name, parts, Some(container));
    }

    /// Decides on all parts of one field, and on its object.
    fn settle(
        &mut self,
        subject: &Subject<'a>,
        name: &str,
        mut parts: Vec<Part<'_>>,
        container: Option<Container<'_, '_>>,
    ) {
        let late = find_clashes(&mut parts);
        let stays = container.as_ref().is_none_or(|container| {
            let whole = parts.iter().all(|part| part.flat.is_some() || part.unfit.is_none());
            // Behind a flat one IntelMQ refuses the object.
            whole && parts.iter().filter_map(|part| part.flat).all(|index| index > container.index)
        });
        let mut rest: Vec<&Part<'_>> = Vec::new();
        for part in &parts {
            match part.flat {
                Some(index) => self.flat(subject, &subject.scan.members[index], part, container.is_some()),
                None if part.unfit.is_some() => rest.push(part),
                None if FieldValue::of(part.text, part.kind).is_ignored() => {}
                None => {
                    self.kept += 1;
                    if !stays {
                        self.put.push((part.key.clone(), one_line(part.text).into()));
                    }
                }
            }
        }
        for index in late.into_iter().rev() {
            let Some(part) = parts.get(index) else { continue };
            let Some(member) = part.flat.and_then(|index| subject.scan.members.get(index)) else { continue };
            self.gone.push(member.key_at.start);
            self.put.push((part.key.clone(), subject.text[member.value_at.clone()].into()));
        }
        let Some(container) = container.filter(|_| !stays) else { return };
        self.gone.push(container.member.key_at.start);
        let first = rest
            .first()
            .map_or((name, Unfit::Clash), |part| (&*part.key, part.unfit.unwrap_or(Unfit::Clash)));
        self.note(first.0, first.1);
        if !rest.is_empty() {
            self.moved.push((name.to_owned(), object_of(name, &rest).into()));
        }
    }

    fn flat(&mut self, subject: &Subject<'a>, member: &JsonMember<'_>, part: &Part<'_>, beside_object: bool) {
        let text = &subject.text[member.value_at.clone()];
        match part.unfit {
            None if FieldValue::of(text, member.kind).is_ignored() => {
                // It has no value, but it would be in the way of the object's member.
                if beside_object {
                    self.gone.push(member.key_at.start);
                }
            }
            None => self.kept += 1,
            Some(why) => self.moves(member, text, why),
        }
    }
}

impl<'t> Part<'t> {
    fn flat(subject: &Subject<'t>, index: usize, member: &JsonMember<'_>) -> Self {
        let text = &subject.text[member.value_at.clone()];
        let key = member.key.clone().into_owned();
        let ignored = FieldValue::of(text, member.kind).is_ignored() && !is_reserved(&key);
        let unfit = if ignored { None } else { unfit(subject, &key, text, member.kind) };
        Self { key, text, kind: member.kind, flat: Some(index), unfit }
    }

    fn inside(subject: &Subject<'_>, name: &str, inside: &'t str, member: &JsonMember<'_>) -> Self {
        let text = &inside[member.value_at.clone()];
        let key = format!("{name}.{}", member.key);
        let unfit = unfit(subject, &key, text, member.kind);
        Self { key, text, kind: member.kind, flat: None, unfit }
    }

    /// Returns true if it takes no place in IntelMQ's event.
    fn is_nothing(&self) -> bool {
        self.unfit.is_some() || (self.flat.is_some() && FieldValue::of(self.text, self.kind).is_ignored())
    }
}

/// Returns true if the key is ours, or below it.
fn is_reserved(key: &str) -> bool {
    key.strip_prefix("extra.intelmesh").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns true if one stands inside of the other.
fn is_below(key: &str, other: &str) -> bool {
    key.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'))
}

fn unfit(subject: &Subject<'_>, key: &str, text: &str, kind: JsonKind) -> Option<Unfit> {
    let ours = subject.ours.iter().any(|ours| *ours == key || is_below(key, ours) || is_below(ours, key));
    if is_reserved(key) || ours {
        return Some(Unfit::Reserved);
    }
    if !is_sound(text, kind) {
        return Some(Unfit::Number);
    }
    match subject.fields.find(key) {
        Some(field) if !field.accepts(&FieldValue::of(text, kind)) => Some(Unfit::Value),
        None if !is_key(key) => Some(Unfit::Key),
        _ if says_its_end_twice(key) => Some(Unfit::Key),
        _ => None,
    }
}

/// Finds parts that clash. Of two in one place the flat one stays, and of one inside of another the inner. Two flat
/// ones both stay, as in IntelMQ itself, but the outer comes last: only before the inner it stops the code that makes
/// objects of dots. Returns the indexes of those, outer ones first.
fn find_clashes(parts: &mut [Part<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..parts.len()).filter(|index| !parts[*index].is_nothing()).collect();
    // A point sorts before all other bytes of keys, so members inside of a key follow it at once.
    order.sort_unstable_by(|left, right| {
        let (left, right) = (&parts[*left], &parts[*right]);
        left.key.cmp(&right.key).then(left.flat.is_some().cmp(&right.flat.is_some()))
    });
    let mut late = Vec::new();
    for (at, first) in order.iter().enumerate() {
        let inside =
            order[at + 1..].iter().take_while(|next| is_below(&parts[**next].key, &parts[*first].key));
        let (any, all_flat) =
            inside.fold((false, true), |(_, flat), next| (true, flat && parts[*next].flat.is_some()));
        let twice = order.get(at + 1).is_some_and(|next| parts[*next].key == parts[*first].key);
        if any && all_flat && !twice && parts[*first].flat.is_some() {
            late.push(*first);
        } else if any || twice {
            parts[*first].unfit = Some(Unfit::Clash);
        }
    }
    late
}

/// Returns the rest of the object, as the object that it was.
fn object_of(name: &str, rest: &[&Part<'_>]) -> String {
    let mut text = String::from("{");
    for (index, part) in rest.iter().enumerate() {
        let key = serde_json::Value::from(&part.key[name.len() + 1..]);
        let value = one_line(part.text);
        let value = as_python_reads(value.into(), part.kind);
        text.push_str(&format!("{}{key}:{value}", if index == 0 { "" } else { "," }));
    }
    text.push('}');
    text
}

/// Joins the lines of a string of JSON, which may have line breaks between its tokens.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], "")
}
