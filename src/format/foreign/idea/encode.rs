//! IntelMQ -> IDEA0, as IntelMQ's own expert writes it, without the values that readers of IDEA refuse. The names below
//! `extra.idea` go back to their places, but never the label.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::sides::{self, SOURCE, SideNames, TARGET};
use super::table::{
    COUNTS, HASHES, OTHER_TIMES, REFS, SIDE_LISTS, TYPE_TO_CATEGORY, TYPE_TO_SOURCE_TYPE, find,
};
use super::{strings, syntax, uuid_of, written_label};
use crate::format::foreign::fields::FieldReader;
use crate::format::foreign::moment::{UtcMoment, ZoneRule};
use crate::format::foreign::shape::whole_number;
use crate::format::foreign::{EncodeOptions, EncodedMessage, EventView, JsonObject};
use crate::link::LinkTarget;

/// Returns the message of an event.
pub(crate) fn encode(event: &EventView<'_>, options: &EncodeOptions) -> EncodedMessage {
    let mut fields = FieldReader::new(event.payload, "idea");
    let mut out = JsonObject::new();
    out.insert("Format".to_owned(), "IDEA0".into());
    out.extend(event.tlp.map(|tlp| ("TLP".to_owned(), written_label(tlp).into())));
    put_ids(event, &fields, &mut out);
    put_times(event, &mut fields, &mut out);
    put_description(event, &mut fields, &mut out);
    put_refs(&mut fields, &mut out);
    for names in [SOURCE, TARGET] {
        let side = side_of(&mut fields, names);
        put_side(&fields, names, side, &mut out);
    }
    place_protocols(&mut fields, &mut out);
    put_attachments(&mut fields, options, &mut out);
    out.insert("Node".to_owned(), nodes(event, &fields, options).into());
    put_others(&fields, &mut out);
    let report = fields.into_report("has no place in IDEA");
    EncodedMessage { message: out, report, withheld: None }
}

/// Puts the ID, other names and relations.
fn put_ids(event: &EventView<'_>, fields: &FieldReader<'_>, out: &mut JsonObject) {
    let foreign = fields
        .kept("id")
        .and_then(Value::as_str)
        .filter(|id| syntax::is_id(id) && (event.id.is_none() || uuid_of(id) == event.uuid));
    let id = foreign.map_or_else(|| event.uuid.to_string(), str::to_owned);
    let mut names: Vec<String> = event.id.iter().map(ToString::to_string).collect();
    let (mut before, mut basis, mut related) = (Vec::new(), Vec::new(), Vec::new());
    basis.extend(event.parent.map(|id| id.uuid.to_string()));
    for link in event.links.iter().filter(|link| link.left.as_ref().is_none_or(|left| Some(left) == event.id))
    {
        let right = match &link.right {
            LinkTarget::Opaque(name) => {
                names.push(name.clone());
                continue;
            }
            LinkTarget::Event(right) => right,
        };
        match link.relation.as_str() {
            "alternate" => names.push(right.to_string()),
            "replaces" | "withdraws" => before.push(right.uuid.to_string()),
            "parent" | "derived-from" => basis.push(right.uuid.to_string()),
            _ => related.push(right.uuid.to_string()),
        }
    }
    names.retain(|name| *name != format!("idea:{id}"));
    out.insert("ID".to_owned(), id.into());
    for (key, list) in [("AltNames", names), ("PredID", before), ("CorrelID", basis), ("RelID", related)] {
        if !list.is_empty() {
            out.insert(key.to_owned(), list.into());
        }
    }
}

fn put_times(event: &EventView<'_>, fields: &mut FieldReader<'_>, out: &mut JsonObject) {
    let created = event.created.to_string();
    let mut time = |field: &str| {
        let text = fields.take_text(field)?;
        if UtcMoment::parse(text, ZoneRule::Required).is_some() {
            return Some(text.to_owned());
        }
        Some(UtcMoment::parse(text, ZoneRule::Optional)?.intelmq())
    };
    let (observed, occurred) = (time("time.observation"), time("time.source"));
    out.insert("CreateTime".to_owned(), created.clone().into());
    out.insert("DetectTime".to_owned(), observed.unwrap_or(created).into());
    if let Some(occurred) = occurred {
        out.insert("EventTime".to_owned(), occurred.into());
    }
    for (key, name) in OTHER_TIMES {
        let kept = fields.kept(name).and_then(Value::as_str);
        // The envelope's own date is newer than what the other system wrote.
        if let Some(text) = kept.filter(|text| UtcMoment::parse(text, ZoneRule::Required).is_some())
            && *key != "CreateTime"
        {
            out.insert((*key).to_owned(), text.into());
        }
    }
    for (key, name) in COUNTS {
        if let Some(number) = fields.kept(name).filter(|value| value.is_u64()) {
            out.insert((*key).to_owned(), number.clone());
        }
    }
}

