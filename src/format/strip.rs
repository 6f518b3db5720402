//! Fields that stay at home: a door takes them out of an event before it is signed. It also takes out members that we
//! added at a hand-off before (`extra.intelmesh.*`, decisions/0014), in each way that IntelMQ writes `extra`. The
//! rest of the text is not touched, and nothing is judged here.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use thiserror::Error;

use super::edit;
use super::meta::string_of;
use super::refusal::{SubmitCode, SubmitError};
use crate::event::json::{self, JsonKind, JsonMember, JsonScan};
use crate::limits::{JSON_DEPTH_MAX, STRIP_RULE_BYTES_MAX};

/// A hand-off to IntelMQ adds its members below this key.
const TRACES: &str = "extra.intelmesh";
const TRACE_UUID: &str = "extra.intelmesh.uuid";
/// An unreadable text contains this word if it may have such a trace.
const TRACE_WORD: &str = "intelmesh";

/// A field that stays at home, as an operator writes it: `rtir_id` (the field, and all below it), `extra.*` (only what
/// is below), `feed.url=file:*` (if the value begins so, without regard to case), `feed.name=internal` (if it is that).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripRule {
    path: String,
    /// False for `extra.*`.
    itself: bool,
    value: Option<ValueRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ValueRule {
    Is(String),
    Begins(String),
}

/// The operator's fault in a list of fields.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is not a field to strip")]
pub struct StripRuleError(String);

impl StripRuleError {
    pub fn hint(&self) -> &'static str {
        "a field as \"extra.file_name\", \"extra.*\" for all below it, or \"feed.url=file:*\" for its values that begin so"
    }
}

impl StripRule {
    /// # Errors
    /// [`StripRuleError`].
    pub fn parse(text: &str) -> Result<Self, StripRuleError> {
        let fault = || StripRuleError(text.chars().take(80).collect());
        if text.len() > STRIP_RULE_BYTES_MAX {
            return Err(fault());
        }
        let (field, value) = match text.split_once('=') {
            Some((field, value)) => (field, Some(value)),
            None => (text, None),
        };
        let (path, itself) = field.strip_suffix(".*").map_or((field, true), |path| (path, false));
        let odd = |char: char| char == '*' || char.is_whitespace() || char.is_control();
        if path.split('.').any(|part| part.is_empty() || part.contains(odd)) || (value.is_some() && !itself) {
            return Err(fault());
        }
        let value = value.map(|value| match value.strip_suffix('*') {
            Some(prefix) => ValueRule::Begins(prefix.to_owned()),
            None => ValueRule::Is(value.to_owned()),
        });
        Ok(Self { path: path.to_owned(), itself, value })
    }

    /// The fields that stay at home at doors to IntelMQ if they configure nothing else. `extra.certbund` has names and
    /// addresses of people that the CERT writes to (intelmq-certbund-contact).
    pub const INTELMQ_DEFAULTS: [&str; 4] =
        ["rtir_id", "extra.file_name", "feed.url=file:*", "extra.certbund"];

    /// Other fields of IntelMQ that are often local, for the operator to choose from.
    pub const OFTEN_LOCAL: [&str; 18] = [
        "classification.identifier",
        "comment",
        "constituency",
        "destination.abuse_contact",
        "event_hash",
        "extra.recipient_address",
        "extra.source_contacts",
        "extra.ticket_number",
        "feed.code",
        "feed.documentation",
        "feed.url",
        "misp.attribute_uuid",
        "misp.event_uuid",
        "output",
        "screenshot_url",
        "severity",
        "source.abuse_contact",
        "status",
    ];

    pub fn intelmq_defaults() -> Vec<Self> {
        Self::INTELMQ_DEFAULTS.iter().filter_map(|text| Self::parse(text).ok()).collect()
    }

    fn matches(&self, path: &str, value: impl FnOnce() -> Option<String>) -> bool {
        match &self.value {
            None => below(path, &self.path) && (self.itself || path.len() > self.path.len()),
            Some(rule) => path == self.path && value().is_some_and(|value| rule.matches(&value)),
        }
    }

    /// Returns true if something below `path` may match.
    fn reaches_below(&self, path: &str) -> bool {
        is_above(path, &self.path) || (!self.itself && path == self.path)
    }
}

