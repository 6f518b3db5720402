//! Restores from `ext` the members that an event in AIL exchange format has in places of its own (CONTRACT.md §1.1):
//! the version and type at the top, and all other keys of its meta beside ours. A key stays below `ext` if it would
//! mean something, or be refused, in its own place.

use std::ops::Range;

use crate::envelope::EventType;
use crate::event::json::{self, JsonMember};
use crate::format::meta::{event_type_of, is_kept_in_meta, string_of};

/// The version of the format, if the event says none.
const VERSION: &str = "1";

/// `ext`, taken apart.
pub(crate) struct AilPlaces<'a> {
    /// Number of the format's version, as text.
    pub version: &'a str,
    /// The type as a JSON string, if it is neither `event` nor `report`.
    pub kind: Option<&'a str>,
    ext: &'a str,
    in_meta: Vec<Range<usize>>,
    below_ext: Vec<Range<usize>>,
}

impl<'a> AilPlaces<'a> {
    /// Reads `ext`, an object that was checked when the event was accepted.
    pub(crate) fn of(ext: Option<&'a [u8]>, event_type: EventType) -> Self {
        let ext = ext.and_then(|ext| std::str::from_utf8(ext).ok()).unwrap_or_default();
        let mut places =
            Self { version: VERSION, kind: None, ext, in_meta: Vec::new(), below_ext: Vec::new() };
        for member in json::members(ext) {
            places.put(&member, event_type);
        }
        places
    }

    fn put(&mut self, member: &JsonMember<'_>, event_type: EventType) {
        let value = &self.ext[member.value_at.clone()];
        let whole = member.key_at.start..member.value_at.end;
        match &*member.key {
            "version" if value.starts_with(|first: char| first.is_ascii_digit()) => self.version = value,
            "type" if event_type == EventType::Event && is_other_type(self.ext, member) => {
                self.kind = Some(value);
            }
            _ if is_kept_in_meta(self.ext, member) => self.in_meta.push(whole),
            _ => self.below_ext.push(whole),
        }
    }

    /// Returns the members that stand in meta itself, each as it was given.
    pub(crate) fn in_meta(&self) -> impl Iterator<Item = &'a str> {
        self.in_meta.iter().map(|at| &self.ext[at.clone()])
    }

    /// Returns those that stay below `ext`.
    pub(crate) fn below_ext(&self) -> impl Iterator<Item = &'a str> {
        self.below_ext.iter().map(|at| &self.ext[at.clone()])
    }
}

fn is_other_type(ext: &str, member: &JsonMember<'_>) -> bool {
    string_of(ext, member).is_some_and(|text| event_type_of(&text).is_none())
}