fn put_description(event: &EventView<'_>, fields: &mut FieldReader<'_>, out: &mut JsonObject) {
    let event_type = fields.take_text("classification.type");
    let own = event_type.and_then(|name| find(TYPE_TO_CATEGORY, name)).unwrap_or("Other");
    let withdraws = event.links.iter().any(|link| link.relation.as_str() == "withdraws");
    let foreign = strings(fields.kept("category"));
    let categories = match foreign.as_slice() {
        _ if withdraws => vec!["Other"],
        [] => vec![own],
        known if known.iter().all(|name| syntax::is_event_tag(name)) => foreign,
        _ => vec![own],
    };
    out.insert("Category".to_owned(), categories.into());
    let share = |value: &Value| {
        let percent = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
        (0.0..=100.0).contains(&percent).then(|| (percent / 100.0 * 1e9).round() / 1e9)
    };
    if let Some(share) = fields.take("feed.accuracy").and_then(share) {
        out.insert("Confidence".to_owned(), share.into());
    }
    let text = fields.take_text("event_description.text");
    // The name of a feed that came as a node goes back as one.
    let feed = fields.take_text("feed.name").filter(|_| fields.kept("node").is_none());
    let described = match (feed, text) {
        (Some(feed), text) => Some(format!("{feed}: {}", text.or(event_type).unwrap_or("undetermined"))),
        (None, text) => text.map(str::to_owned),
    };
    if let Some(described) = described {
        out.insert("Description".to_owned(), described.into());
    }
    let comment = fields.take_text("comment");
    if let Some(note) = comment.or(withdraws.then_some("withdrawn")) {
        out.insert("Note".to_owned(), note.into());
    }
}

fn put_refs(fields: &mut FieldReader<'_>, out: &mut JsonObject) {
    let mut refs = Vec::new();
    for (prefix, field) in REFS {
        refs.extend(fields.take_text(field).map(|value| format!("{prefix}{}", syntax::quoted(value))));
    }
    if let Some(url) = fields.take_text("event_description.url") {
        let encoded = syntax::uri_encoded(url);
        if syntax::is_uri(&encoded) {
            if encoded != url {
                fields
                    .report
                    .changed("event_description.url", "bytes that no URI may have are percent-encoded");
            }
            refs.push(encoded);
        } else {
            fields.report.lost("event_description.url", "not a URI with a scheme");
        }
    }
    let kept = strings(fields.kept("ref")).into_iter().filter(|text| syntax::is_uri(text));
    refs.extend(kept.map(str::to_owned));
    if !refs.is_empty() {
        out.insert("Ref".to_owned(), refs.into());
    }
}

/// Returns one side from its fields.
fn side_of(fields: &mut FieldReader<'_>, names: SideNames) -> JsonObject {
    let mut side = JsonObject::new();
    let mut put = |key: &str, value: Value| {
        side.entry(key.to_owned()).or_insert_with(|| json!([])).as_array_mut().map(|list| list.push(value))
    };
    let field = |name: &str| format!("{}.{name}", names.field);
    let network = fields.take_text(&field("network"));
    let ip = fields.take_text(&field("ip")).filter(|ip| ip.parse::<IpAddr>().is_ok());
    if let Some(address) = ip.or_else(|| network.and_then(writable_network)) {
        put(if address.contains(':') { "IP6" } else { "IP4" }, address.into());
        if ip.is_some() && network.is_some() {
            fields.report.lost(field("network"), "the address is written instead");
        }
    }
    let mut known = Vec::new();
    for (_, name) in SIDE_LISTS {
        if known.contains(name) {
            continue;
        }
        known.push(name);
        let Some(value) = fields.take(&field(name)) else { continue };
        match written_in(name, value) {
            Some((key, value)) => _ = put(key, value),
            None => fields.report.lost(field(name), "readers of IDEA refuse the value"),
        }
    }
    let mut types = Vec::new();
    if names.field == SOURCE.field {
        let event_type = fields.peek("classification.type").and_then(Value::as_str);
        types.extend(event_type.and_then(|name| find(TYPE_TO_SOURCE_TYPE, name)));
    }
    if fields.take(&field("tor_node")) == Some(&Value::Bool(true)) && !types.contains(&"Tor") {
        types.push("Tor");
    }
    types.into_iter().for_each(|name| _ = put("Type", name.into()));
    side
}