impl fmt::Display for StripRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.itself { "" } else { ".*" };
        match &self.value {
            None => write!(f, "{}{all}", self.path),
            Some(ValueRule::Is(value)) => write!(f, "{}={value}", self.path),
            Some(ValueRule::Begins(prefix)) => write!(f, "{}={prefix}*", self.path),
        }
    }
}

impl ValueRule {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => value == wanted,
            // Schemes of URLs have no case.
            Self::Begins(prefix) => {
                value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            }
        }
    }
}

/// Returns true if `path` is the field `name`, or below it.
fn below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns true if `name` is below `path`, and not that itself.
fn is_above(path: &str, name: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

/// Parts that leave a payload before it is signed.
#[derive(Default)]
pub struct Leaving {
    /// Parts of the text, ascending and apart.
    pub cuts: Vec<Range<usize>>,
    /// The value of `extra.intelmesh.uuid`.
    pub uuid: Option<String>,
}

impl Leaving {
    /// Looks for `__type`, traces of a hand-off, and fields that `rules` name.
    ///
    /// # Errors
    /// `bad_json` if `extra` is a string that cannot be read and may hold fields that should stay at home.
    pub fn find(text: &str, scan: &JsonScan<'_>, rules: &[StripRule]) -> Result<Self, SubmitError> {
        let mut finder = Finder { rules, leaving: Self::default() };
        finder.walk(&NestingLevel { text, at: 0, path: "" }, &scan.members)?;
        let mut leaving = finder.leaving;
        leaving.cuts.sort_unstable_by_key(|cut| cut.start);
        Ok(leaving)
    }

    /// Returns true if this member of the outermost object stays.
    pub fn keeps(&self, member: &JsonMember<'_>) -> bool {
        let before = self.cuts.partition_point(|cut| cut.end <= member.key_at.start);
        self.cuts.get(before).is_none_or(|cut| cut.start > member.key_at.start)
    }
}

/// An object inside the payload: the text that its members' places count in, the offset of that text in the payload,
/// and its field.
struct NestingLevel<'a> {
    text: &'a str,
    at: usize,
    path: &'a str,
}

impl NestingLevel<'_> {
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

struct Finder<'a> {
    rules: &'a [StripRule],
    leaving: Leaving,
}

