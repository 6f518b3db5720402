//! Finds the parts of a payload that are removed before it is signed: `__type`, the traces of a hand-off
//! (`extra.intelmesh.*`, decisions/0014), and the fields that stay at home. Each may stand as a flat key
//! (`extra.file_name`), inside objects, or inside an `extra` that is a string of JSON, as IntelMQ writes it. The rest of
//! the text is not touched, and nothing is judged here.

use std::borrow::Cow;
use std::ops::Range;

use super::{StripRule, below, is_above};
use crate::event::json::{self, EscapedPlaces, JsonKind, JsonMember, JsonScan};
use crate::format::edit;
use crate::format::meta::string_of;
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::limits::JSON_DEPTH_MAX;

/// A hand-off to IntelMQ adds its members below this key.
const TRACES: &str = "extra.intelmesh";
const TRACE_UUID: &str = "extra.intelmesh.uuid";
/// An unreadable text contains this word if it may have such a trace.
const TRACE_WORD: &str = "intelmesh";

/// Parts that are removed from a payload before it is signed.
#[derive(Default)]
pub(crate) struct RemovedParts {
    /// Parts of the text, ascending and apart. Each is one member or several, with the commas that go with them.
    pub cuts: Vec<Range<usize>>,
    /// The value of `extra.intelmesh.uuid`: the event was handed off before, under this id.
    pub uuid: Option<String>,
}

impl RemovedParts {
    /// Looks for `__type`, traces of a hand-off, and fields that `rules` name.
    ///
    /// # Errors
    /// `bad_json` if `extra` is a string that cannot be read and may hold fields that should stay at home.
    pub(crate) fn find(scan: &JsonScan<'_>, rules: &[StripRule]) -> Result<Self, SubmitError> {
        let mut search = PartSearch { rules, found: Self::default() };
        search.object(&ObjectInside { text: scan.text, offset: 0, path: "" }, &scan.members)?;
        let mut found = search.found;
        found.cuts.sort_unstable_by_key(|cut| cut.start);
        Ok(found)
    }

    /// Returns true if this member of the outermost object stays.
    pub(crate) fn keeps(&self, member: &JsonMember<'_>) -> bool {
        let before = self.cuts.partition_point(|cut| cut.end <= member.key_at.start);
        self.cuts.get(before).is_none_or(|cut| cut.start > member.key_at.start)
    }
}

/// An object that is searched. `text` is what the places of its members count in; it begins at `offset` of the payload.
struct ObjectInside<'a> {
    text: &'a str,
    offset: usize,
    /// The field that the object is; empty for the payload itself.
    path: &'a str,
}

impl ObjectInside<'_> {
    fn path_of<'m>(&self, member: &'m JsonMember<'_>) -> Cow<'m, str> {
        if self.path.is_empty() {
            return Cow::Borrowed(&*member.key);
        }
        Cow::Owned(format!("{}.{}", self.path, member.key))
    }

    fn value<'t>(&'t self, member: &JsonMember<'_>) -> &'t str {
        &self.text[member.value_at.clone()]
    }
}

struct PartSearch<'a> {
    rules: &'a [StripRule],
    found: RemovedParts,
}

