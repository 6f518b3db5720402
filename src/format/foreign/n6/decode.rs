//! n6 -> IntelMQ: one event for each address. A message that takes an entry off a list never becomes an alarm.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::table::{CATEGORY_TO_TYPE, PORTS, TEXTS};
use super::{N6Format, is_id, uuid_of};
use crate::format::event_label::EventLabel;
use crate::format::foreign::decoded::{EventCollector, too_many_events};
use crate::format::foreign::flat::FlatEvent;
use crate::format::foreign::moment::{UtcMoment, ZoneRule};
use crate::format::foreign::report::ConversionReport;
use crate::format::foreign::shape::{MessagePart, whole_number};
use crate::format::foreign::{DecodedEvent, DecodedMessage, ForeignFormat as _, ForeignLink, JsonObject};
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::limits::EXPLODED_EVENTS_MAX;

/// The types of messages on n6's stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamType {
    Event,
    /// A new entry of a list, or one that has replaced another.
    Entry,
    /// The entry is as before, and its time has been moved.
    Update,
    /// The entry was taken off.
    Removal,
}

/// An address of a message.
struct AddressEntry<'a> {
    ip: Ipv4Addr,
    members: &'a JsonObject,
}

/// Returns the events of a message.
///
/// # Errors
/// `bad_n6` if it breaks a rule of n6, `multi_value` if it has too many addresses.
pub(crate) fn decode(members: &JsonObject) -> Result<DecodedMessage, SubmitError> {
    let message = MessagePart { members, place: "", code: SubmitCode::BadN6 };
    let id = message.required("id")?;
    if !is_id(id) {
        return Err(message.fault("id", &id.into(), "32 of 0-9 and a-f"));
    }
    let time = message.required("time")?;
    let moment = read_time(&message, "time")?.ok_or_else(|| message.missing("time"))?;
    let stream_type = stream_type(&message)?;
    let mut report = ConversionReport::default();
    let mut flat = FlatEvent::new("n6");
    flat.put("time.source", moment.intelmq());
    for key in ["id", "source", "restriction", "confidence", "category"] {
        flat.keep(key, message.required(key)?);
    }
    let accuracy = match message.required("confidence")? {
        "low" => 33.0,
        "medium" => 66.0,
        "high" => 100.0,
        other => return Err(message.fault("confidence", &other.into(), "low, medium or high")),
    };
    flat.put("feed.accuracy", accuracy);
    put_category(&message, stream_type, &mut flat, &mut report)?;
    put_members(&message, &mut flat, &mut report)?;
    let addresses = addresses(&message)?;
    let links = links_of(&message, stream_type, id)?;
    let name = match stream_type {
        StreamType::Event | StreamType::Entry => id.to_owned(),
        StreamType::Update | StreamType::Removal => {
            format!("{id} {} {time}", message.text("type")?.unwrap_or_default())
        }
    };
    let replaced = match (stream_type, message.text("replaces")?) {
        (StreamType::Update | StreamType::Removal, _) => Some(id),
        (_, replaced) => replaced,
    };
    let events = events_of(&flat, &addresses, (&name, replaced))?;
    let mut labels = Vec::new();
    N6Format.labels(members, &mut labels);
    let label = EventLabel::strictest(labels);
    Ok(DecodedMessage { uuid: Some(uuid_of(&name)), events, links, report, label })
}

