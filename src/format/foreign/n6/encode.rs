//! IntelMQ -> n6. A client of n6 sees no key beyond those of its specification, and never a milder restriction than the
//! label.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use uuid::Uuid;

use super::table::{CATEGORY_TO_TYPE, CLIENT_KEYS, PORTS, TEXTS, TYPE_TO_CATEGORY};
use super::{is_id, read_restriction, uuid_of, written_restriction};
use crate::format::foreign::fields::FieldReader;
use crate::format::foreign::moment::{UtcMoment, ZoneRule};
use crate::format::foreign::shape::whole_number;
use crate::format::foreign::{EncodedMessage, EventView, JsonObject, NotSent};
use crate::identity::EventId;
use crate::link::LinkTarget;
use crate::policy::Tlp;

/// At least one of these says whom or what an event is about.
const SUBJECTS: [&str; 10] =
    ["address", "url", "fqdn", "dip", "md5", "sha1", "sha256", "email", "iban", "phone"];

/// Returns the message of an event.
///
/// # Errors
/// [`NotSent`] for tests, which n6 has no category for.
pub(crate) fn encode(event: &EventView<'_>) -> Result<EncodedMessage, NotSent> {
    let mut fields = FieldReader::new(event.payload, "n6");
    let mut out = JsonObject::new();
    let category = category(&mut fields)?;
    put_id(event, &fields, &mut out)?;
    put_required(event, &mut fields, category, &mut out);
    if let Some(address) = address(&mut fields) {
        out.insert("address".to_owned(), json!([address]));
    }
    for (key, field) in TEXTS {
        let Some(text) = fields.take_text(field) else { continue };
        match fits(key, text) {
            Some(text) => _ = out.insert((*key).to_owned(), text.into()),
            None => fields.report.lost(*field, "n6 refuses the value"),
        }
    }
    for (key, field) in PORTS {
        let port = fields.take(field).and_then(whole_number).filter(|port| (0..=65_535).contains(port));
        if let Some(port) = port {
            out.insert((*key).to_owned(), port.into());
        }
    }
    put_name(&mut fields, category, &mut out);
    if let Some(name) = fields.take_text("product.full_name") {
        out.insert("product".to_owned(), cut(name, 255).into());
    }
    put_kept(&fields, &mut out);
    let pointless = !SUBJECTS.iter().any(|key| out.contains_key(*key));
    let has_ipv6 = event.payload.contains_key("source.ip") || event.payload.contains_key("source.network");
    let withheld = (pointless && has_ipv6).then_some("n6 has no place for its address");
    Ok(EncodedMessage { message: out, report: fields.into_report("has no place in n6"), withheld })
}