impl PartSearch<'_> {
    /// Adds the cuts of one object. Returns true if no member stays: then the object itself need not stay either.
    fn object(&mut self, object: &ObjectInside<'_>, members: &[JsonMember<'_>]) -> Result<bool, SubmitError> {
        let mut removed = Vec::new();
        for member in members {
            let path = object.path_of(member);
            if self.is_removed(object, member, &path) || self.is_emptied(object, member, &path)? {
                removed.push(member.key_at.start);
            }
        }
        let cuts = edit::cuts(members, |member| removed.binary_search(&member.key_at.start).is_ok());
        let offset = object.offset;
        self.found.cuts.extend(cuts.into_iter().map(|cut| offset + cut.start..offset + cut.end));
        Ok(!members.is_empty() && removed.len() == members.len())
    }

    /// Returns true if a member is removed with all that is in it. Notes the id if it is a trace.
    fn is_removed(&mut self, object: &ObjectInside<'_>, member: &JsonMember<'_>, path: &str) -> bool {
        if below(path, TRACES) {
            self.note_trace(object, member, path);
            return true;
        }
        let value = || string_of(object.text, member).map(Cow::into_owned);
        path == "__type" || self.rules.iter().any(|rule| rule.matches(path, value))
    }

    /// Notes the id in a trace, however deep `extra.intelmesh.uuid` is nested.
    fn note_trace(&mut self, object: &ObjectInside<'_>, member: &JsonMember<'_>, path: &str) {
        let value = object.value(member);
        if path == TRACE_UUID && value != "null" {
            let string = string_of(object.text, member).map(Cow::into_owned);
            self.found.uuid.get_or_insert(string.unwrap_or_else(|| value.to_owned()));
        } else if is_above(path, TRACE_UUID) {
            let inside = ObjectInside { text: value, offset: 0, path };
            for member in &json::members(value) {
                self.note_trace(&inside, member, &inside.path_of(member));
            }
        }
    }

    /// Looks inside a member that stays. Returns true if nothing in it does.
    fn is_emptied(
        &mut self,
        object: &ObjectInside<'_>,
        member: &JsonMember<'_>,
        path: &str,
    ) -> Result<bool, SubmitError> {
        let ruled = self.rules.iter().any(|rule| rule.reaches_below(path));
        if !ruled && !is_above(path, TRACES) {
            return Ok(false);
        }
        let before = self.found.cuts.len();
        let emptied = match member.kind {
            JsonKind::Object => {
                let text = object.value(member);
                let offset = object.offset + member.value_at.start;
                self.object(&ObjectInside { text, offset, path }, &json::members(text))?
            }
            JsonKind::String if path == "extra" => self.string(object, member, ruled)?,
            _ => false,
        };
        if emptied {
            // It is removed as a whole, and so are the parts found in it.
            self.found.cuts.truncate(before);
        }
        Ok(emptied)
    }

    /// Looks inside an `extra` that is a string. IntelMQ reads it as JSON, and even accepts invalid JSON (NaN) in it:
    /// this must not hide that an event was handed off before. If the string cannot be read and a field in it may have
    /// to stay at home, the event is refused. `ruled`: a rule names something below `extra`.
    fn string(
        &mut self,
        object: &ObjectInside<'_>,
        member: &JsonMember<'_>,
        ruled: bool,
    ) -> Result<bool, SubmitError> {
        let inside = string_of(object.text, member).unwrap_or_default();
        let fault = match json::scan(inside.as_bytes(), JSON_DEPTH_MAX) {
            Ok(scan) => return self.inside_string(object, member, &inside, &scan),
            Err(_) if !inside.trim_start().starts_with('{') => return Ok(false),
            Err(fault) => fault,
        };
        let finite = with_finite_numbers(&inside);
        match json::scan(finite.as_bytes(), JSON_DEPTH_MAX) {
            Ok(scan) => {
                let emptied = self.inside_string(object, member, &finite, &scan)?;
                if self.found.uuid.is_some() || !ruled {
                    return Ok(emptied);
                }
            }
            Err(_) if ruled || may_name_a_trace(&inside) => {}
            Err(_) => return Ok(false),
        }
        let what = format!("\"extra\" is a string that holds no readable JSON: {fault}");
        Err(SubmitError::new(SubmitCode::BadJson, what)
            .hint("fields below `extra` that stay at home cannot be taken out of it"))
    }

    /// Looks inside `plain`, the text that the string `member` stands for, or one of the same length. Its cuts become
    /// cuts of the escaped text.
    fn inside_string(
        &mut self,
        object: &ObjectInside<'_>,
        member: &JsonMember<'_>,
        plain: &str,
        scan: &JsonScan<'_>,
    ) -> Result<bool, SubmitError> {
        let outer = std::mem::take(&mut self.found.cuts);
        let emptied = self.object(&ObjectInside { text: plain, offset: 0, path: "extra" }, &scan.members)?;
        let mut cuts = std::mem::replace(&mut self.found.cuts, outer);
        cuts.sort_unstable_by_key(|cut| cut.start);
        let quoted = object.value(member);
        let start = object.offset + member.value_at.start + 1;
        let mut places = EscapedPlaces::new(&quoted[1..quoted.len() - 1]);
        for cut in cuts {
            let (from, to) = (places.of(cut.start), places.of(cut.end));
            self.found.cuts.push(start + from..start + to);
        }
        Ok(emptied)
    }
}

fn may_name_a_trace(text: &str) -> bool {
    text.contains(TRACE_WORD) || json::unescape(text).contains(TRACE_WORD)
}

/// Returns `text` with a 0 and spaces for each number that Python reads and JSON has not, and as long.
fn with_finite_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut rest) = (false, text);
    while let Some(next) = rest.chars().next() {
        let odd = ["NaN", "Infinity", "-Infinity"].into_iter().find(|odd| rest.starts_with(odd));
        let step = match odd.filter(|_| !in_string) {
            Some(odd) => {
                out.extend(std::iter::once('0').chain(std::iter::repeat_n(' ', odd.len() - 1)));
                odd.len()
            }
            None => {
                in_string ^= next == '"';
                let escaped = rest[next.len_utf8()..].chars().next().filter(|_| in_string && next == '\\');
                let step = next.len_utf8() + escaped.map_or(0, char::len_utf8);
                out.push_str(&rest[..step]);
                step
            }
        };
        rest = &rest[step..];
    }
    out
}