/// Networks of one address, and of all addresses, are refused.
fn writable_network(text: &str) -> Option<&str> {
    match text.split_once('/') {
        Some((address, "32")) if !address.contains(':') => Some(address),
        Some((address, "128")) => Some(address),
        Some((_, "0")) => None,
        Some((address, _)) if address.parse::<IpAddr>().is_ok() => Some(text),
        _ => None,
    }
}

/// Returns the key of a side's field, and the value in its type.
fn written_in(field: &str, value: &Value) -> Option<(&'static str, Value)> {
    let text = value.as_str();
    Some(match field {
        "asn" | "port" => {
            let number = whole_number(value).filter(|number| *number >= 0)?;
            let fits = field == "asn" || number <= 65_535;
            (if field == "asn" { "ASN" } else { "Port" }, Value::from(fits.then_some(number)?))
        }
        "local_ip" => match text?.parse::<IpAddr>().ok()? {
            IpAddr::V4(_) => ("LocalIP4", text?.into()),
            IpAddr::V6(_) => ("LocalIP6", text?.into()),
        },
        "account" => (if text?.contains('@') { "Email" } else { "Account" }, text?.into()),
        _ => (SIDE_LISTS.iter().find(|(_, name)| *name == field)?.0, text?.into()),
    })
}

/// Puts one side into the message, with what `extra.idea` has of it.
fn put_side(fields: &FieldReader<'_>, names: SideNames, mut side: JsonObject, out: &mut JsonObject) {
    let kept = fields.kept(names.extra()).and_then(Value::as_object);
    if let Some(kept) = kept.filter(|kept| sides::is_side(kept)) {
        for (key, value) in kept {
            let mut value = value.clone();
            if let ("IP4" | "IP6", Some(list)) = (key.as_str(), value.as_array_mut()) {
                list.retain(|address| address.as_str().is_some_and(|text| !text.ends_with("/0")));
                let own = side.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
                list.splice(0..0, own);
                if list.is_empty() {
                    continue;
                }
            }
            side.insert(key.clone(), value);
        }
    }
    let others = fields.kept(names.others).and_then(Value::as_array);
    let others = others.into_iter().flatten().filter(|other| other.as_object().is_some_and(sides::is_side));
    let own = if side.is_empty() { None } else { Some(Value::Object(side)) };
    let all: Vec<Value> = own.into_iter().chain(others.cloned()).collect();
    if !all.is_empty() {
        out.insert(names.key.to_owned(), all.into());
    }
}

/// Both sides of an event use its protocols.
fn place_protocols(fields: &mut FieldReader<'_>, out: &mut JsonObject) {
    let names = [fields.take_text("protocol.transport"), fields.take_text("protocol.application")];
    let (tags, odd): (Vec<&str>, Vec<&str>) =
        names.into_iter().flatten().partition(|name| syntax::is_tag(name));
    if !odd.is_empty() {
        fields.report.lost("protocol", "a name that is no tag of IDEA");
    }
    if tags.is_empty() {
        return;
    }
    if !out.contains_key("Source") && !out.contains_key("Target") {
        out.insert("Source".to_owned(), json!([{}]));
    }
    for names in [SOURCE, TARGET] {
        let first = out.get_mut(names.key).and_then(|list| list.get_mut(0)).and_then(Value::as_object_mut);
        // An element that came as it is keeps its own.
        if let Some(side) =
            first.filter(|side| !side.contains_key("Spoofed") && !side.contains_key("Anonymised"))
        {
            side.entry("Proto").or_insert_with(|| Value::from(tags.clone()));
        }
    }
}