impl Finder<'_> {
    /// Adds the parts that leave of one object. Returns true if all of it does.
    fn walk(&mut self, level: &NestingLevel<'_>, members: &[JsonMember<'_>]) -> Result<bool, SubmitError> {
        let mut gone = Vec::new();
        for member in members {
            let path = level.path_of(member);
            if self.leaves(level, member, &path)? || self.leaves_empty(level, member, &path)? {
                gone.push(member.key_at.start);
            }
        }
        let cuts = edit::cuts(members, |member| gone.binary_search(&member.key_at.start).is_ok());
        self.leaving.cuts.extend(cuts.into_iter().map(|cut| level.at + cut.start..level.at + cut.end));
        Ok(!members.is_empty() && gone.len() == members.len())
    }

    fn leaves(
        &mut self,
        level: &NestingLevel<'_>,
        member: &JsonMember<'_>,
        path: &str,
    ) -> Result<bool, SubmitError> {
        if below(path, TRACES) {
            self.read_trace(level.value(member), member, path, level)?;
            return Ok(true);
        }
        let typed = level.path.is_empty() && path == "__type";
        let value = || string_of(level.text, member).map(Cow::into_owned);
        Ok(typed || self.rules.iter().any(|rule| rule.matches(path, value)))
    }

    fn read_trace(
        &mut self,
        value: &str,
        member: &JsonMember<'_>,
        path: &str,
        level: &NestingLevel<'_>,
    ) -> Result<(), SubmitError> {
        if path == TRACE_UUID && value != "null" {
            let string = string_of(level.text, member).map(Cow::into_owned);
            self.leaving.uuid.get_or_insert(string.unwrap_or_else(|| value.to_owned()));
        } else if is_above(path, TRACE_UUID) && member.kind == JsonKind::Object {
            let inside = NestingLevel { text: value, at: 0, path };
            for member in &json::scan(value.as_bytes(), JSON_DEPTH_MAX)?.members {
                self.read_trace(inside.value(member), member, &inside.path_of(member), &inside)?;
            }
        }
        Ok(())
    }

    /// Looks inside a member. Returns true if nothing of it stays.
    fn leaves_empty(
        &mut self,
        level: &NestingLevel<'_>,
        member: &JsonMember<'_>,
        path: &str,
    ) -> Result<bool, SubmitError> {
        let ruled = self.rules.iter().any(|rule| rule.reaches_below(path));
        if !ruled && !is_above(path, TRACES) {
            return Ok(false);
        }
        let before = self.leaving.cuts.len();
        let all = match member.kind {
            JsonKind::Object => {
                let value = level.value(member);
                let scan = json::scan(value.as_bytes(), JSON_DEPTH_MAX)?;
                self.walk(
                    &NestingLevel { text: value, at: level.at + member.value_at.start, path },
                    &scan.members,
                )?
            }
            JsonKind::String if path == "extra" => self.walk_string(level, member, ruled)?,
            _ => false,
        };
        if all {
            self.leaving.cuts.truncate(before);
        }
        Ok(all)
    }

    /// Looks inside an `extra` that is a string. IntelMQ reads it as JSON, and even accepts invalid JSON (NaN) in it:
    /// this must not hide from where an event came.
    fn walk_string(
        &mut self,
        level: &NestingLevel<'_>,
        member: &JsonMember<'_>,
        ruled: bool,
    ) -> Result<bool, SubmitError> {
        let inside = string_of(level.text, member).unwrap_or_default();
        let fault = match json::scan(inside.as_bytes(), JSON_DEPTH_MAX) {
            Ok(scan) => return self.walk_inside(level, member, &inside, &scan),
            Err(_) if !inside.trim_start().starts_with('{') => return Ok(false),
            Err(fault) => fault,
        };
        let finite = with_finite_numbers(&inside);
        match json::scan(finite.as_bytes(), JSON_DEPTH_MAX) {
            Ok(scan) => {
                let all = self.walk_inside(level, member, &finite, &scan)?;
                if self.leaving.uuid.is_some() || !ruled {
                    return Ok(all);
                }
            }
            Err(_) if ruled || may_name_a_trace(&inside) => {}
            Err(_) => return Ok(false),
        }
        let what = format!("\"extra\" is a string that holds no readable JSON: {fault}");
        Err(SubmitError::new(SubmitCode::BadJson, what)
            .hint("fields below `extra` that stay at home cannot be taken out of it"))
    }

    /// Looks inside `inside`, which is the string that `member` is, or as long.
    fn walk_inside(
        &mut self,
        level: &NestingLevel<'_>,
        member: &JsonMember<'_>,
        inside: &str,
        scan: &JsonScan<'_>,
    ) -> Result<bool, SubmitError> {
        let outer = std::mem::take(&mut self.leaving.cuts);
        let all = self.walk(&NestingLevel { text: inside, at: 0, path: "extra" }, &scan.members)?;
        let mut cuts = std::mem::replace(&mut self.leaving.cuts, outer);
        cuts.sort_unstable_by_key(|cut| cut.start);
        let start = level.at + member.value_at.start + 1;
        let escaped = &level.text[member.value_at.start + 1..member.value_at.end - 1];
        let mut places = MetaPlaces::new(escaped);
        for cut in cuts {
            let (from, to) = (places.of(cut.start), places.of(cut.end));
            self.leaving.cuts.push(start + from..start + to);
        }
        Ok(all)
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

/// Places of an unescaped string in its escaped text. Asked in ascending order.
pub(super) struct MetaPlaces<'a> {
    escaped: &'a str,
    at: usize,
    plain: usize,
}

impl<'a> MetaPlaces<'a> {
    pub fn new(escaped: &'a str) -> Self {
        Self { escaped, at: 0, plain: 0 }
    }

    pub fn of(&mut self, plain: usize) -> usize {
        while self.plain < plain && self.at < self.escaped.len() {
            let rest = &self.escaped[self.at..];
            let step = match rest.as_bytes() {
                [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B', ..] => 12,
                [b'\\', b'u', ..] => 6,
                [b'\\', ..] => 2,
                _ => rest.chars().next().map_or(1, char::len_utf8),
            };
            let unit = rest.get(..step).unwrap_or(rest);
            self.plain += if unit.starts_with('\\') { json::unescape(unit).len() } else { unit.len() };
            self.at += unit.len();
        }
        self.at
    }
}

#[cfg(test)]
mod tests;