fn category(fields: &mut FieldReader<'_>) -> Result<&'static str, NotSent> {
    let known = |name: &str| CATEGORY_TO_TYPE.iter().find(|(known, _)| *known == name).map(|(name, _)| *name);
    let event_type = fields.take_text("classification.type");
    if event_type == Some("test") {
        return Err(NotSent("n6 has no category for tests".to_owned()));
    }
    if let Some(foreign) = fields.kept("category").and_then(Value::as_str) {
        return Ok(known(foreign).unwrap_or("other"));
    }
    let own = event_type.and_then(|name| TYPE_TO_CATEGORY.iter().find(|(known, _)| *known == name));
    Ok(own.and_then(|(_, category)| *category).unwrap_or("other"))
}

/// Puts the id, and its relation to other messages. A payload may say anything: of a signed event, only an id that its
/// UUID was made from is taken, and only relations to which the publisher has linked events of its own.
///
/// # Errors
/// [`NotSent`] for an update of a list whose entry is not known.
fn put_id(event: &EventView<'_>, fields: &FieldReader<'_>, out: &mut JsonObject) -> Result<(), NotSent> {
    let kept = |key: &str| fields.kept(key).and_then(Value::as_str);
    let foreign = kept("id").filter(|id| is_id(id));
    let is_own = |id: &&str| event.id.is_none() || uuid_of(id) == event.uuid;
    let replaces = |id: &&str| event.id.is_none_or(|own| is_replaced(event, own, uuid_of(id)));
    let (id, relation) = match kept("type") {
        Some(name @ ("bl-update" | "bl-delist" | "bl-expire")) => match foreign.filter(replaces) {
            Some(id) => (Some(id), Some(name)),
            // Without its type it would be an alarm.
            None => {
                return Err(NotSent(
                    "n6 has no message for it without the entry that it is about".to_owned(),
                ));
            }
        },
        Some("bl-change") => {
            let replaced = kept("replaces").filter(|id| is_id(id)).filter(replaces);
            out.extend(replaced.map(|id| ("replaces".to_owned(), id.into())));
            (foreign.filter(is_own), replaced.map(|_| "bl-change"))
        }
        Some("bl-new") => (foreign.filter(is_own), Some("bl-new")),
        _ => (foreign.filter(is_own), None),
    };
    out.insert("id".to_owned(), id.map_or_else(|| event.uuid.simple().to_string(), str::to_owned).into());
    out.extend(relation.map(|name| ("type".to_owned(), name.into())));
    Ok(())
}

/// Returns true if the publisher has signed that the event replaces its event with this UUID.
fn is_replaced(event: &EventView<'_>, own: &EventId, uuid: Uuid) -> bool {
    event.links.iter().any(|link| {
        link.relation.as_str() == "replaces"
            && link.left.as_ref().is_none_or(|left| left == own)
            && matches!(&link.right, LinkTarget::Event(right)
                if right.publisher == own.publisher && right.uuid == uuid)
    })
}

fn put_required(
    event: &EventView<'_>,
    fields: &mut FieldReader<'_>,
    category: &'static str,
    out: &mut JsonObject,
) {
    let kept =
        |fields: &FieldReader<'_>, key: &str| fields.kept(key).and_then(Value::as_str).map(str::to_owned);
    let own = event.id.map(|id| format!("{}.{}", plain(id.publisher.as_str()), plain(id.project.as_str())));
    // Of a signed event it is known who says so.
    let source = own.or_else(|| kept(fields, "source").filter(|source| is_source(source)));
    out.insert("source".to_owned(), source.unwrap_or_else(|| "unknown.intelmq".to_owned()).into());
    let restriction = written_restriction(event.tlp.unwrap_or(Tlp::Red));
    if event.tlp.is_none() {
        fields.report.changed("restriction", "the event has no label, and n6 must have one: the strictest");
    }
    let foreign = kept(fields, "restriction").and_then(|word| read_restriction(&word).map(|tlp| (tlp, word)));
    // Both are restrictions of n6; the stricter one stays.
    let stricter = foreign.filter(|(tlp, _)| read_restriction(restriction).is_some_and(|own| *tlp > own));
    out.insert(
        "restriction".to_owned(),
        stricter.map_or_else(|| restriction.to_owned(), |(_, word)| word.to_ascii_lowercase()).into(),
    );
    let accuracy = fields
        .take("feed.accuracy")
        .and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let confidence = match accuracy {
        Some(percent) if percent >= 67.0 => "high",
        Some(percent) if percent >= 34.0 => "medium",
        _ => "low",
    };
    let foreign =
        kept(fields, "confidence").filter(|word| ["low", "medium", "high"].contains(&word.as_str()));
    out.insert("confidence".to_owned(), foreign.unwrap_or_else(|| confidence.to_owned()).into());
    out.insert("category".to_owned(), category.into());
    let time = ["time.source", "time.observation"]
        .into_iter()
        .find_map(|field| UtcMoment::parse(fields.take_text(field)?, ZoneRule::Optional));
    let time = time.or_else(|| UtcMoment::of(event.created));
    out.insert("time".to_owned(), time.map_or_else(|| event.created.to_string(), UtcMoment::zulu).into());
}

/// n6's sources are `provider.channel`.
fn is_source(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 2
        && text.len() <= 32
        && parts.iter().all(|part| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Returns the address, with its AS and country.
fn address(fields: &mut FieldReader<'_>) -> Option<JsonObject> {
    let ip = match fields.peek("source.ip").and_then(Value::as_str)?.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip != Ipv4Addr::UNSPECIFIED => ip,
        _ => return None,
    };
    fields.take("source.ip");
    let mut address = JsonObject::new();
    address.insert("ip".to_owned(), ip.to_string().into());
    if let Some(asn) =
        fields.take("source.asn").and_then(whole_number).filter(|asn| (1..1 << 32).contains(asn))
    {
        address.insert("asn".to_owned(), asn.into());
    }
    let cc = fields.take_text("source.geolocation.cc");
    if let Some(cc) = cc.filter(|cc| cc.len() == 2 && cc.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        address.insert("cc".to_owned(), cc.to_ascii_uppercase().into());
    }
    Some(address)
}

/// Returns a value as n6 takes it for `key`; `None` if it refuses it.
fn fits(key: &str, text: &str) -> Option<String> {
    let length = CLIENT_KEYS.iter().find(|(name, _)| *name == key).map_or(255, |(_, length)| *length);
    let digits = |count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = match key {
        "md5" => digits(32),
        "sha1" => digits(40),
        "sha256" => digits(64),
        "proto" => ["tcp", "udp", "icmp"].contains(&text.to_ascii_lowercase().as_str()),
        "dip" => text.parse::<Ipv4Addr>().is_ok(),
        "email" => text.contains('@') && text.chars().count() <= length,
        "fqdn" => text.chars().count() <= length && text.is_ascii(),
        // A part of a URL is another URL.
        "url" => text.chars().count() <= length,
        _ => return Some(cut(text, length)),
    };
    let small = matches!(key, "proto" | "md5" | "sha1" | "sha256" | "fqdn");
    fits.then(|| if small { text.to_ascii_lowercase() } else { text.to_owned() })
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

fn put_name(fields: &mut FieldReader<'_>, category: &str, out: &mut JsonObject) {
    let malware = if category == "bots" { fields.take_text("malware.name") } else { None };
    if let Some(name) = malware.or_else(|| fields.take_text("event_description.text")) {
        if name.chars().count() > 255 {
            fields.report.changed("name", "cut to 255 characters");
        }
        out.insert("name".to_owned(), cut(name, 255).into());
    }
}

/// Puts back what came from n6.
fn put_kept(fields: &FieldReader<'_>, out: &mut JsonObject) {
    for (key, value) in fields.all_kept() {
        let Some((_, length)) = CLIENT_KEYS.iter().find(|(name, _)| name == key) else { continue };
        if matches!(key.as_str(), "type" | "replaces") {
            continue;
        }
        let value = match (key.as_str(), value) {
            ("expires" | "modified", Value::String(text)) => {
                match UtcMoment::parse(text, ZoneRule::Optional) {
                    Some(moment) => moment.zulu().into(),
                    None => continue,
                }
            }
            (_, Value::String(text)) if text.chars().count() > *length => continue,
            ("sport" | "dport", value)
                if whole_number(value).is_none_or(|port| !(0..=65_535).contains(&port)) =>
            {
                continue;
            }
            ("dip" | "md5" | "sha1" | "sha256" | "proto" | "email", Value::String(text)) => {
                match fits(key, text) {
                    Some(text) => text.into(),
                    None => continue,
                }
            }
            (text, value) if is_text(text) && !value.is_string() => continue,
            (_, value) => value.clone(),
        };
        out.insert(key.clone(), value);
    }
}

/// Returns true for members that n6 reads as a text: any other value would be refused with the whole message.
fn is_text(key: &str) -> bool {
    matches!(key, "name" | "expires" | "modified") || TEXTS.iter().any(|(name, _)| *name == key)
}