/// Returns one event for each address.
fn events_of(
    flat: &FlatEvent,
    addresses: &[AddressEntry<'_>],
    (name, replaced): (&str, Option<&str>),
) -> Result<Vec<DecodedEvent>, SubmitError> {
    let event = |uuid, flat: FlatEvent, links| DecodedEvent {
        uuid: Some(uuid),
        links,
        label: None,
        payload: flat.into_payload(),
    };
    let mut events = EventCollector::default();
    if addresses.is_empty() {
        events.push(event(uuid_of(name), flat.clone(), Vec::new()))?;
    }
    for address in addresses {
        let mut flat = flat.clone();
        address.fill(&mut flat);
        if addresses.len() == 1 {
            events.push(event(uuid_of(name), flat, Vec::new()))?;
            break;
        }
        // The replaced message had an event for each address too.
        let replaced =
            replaced.map(|id| ForeignLink::own("replaces", uuid_of(&format!("{id} {}", address.ip))));
        let uuid = uuid_of(&format!("{name} {}", address.ip));
        events.push(event(uuid, flat, replaced.into_iter().collect()))?;
    }
    Ok(events.into_events())
}

fn stream_type(message: &MessagePart<'_>) -> Result<StreamType, SubmitError> {
    // Messages of the REST interface have no type.
    Ok(match message.text("type")? {
        None | Some("event") => StreamType::Event,
        Some("bl-new" | "bl-change") => StreamType::Entry,
        Some("bl-update") => StreamType::Update,
        Some("bl-delist" | "bl-expire") => StreamType::Removal,
        Some(other) => {
            let expected = "event, bl-new, bl-change, bl-update, bl-delist or bl-expire";
            return Err(message.fault("type", &other.into(), expected));
        }
    })
}

fn read_time(message: &MessagePart<'_>, key: &str) -> Result<Option<UtcMoment>, SubmitError> {
    match message.text(key)? {
        None => Ok(None),
        Some(text) => match UtcMoment::parse(text, ZoneRule::Optional) {
            Some(moment) => Ok(Some(moment)),
            None => Err(message.fault(key, &text.into(), "a time in ISO 8601")),
        },
    }
}

fn put_category(
    message: &MessagePart<'_>,
    stream_type: StreamType,
    flat: &mut FlatEvent,
    report: &mut ConversionReport,
) -> Result<(), SubmitError> {
    let category = message.required("category")?;
    let known = CATEGORY_TO_TYPE.iter().find(|(name, _)| *name == category).map(|(_, found)| *found);
    if known.is_none() {
        report.changed("category", "n6 has no such category: the type is other");
    }
    let event_type = match stream_type {
        StreamType::Removal => "blacklist",
        _ => known.unwrap_or("other"),
    };
    flat.put("classification.type", event_type);
    let Some(name) = message.text("name")? else { return Ok(()) };
    if category == "bots" {
        flat.put("classification.identifier", name);
        flat.put("malware.name", name.to_lowercase());
        flat.keep("name", name);
    } else {
        flat.put_or_keep("event_description.text", name, "name", report);
    }
    Ok(())
}

/// Puts the members that have a field, and keeps all others.
fn put_members(
    message: &MessagePart<'_>,
    flat: &mut FlatEvent,
    report: &mut ConversionReport,
) -> Result<(), SubmitError> {
    let by_hand =
        ["id", "source", "restriction", "confidence", "category", "time", "name", "address", "expires"];
    for (key, value) in message.members.iter().filter(|(key, _)| !by_hand.contains(&key.as_str())) {
        if key == "type" && value == "event" {
            continue;
        }
        if let Some((_, field)) = TEXTS.iter().find(|(name, _)| name == key) {
            let text = value.as_str().ok_or_else(|| message.fault(key, value, "a string"))?;
            // n6's words for "none" are values of its own.
            let none =
                matches!((key.as_str(), text), ("fqdn", "unknown") | ("dip", "0.0.0.0") | ("url", "no url"));
            if none {
                flat.keep(key, text);
            } else {
                flat.put_or_keep(field, text, key, report);
            }
        } else if let Some((_, field)) = PORTS.iter().find(|(name, _)| name == key) {
            match whole_number(value).filter(|port| (0..=65_535).contains(port)) {
                Some(port) => flat.put_or_keep(field, port, key, report),
                None => return Err(message.fault(key, value, "a port")),
            }
        } else {
            if key != "type" && key != "replaces" {
                report.moved(key.as_str(), format!("extra.n6.{key}"));
            }
            flat.keep(key, value.clone());
        }
    }
    if let Some(expires) = read_time(message, "expires")? {
        // The entry may be prolonged: it does not expire as an event.
        flat.keep("expires", expires.intelmq());
    }
    Ok(())
}

fn addresses<'a>(message: &MessagePart<'a>) -> Result<Vec<AddressEntry<'a>>, SubmitError> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for members in message.objects("address")? {
        let value = members.get("ip").ok_or_else(|| message.missing("address[].ip"))?;
        let ip: Option<Ipv4Addr> = value.as_str().and_then(|text| text.parse().ok());
        let ip = ip.ok_or_else(|| message.fault("address", value, "an IPv4 address"))?;
        if !known.insert(ip) {
            return Err(message.fault("address", value, "each address once"));
        }
        if let Some(asn) = members.get("asn").filter(|asn| !asn.is_null())
            && asn_of(asn).is_none()
        {
            return Err(message.fault("address[].asn", asn, "the number of an AS"));
        }
        if ip.is_unspecified() {
            continue;
        }
        if found.len() == EXPLODED_EVENTS_MAX {
            return Err(too_many_events());
        }
        found.push(AddressEntry { ip, members });
    }
    Ok(found)
}

fn asn_of(value: &Value) -> Option<i64> {
    match value.as_str() {
        Some(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
        None => value.as_i64(),
    }
}

impl AddressEntry<'_> {
    fn fill(&self, flat: &mut FlatEvent) {
        flat.put("source.ip", self.ip.to_string());
        let mut rest = JsonObject::new();
        for (key, value) in self.members {
            let taken = match key.as_str() {
                "ip" => true,
                "asn" => asn_of(value).is_some_and(|asn| flat.put("source.asn", asn)),
                "cc" => value
                    .as_str()
                    .is_some_and(|cc| flat.put("source.geolocation.cc", cc.to_ascii_uppercase())),
                _ => false,
            };
            if !taken && !value.is_null() {
                rest.insert(key.clone(), value.clone());
            }
        }
        if !rest.is_empty() {
            flat.keep("address_rest", rest);
        }
    }
}

fn links_of(
    message: &MessagePart<'_>,
    stream_type: StreamType,
    id: &str,
) -> Result<Vec<ForeignLink>, SubmitError> {
    let mut links = vec![ForeignLink::alternate(format!("n6:{id}"))];
    if let Some(replaced) = message.text("replaces")? {
        if !is_id(replaced) {
            return Err(message.fault("replaces", &replaced.into(), "32 of 0-9 and a-f"));
        }
        links.push(ForeignLink::own("replaces", uuid_of(replaced)));
    }
    if matches!(stream_type, StreamType::Update | StreamType::Removal) {
        links.push(ForeignLink::own("replaces", uuid_of(id)));
    }
    Ok(links)
}
