//! Sources and targets of an IDEA message as elements with at most one address each. The elements of both sides are
//! combined elsewhere. An address that is not the side's own (spoofed, anonymised) never becomes a field.

use std::sync::Arc;

use serde_json::Value;

use super::networks::{self, Addresses, Family};
use super::table::SIDE_LISTS;
use super::{strings, syntax};
use crate::format::foreign::JsonObject;
use crate::format::foreign::flat::FlatEvent;
use crate::format::foreign::report::ConversionReport;
use crate::format::foreign::shape::{MessagePart, whole_number};
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::limits::EXPLODED_EVENTS_MAX;

/// One side of a message.
#[derive(Clone, Copy)]
pub(crate) struct SideNames {
    /// Its key in a message.
    pub key: &'static str,
    /// The first part of its fields, and its name below `extra.idea`.
    pub field: &'static str,
    /// Its name below `extra.idea` for elements that are no event.
    pub others: &'static str,
}

pub(crate) const SOURCE: SideNames = SideNames { key: "Source", field: "source", others: "sources" };
pub(crate) const TARGET: SideNames = SideNames { key: "Target", field: "destination", others: "targets" };

impl SideNames {
    /// Returns the name below `extra.idea` for what has no field.
    pub(crate) const fn extra(self) -> &'static str {
        match self.field.as_bytes() {
            b"source" => "source",
            _ => "target",
        }
    }
}

/// All of one side.
#[derive(Debug, Default)]
pub(crate) struct SideList<'a> {
    /// One more than the largest number of events at most: then there are too many.
    pub elements: Vec<SideElement<'a>>,
    /// Objects that have an element.
    pub objects: Vec<&'a JsonObject>,
    /// Objects that are no event.
    pub others: Vec<Value>,
}

/// An object of a side, with one of its addresses.
#[derive(Clone, Debug)]
pub(crate) struct SideElement<'a> {
    pub members: &'a JsonObject,
    /// With a slash it is a network.
    address: Option<String>,
    /// Addresses of the object that have no field: (key, value).
    left: Arc<Vec<(&'static str, Value)>>,
}

/// Reads one side.
///
/// # Errors
/// `bad_idea` for a value that readers of IDEA refuse.
pub(crate) fn read<'a>(
    message: &MessagePart<'a>,
    names: SideNames,
    report: &mut ConversionReport,
) -> Result<SideList<'a>, SubmitError> {
    let mut list = SideList::default();
    for (index, members) in message.objects(names.key)?.into_iter().enumerate() {
        let place = format!("{}[{index}].", names.key);
        let part = MessagePart { members, place: &place, code: SubmitCode::BadIdea };
        check(&part)?;
        let elements = elements_of(members, &part, report)?;
        let is_true = |key: &str| members.get(key) == Some(&Value::Bool(true));
        if is_true("Spoofed") || is_true("Anonymised") {
            report.moved(format!("{}[{index}]", names.key), format!("extra.idea.{}", names.others));
            list.others.push(Value::Object(members.clone()));
        } else {
            list.objects.push(members);
            list.elements.extend(elements);
            list.elements.truncate(EXPLODED_EVENTS_MAX + 1);
        }
    }
    Ok(list)
}

/// Returns true if readers of IDEA take the members of a side, or some of them.
pub(crate) fn is_side(members: &JsonObject) -> bool {
    let part = MessagePart { members, place: "", code: SubmitCode::BadIdea };
    let uris = |key: &str| strings(members.get(key)).into_iter().all(syntax::is_uri);
    let lists = ["MAC", "Netname", "Router", "AttachHand", "Ref"];
    let tags = ["Type", "Proto"].iter().all(|key| strings(members.get(*key)).into_iter().all(syntax::is_tag));
    check(&part).is_ok()
        && elements_of(members, &part, &mut ConversionReport::default()).is_ok()
        && lists.iter().all(|key| part.texts(key).is_ok())
        && part.text("Note").is_ok()
        && uris("Netname")
        && uris("Ref")
        && tags
}

fn check(part: &MessagePart<'_>) -> Result<(), SubmitError> {
    for key in ["Hostname", "URL", "Email", "Type", "Proto", "PTR", "LocalIP4", "LocalIP6", "LocalHostname"] {
        part.texts(key)?;
    }
    for key in ["ASN", "Port"] {
        for value in part.list(key)? {
            let signed = value.is_number() || whole_number(value).is_some();
            if !signed {
                return Err(part.fault(key, value, "a number"));
            }
        }
    }
    for key in ["Spoofed", "Imprecise", "Anonymised"] {
        match part.members.get(key) {
            None | Some(Value::Bool(_)) => {}
            Some(other) => return Err(part.fault(key, other, "true or false")),
        }
    }
    Ok(())
}