fn put_attachments(fields: &mut FieldReader<'_>, options: &EncodeOptions, out: &mut JsonObject) {
    let kept = fields.kept("attach").and_then(Value::as_array).into_iter().flatten();
    let mut attached: Vec<JsonObject> =
        kept.filter_map(Value::as_object).filter(|one| is_attachment(one)).cloned().collect();
    let known: Vec<String> =
        attached.iter().flat_map(|one| strings(one.get("Hash"))).map(str::to_owned).collect();
    let mut hashes = Vec::new();
    for (prefix, field) in HASHES {
        let hash = fields.take_text(field).map(|digits| format!("{prefix}{digits}"));
        hashes.extend(hash.filter(|hash| syntax::is_uri(hash) && !known.contains(hash)));
    }
    let name = fields.take_text("malware.name").map(|name| format!("malware:{}", syntax::quoted(name)));
    if attached.is_empty() && (!hashes.is_empty() || name.is_some()) {
        attached.push(JsonObject::new());
    }
    if let Some(first) = attached.first_mut() {
        for (key, more) in [("Hash", hashes), ("Ref", name.into_iter().collect())] {
            let mut all: Vec<String> = strings(first.get(key)).into_iter().map(str::to_owned).collect();
            all.extend(more.into_iter().filter(|one| !all.contains(one)).collect::<Vec<_>>());
            if !all.is_empty() {
                first.insert(key.to_owned(), all.into());
            }
        }
    }
    if options.raw
        && let Some(raw) = fields.take_text("raw")
    {
        let raw = json!({"Type": ["OrigData"], "ContentEncoding": "base64", "Content": raw});
        attached.extend(raw.as_object().cloned());
    }
    attached.retain(|one| !one.is_empty());
    if !attached.is_empty() {
        out.insert("Attach".to_owned(), attached.into_iter().map(Value::Object).collect());
    }
}

/// Returns true if readers take an attachment of `extra.idea`.
fn is_attachment(members: &JsonObject) -> bool {
    let all = |key: &str, fits: fn(&str) -> bool| match members.get(key) {
        None => true,
        Some(Value::Array(list)) => list.iter().all(|one| one.as_str().is_some_and(fits)),
        Some(_) => false,
    };
    let handle = |text: &str| {
        syntax::is_tag(text) && !text.contains('-') && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    let text = |key: &str| members.get(key).is_none_or(Value::is_string);
    let uris = ["Hash", "Ref", "ExternalURI"].iter().all(|key| all(key, syntax::is_uri));
    uris && all("Type", syntax::is_tag)
        && all("FileName", |_| true)
        && members.get("Handle").is_none_or(|one| one.as_str().is_some_and(handle))
        && ["Note", "ContentType", "ContentCharset", "ContentID"]
            .iter()
            .all(|key| text(key) || all(key, |_| true))
        && members.get("Size").is_none_or(Value::is_u64)
        && !members.contains_key("Content")
        && !members.contains_key("ContentEncoding")
}

/// Returns this node, the way the event came, and the nodes before that.
fn nodes(event: &EventView<'_>, fields: &FieldReader<'_>, options: &EncodeOptions) -> Vec<Value> {
    let publisher = event.id.map(|id| id.publisher.as_str());
    let own = options.node.clone().unwrap_or_else(|| syntax::default_node(publisher));
    let mut nodes = vec![json!({"Name": own, "Type": ["Relay"], "SW": ["intelmesh"]})];
    let hops = event.path.hops();
    nodes.extend(hops.iter().enumerate().rev().map(|(at, hop)| {
        let name = syntax::node_name(hop.as_str());
        if at == 0 { json!({ "Name": name }) } else { json!({"Name": name, "Type": ["Relay"]}) }
    }));
    let kept = fields.kept("node").and_then(Value::as_array).into_iter().flatten();
    nodes.extend(kept.filter(|node| node.as_object().is_some_and(is_node)).cloned());
    nodes
}

fn is_node(members: &JsonObject) -> bool {
    let tags = |key: &str, pattern: bool| match members.get(key) {
        None => true,
        Some(Value::Array(list)) => {
            list.iter().all(|one| one.as_str().is_some_and(|text| !pattern || syntax::is_tag(text)))
        }
        Some(_) => false,
    };
    let known = ["Name", "Type", "SW", "Note"];
    members.get("Name").is_none_or(|name| name.as_str().is_some_and(syntax::is_node_name))
        && tags("Type", true)
        && tags("SW", false)
        && members.get("Note").is_none_or(Value::is_string)
        && members.keys().all(|key| known.contains(&key.as_str()))
}

/// Puts back the keys that the definition does not have.
fn put_others(fields: &FieldReader<'_>, out: &mut JsonObject) {
    let others = fields.kept("other").and_then(Value::as_object);
    for (key, value) in others.into_iter().flatten() {
        // A key that differs only in case would make the message ambiguous; known ones are written from fields.
        let known = super::decode::is_known(key) || out.keys().any(|own| own.eq_ignore_ascii_case(key));
        if !known && !key.starts_with('_') {
            out.insert(key.clone(), value.clone());
        }
    }
}
