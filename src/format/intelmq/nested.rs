//! Takes objects apart that stand for IntelMQ's dots (`{"source": {"ip": …}}`, its hierarchical output): fields come
//! out under their dotted names, the rest is kept as it stands.

use std::collections::HashSet;
use std::ops::Range;

use super::adapt::{AdaptPlan, Subject, Unfit, as_python_reads, is_sound};
use super::value::FieldValue;
use crate::event::json::{self, JsonKind, JsonMember};
use crate::format::edit;
use crate::limits::NESTED_FIELD_LEVELS_MAX;

/// Fields found in one object.
struct NestedField<'s, 'a> {
    subject: &'s Subject<'a>,
    taken: HashSet<String>,
    leaves: Vec<(String, &'a str)>,
    /// Ranges that come out of the object's text.
    cuts: Vec<Range<usize>>,
}

impl<'a> AdaptPlan<'a> {
    /// Takes an object apart; `why` is noted if nothing of it is a field.
    pub(super) fn nested(&mut self, subject: &Subject<'a>, member: &JsonMember<'_>, why: Unfit) {
        let text = &subject.text[member.value_at.clone()];
        let taken = self.put.iter().map(|(key, _)| key.clone()).collect();
        let mut found = NestedField { subject, taken, leaves: Vec::new(), cuts: Vec::new() };
        let whole = found.walk(&member.key, text, 0, 1);
        if found.leaves.is_empty() {
            return self.moves(member, text, why);
        }
        self.note(&member.key, Unfit::Nested);
        self.gone.push(member.key_at.start);
        self.kept += found.leaves.len();
        if !whole {
            found.cuts.sort_unstable_by_key(|cut| cut.start);
            let rest = edit::copy_without(text.as_bytes(), &found.cuts);
            // Cuts begin and end at quotes and commas.
            let rest = String::from_utf8(rest).unwrap_or_default();
            self.moved
                .push((member.key.clone().into_owned(), as_python_reads(rest.into(), JsonKind::Object)));
        }
        let leaves = found.leaves.into_iter();
        self.put.extend(leaves.map(|(path, text)| (subject.feed_key(&path).unwrap_or(path), text.into())));
    }
}

impl<'a> NestedField<'_, 'a> {
    /// Looks for fields in `text`, which stands `at` bytes into the object. Returns true if all of it are.
    fn walk(&mut self, prefix: &str, text: &'a str, at: usize, level: usize) -> bool {
        let members = json::members(text);
        let mut whole = Vec::with_capacity(members.len());
        for member in &members {
            let path = format!("{prefix}.{}", member.key);
            let value = &text[member.value_at.clone()];
            let within = self.cuts.len();
            let goes = self.leaf(&path, value, member.kind)
                || (member.kind == JsonKind::Object
                    && level < NESTED_FIELD_LEVELS_MAX
                    && self.walk(&path, value, at + member.value_at.start, level + 1));
            if goes {
                // It goes as a whole.
                self.cuts.truncate(within);
            }
            whole.push(goes);
        }
        let mut flags = whole.iter();
        let cuts = edit::cuts(&members, |member| {
            let index = members.partition_point(|other| other.key_at.start < member.key_at.start);
            whole[index]
        });
        self.cuts.extend(cuts.into_iter().map(|cut| at + cut.start..at + cut.end));
        flags.all(|goes| *goes)
    }

    /// Returns true if a value is a field's, or nothing at all.
    fn leaf(&mut self, path: &str, text: &'a str, kind: JsonKind) -> bool {
        let value = FieldValue::of(text, kind);
        if value.is_ignored() {
            return true;
        }
        let Some(field) = self.subject.fields.find(path) else { return false };
        let fits = field.accepts(&value) && is_sound(text, kind);
        let members = &self.subject.scan.members;
        let free = !self.taken.contains(path)
            && !self.subject.ours.contains(&path)
            && !members.iter().any(|member| member.key == path);
        if fits && free {
            self.taken.insert(path.to_owned());
            self.leaves.push((path.to_owned(), text));
        }
        fits && free
    }
}