fn elements_of<'a>(
    members: &'a JsonObject,
    part: &MessagePart<'_>,
    report: &mut ConversionReport,
) -> Result<Vec<SideElement<'a>>, SubmitError> {
    let mut addresses = Vec::new();
    let mut left = Vec::new();
    for (key, family) in [("IP4", Family::V4), ("IP6", Family::V6)] {
        let mut wide = Vec::new();
        for (index, text) in part.texts(key)?.into_iter().enumerate() {
            let place = format!("{}{key}[{index}]", part.place);
            match networks::read(text, family) {
                None => {
                    let value = Value::from(text);
                    return Err(part.fault(key, &value, "an address, a network or a range of addresses"));
                }
                Some(Addresses::TooWide) => {
                    report.moved(place, "extra.idea");
                    wide.push(Value::from(text));
                }
                Some(Addresses::Fields(fields, cleared)) => {
                    if cleared {
                        report.changed(place, "the bits beyond the network's length are cleared");
                    }
                    addresses.extend(fields);
                    // The others are read, since each must be an address.
                    addresses.truncate(EXPLODED_EVENTS_MAX + 1);
                }
            }
        }
        if !wide.is_empty() {
            left.push((key, Value::Array(wide)));
        }
    }
    let left = Arc::new(left);
    let element = |address| SideElement { members, address, left: Arc::clone(&left) };
    if addresses.is_empty() {
        return Ok(vec![element(None)]);
    }
    Ok(addresses.into_iter().map(|address| element(Some(address))).collect())
}

impl SideElement<'_> {
    /// Fills the fields of its side, and returns the members that have none.
    pub(crate) fn fill(
        &self,
        flat: &mut FlatEvent,
        names: SideNames,
        report: &mut ConversionReport,
    ) -> JsonObject {
        let known = |key: &str| SIDE_LISTS.iter().any(|(list, _)| *list == key);
        let mut rest: JsonObject = self
            .members
            .iter()
            .filter(|(key, _)| !known(key) && !matches!(key.as_str(), "IP4" | "IP6" | "Proto"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        rest.extend(self.left.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        if let Some(address) = &self.address {
            let field = if address.contains('/') { "network" } else { "ip" };
            if !flat.put(&format!("{}.{field}", names.field), address.as_str()) {
                let key = if address.contains(':') { "IP6" } else { "IP4" };
                rest.insert(key.to_owned(), Value::from(vec![address.as_str()]));
            }
        }
        for (key, field) in SIDE_LISTS {
            let Some(values) = self.members.get(*key).and_then(Value::as_array) else { continue };
            if !fill_list(flat, (key, &format!("{}.{field}", names.field)), values) {
                report.moved(format!("{}.{key}", names.key), format!("extra.idea.{}.{key}", names.extra()));
                rest.insert((*key).to_owned(), Value::Array(values.clone()));
            }
        }
        if strings(self.members.get("Type")).contains(&"Tor") {
            flat.put(&format!("{}.tor_node", names.field), true);
        }
        rest
    }
}

/// Puts the first value of a list at its field. Returns true if the field says all that the list says.
fn fill_list(flat: &mut FlatEvent, (key, field): (&str, &str), values: &[Value]) -> bool {
    let Some(first) = values.first() else { return false };
    // One of several ports would be a guess.
    if key == "Port" && values.len() > 1 {
        return false;
    }
    let value = match (key, first.as_str()) {
        ("ASN" | "Port", _) => match whole_number(first) {
            Some(number) if key == "ASN" || (0..=65_535).contains(&number) => Value::from(number),
            _ => return false,
        },
        ("Hostname" | "PTR", Some(name)) => Value::from(name.to_ascii_lowercase()),
        _ => first.clone(),
    };
    let unchanged = first.is_number() || value == *first || whole_number(first) == whole_number(&value);
    // `encode` tells the two kinds of account apart by the @.
    let own_kind = match key {
        "Email" => value.as_str().is_some_and(|text| text.contains('@')),
        "Account" => value.as_str().is_some_and(|text| !text.contains('@')),
        _ => true,
    };
    flat.put(field, value) && values.len() == 1 && unchanged && own_kind
}

/// Puts the protocols of both sides at their fields, and keeps the lists that say more.
pub(crate) fn fill_protocols(
    flat: &mut FlatEvent,
    sides: &mut [(&SideElement<'_>, &mut JsonObject)],
    report: &mut ConversionReport,
) {
    let mut told = Vec::new();
    for name in sides.iter().flat_map(|(element, _)| strings(element.members.get("Proto"))) {
        let name = name.to_lowercase();
        let is_transport = FlatEvent::new("idea").put("protocol.transport", name.as_str());
        let field = if is_transport { "protocol.transport" } else { "protocol.application" };
        if flat.put(field, name.as_str()) {
            told.push(name);
        }
    }
    for (element, rest) in sides {
        let names = strings(element.members.get("Proto"));
        if names.iter().any(|name| !told.iter().any(|told| told == name)) {
            report.moved("Proto", "extra.idea");
            rest.insert("Proto".to_owned(), Value::from(names));
        }
    }
}
