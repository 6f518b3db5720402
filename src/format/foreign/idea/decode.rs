//! IDEA0 -> IntelMQ: one event for each pair of a source and a target address. Lists that have one field each keep
//! their other values below `extra.idea`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::sides::{self, SOURCE, SideElement, SideList, TARGET};
use super::table::{
    CATEGORY_TO_TYPE, COUNTS, HASHES, OTHER_TIMES, REFS, REFS_OF_INTELMQ, SOURCE_TYPE_TO_TYPE, TOP_TEXTS,
    find,
};
use super::{IdeaFormat, strings, syntax, uuid_of};
use crate::format::event_label::EventLabel;
use crate::format::foreign::decoded::{EventCollector, too_many_events};
use crate::format::foreign::flat::FlatEvent;
use crate::format::foreign::moment::{UtcMoment, ZoneRule};
use crate::format::foreign::report::ConversionReport;
use crate::format::foreign::shape::MessagePart;
use crate::format::foreign::{DecodedEvent, DecodedMessage, ForeignFormat as _, ForeignLink, JsonObject};
use crate::format::refusal::{SubmitCode, SubmitError};
use crate::identity::parse_uuid;
use crate::limits::EXPLODED_EVENTS_MAX;

/// Keys of a message that are read by hand; the others stand in tables.
const OTHER_KEYS: [&str; 17] = [
    "Format",
    "ID",
    "DetectTime",
    "EventTime",
    "Category",
    "Confidence",
    "Ref",
    "Source",
    "Target",
    "Attach",
    "Node",
    "TLP",
    "AltNames",
    "CorrelID",
    "AggrID",
    "PredID",
    "RelID",
];

/// Returns the events of a message.
///
/// # Errors
/// `bad_idea` if it breaks a rule of IDEA0, `multi_value` if it has too many sources.
pub(crate) fn decode(members: &JsonObject) -> Result<DecodedMessage, SubmitError> {
    let message = MessagePart { members, place: "", code: SubmitCode::BadIdea };
    let mut report = ConversionReport::default();
    check_keys(&message)?;
    match message.required("Format")? {
        "IDEA0" => {}
        other => return Err(message.fault("Format", &other.into(), "\"IDEA0\"")),
    }
    let id = message.required("ID")?;
    if !syntax::is_id(id) {
        return Err(message.fault("ID", &id.into(), "1 or more of a-z, A-Z, 0-9, \".\", \"_\" and \"-\""));
    }
    let mut flat = FlatEvent::new("idea");
    read_times(&message, &mut flat)?;
    let categories = message.texts("Category")?;
    if !members.contains_key("Category") {
        return Err(message.missing("Category"));
    }
    flat.keep("category", categories.clone());
    if parse_uuid(id).is_err() {
        flat.keep("id", id);
    }
    read_texts(&message, &mut flat, &mut report)?;
    read_refs(&message, &mut flat)?;
    read_attachments(&message, &mut flat, &mut report)?;
    read_nodes(&message, &mut flat)?;
    keep_others(&message, &mut flat, &mut report);
    let sources = sides::read(&message, SOURCE, &mut report)?;
    let targets = sides::read(&message, TARGET, &mut report)?;
    let events = combine(flat, &categories, (sources, targets), &mut report)?;
    let links = links_of(&message, id)?;
    let mut labels = Vec::new();
    IdeaFormat.labels(members, &mut labels);
    let label = EventLabel::strictest(labels);
    Ok(DecodedMessage { uuid: Some(uuid_of(id)), events, links, report, label })
}

/// Two readers would choose different ones of two keys that differ only in case.
fn check_keys(message: &MessagePart<'_>) -> Result<(), SubmitError> {
    let mut known = BTreeSet::new();
    match message.members.keys().find(|key| !known.insert(key.to_ascii_lowercase())) {
        Some(key) => {
            let shown: String = key.chars().take(60).collect();
            let what = format!("\"{shown}\" is there twice, in capitals and small letters");
            Err(SubmitError::new(SubmitCode::BadIdea, what))
        }
        None => Ok(()),
    }
}

/// Reads the times, of which that of detection is required.
fn read_times(message: &MessagePart<'_>, flat: &mut FlatEvent) -> Result<(), SubmitError> {
    let time = |key: &str| match message.text(key)? {
        None => Ok(None),
        Some(text) => match UtcMoment::parse(text, ZoneRule::Required) {
            Some(moment) => Ok(Some(moment)),
            None => Err(message.fault(key, &text.into(), "an RFC 3339 time with its zone")),
        },
    };
    let detected = time("DetectTime")?.ok_or_else(|| message.missing("DetectTime"))?;
    flat.put("time.observation", detected.intelmq());
    if let Some(moment) = time("EventTime")? {
        flat.put("time.source", moment.intelmq());
    }
    for (key, name) in OTHER_TIMES {
        if let Some(moment) = time(key)? {
            flat.keep(name, moment.intelmq());
        }
    }
    Ok(())
}

fn read_texts(
    message: &MessagePart<'_>,
    flat: &mut FlatEvent,
    report: &mut ConversionReport,
) -> Result<(), SubmitError> {
    for (key, field) in TOP_TEXTS {
        if let Some(text) = message.text(key)? {
            flat.put_or_keep(field, text, &key.to_ascii_lowercase(), report);
        }
    }
    for (key, name) in COUNTS {
        match message.members.get(*key) {
            None => {}
            Some(value) if value.is_number() => flat.keep(name, value.clone()),
            Some(other) => return Err(message.fault(key, other, "a number")),
        }
    }
    match message.members.get("Confidence") {
        None => Ok(()),
        Some(value) => match value.as_f64() {
            None => Err(message.fault("Confidence", value, "a number from 0 to 1")),
            Some(number) => {
                if !(0.0..=1.0).contains(&number) || !flat.put("feed.accuracy", percent(number)) {
                    flat.keep("confidence", value.clone());
                }
                Ok(())
            }
        },
    }
}

/// Returns a share as a percentage, without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 100.0 * 1e9).round() / 1e9
}

fn read_refs(message: &MessagePart<'_>, flat: &mut FlatEvent) -> Result<(), SubmitError> {
    let mut rest = Vec::new();
    for text in message.texts("Ref")? {
        let known = REFS.iter().chain(REFS_OF_INTELMQ);
        let known = known.into_iter().find_map(|(prefix, field)| Some((text.strip_prefix(prefix)?, *field)));
        let taken = match known {
            Some((name, field)) => syntax::unquoted(name).is_some_and(|name| flat.put(field, name)),
            None => is_web(text) && flat.put("event_description.url", text),
        };
        if !taken {
            rest.push(text);
        }
    }
    if !rest.is_empty() {
        flat.keep("ref", rest);
    }
    Ok(())
}

fn is_web(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn read_attachments(
    message: &MessagePart<'_>,
    flat: &mut FlatEvent,
    report: &mut ConversionReport,
) -> Result<(), SubmitError> {
    let mut kept = Vec::new();
    let attached = message.objects("Attach")?;
    let count = attached.len();
    for (index, members) in attached.into_iter().enumerate() {
        let place = format!("Attach[{index}].");
        let part = MessagePart { members, place: &place, code: SubmitCode::BadIdea };
        let mut rest = members.clone();
        let content = part.text("Content")?;
        let encoding = part.text("ContentEncoding")?;
        if part.texts("Type")?.contains(&"OrigData")
            && let Some(content) = content
            && !flat.has("raw")
        {
            let raw = match encoding {
                Some("base64") => content.to_owned(),
                Some(other) => {
                    return Err(part.fault("ContentEncoding", &other.into(), "\"base64\" or no encoding"));
                }
                None => data_encoding::BASE64.encode(content.as_bytes()),
            };
            if flat.put("raw", raw) {
                rest.retain(|key, value| match key.as_str() {
                    "Content" | "ContentEncoding" => false,
                    "Type" => value.as_array().is_none_or(|types| types.len() > 1),
                    _ => true,
                });
            }
        }
        // The way back gives the hashes of the fields to the first attachment.
        let first = kept.is_empty();
        let hashes = part.texts("Hash")?;
        let left: Vec<&str> = hashes.into_iter().filter(|hash| !put_hash(flat, hash)).collect();
        if first && left.is_empty() {
            rest.remove("Hash");
        } else if first {
            rest.insert("Hash".to_owned(), Value::from(left));
        }
        if rest.remove("Content").is_some() {
            rest.remove("ContentEncoding");
            report.lost(format!("{place}Content"), "contents of attachments do not travel; hash and size do");
        }
        if !rest.is_empty() || (members.contains_key("Hash") && index + 1 < count) {
            kept.push(Value::Object(rest));
        }
    }
    if !kept.is_empty() {
        flat.keep("attach", kept);
    }
    Ok(())
}

fn put_hash(flat: &mut FlatEvent, hash: &str) -> bool {
    let known = HASHES.iter().find_map(|(prefix, field)| Some((hash.strip_prefix(prefix)?, *field)));
    known.is_some_and(|(digits, field)| flat.put(field, digits))
}

/// The last node is the detector: the list is written by relays, newest first.
fn read_nodes(message: &MessagePart<'_>, flat: &mut FlatEvent) -> Result<(), SubmitError> {
    let nodes = message.objects("Node")?;
    let Some(detector) = nodes.last() else { return Ok(()) };
    if let Some(name) = detector.get("Name").and_then(Value::as_str) {
        flat.put("feed.name", name);
    }
    flat.keep("node", message.list("Node")?.to_vec());
    Ok(())
}

/// Returns true for a key of the definition that is read here.
pub(crate) fn is_known(key: &str) -> bool {
    let names = TOP_TEXTS.iter().chain(OTHER_TIMES).chain(COUNTS);
    names.map(|(name, _)| *name).chain(OTHER_KEYS).any(|name| name == key)
}

/// Keeps keys that the definition does not have, and a label that is not one.
fn keep_others(message: &MessagePart<'_>, flat: &mut FlatEvent, report: &mut ConversionReport) {
    let mut others = JsonObject::new();
    for (key, value) in message.members {
        if key == "TLP" {
            if value.as_str().is_none_or(|text| super::read_label(text).is_none()) {
                flat.keep("tlp", value.clone());
            }
        } else if key.starts_with('_') {
            report.lost(key.as_str(), "keys with _ are local to the system that wrote them");
        } else if !is_known(key) {
            report.moved(key.as_str(), "extra.idea.other");
            others.insert(key.clone(), value.clone());
        }
    }
    if !others.is_empty() {
        flat.keep("other", others);
    }
}

fn links_of(message: &MessagePart<'_>, id: &str) -> Result<Vec<ForeignLink>, SubmitError> {
    let mut links: Vec<ForeignLink> =
        message.texts("AltNames")?.into_iter().map(ForeignLink::alternate).collect();
    if parse_uuid(id).is_err() {
        links.push(ForeignLink::alternate(format!("idea:{id}")));
    }
    let relations = [
        ("CorrelID", "derived-from"),
        ("AggrID", "derived-from"),
        ("PredID", "replaces"),
        ("RelID", "related"),
    ];
    for (key, relation) in relations {
        for name in message.texts(key)? {
            links.push(match parse_uuid(name) {
                Ok(uuid) => ForeignLink::own(relation, uuid),
                Err(_) => ForeignLink::alternate(format!("idea:{name}")),
            });
        }
    }
    Ok(links)
}

/// Makes an event of each pair of elements, or of each source if that would be too many.
fn combine(
    mut base: FlatEvent,
    categories: &[&str],
    (mut sources, mut targets): (SideList<'_>, SideList<'_>),
    report: &mut ConversionReport,
) -> Result<Vec<DecodedEvent>, SubmitError> {
    if sources.elements.len() > EXPLODED_EVENTS_MAX {
        return Err(too_many_events());
    }
    let count = |list: &SideList<'_>| list.elements.len().max(1);
    if count(&sources) * count(&targets) > EXPLODED_EVENTS_MAX {
        report.moved("Target", "extra.idea.targets");
        let objects = targets.objects.iter().map(|members| Value::Object((*members).clone()));
        targets.others.extend(objects);
        targets.elements.clear();
    }
    for (list, names) in [(&mut sources, SOURCE), (&mut targets, TARGET)] {
        if !list.others.is_empty() {
            base.keep(names.others, std::mem::take(&mut list.others));
        }
    }
    let sides = |list: &SideList<'_>| match list.elements.len() {
        0 => vec![None],
        len => (0..len).map(Some).collect::<Vec<_>>(),
    };
    let mut events = EventCollector::default();
    for source in sides(&sources) {
        for target in sides(&targets) {
            let source = source.map(|at| &sources.elements[at]);
            let target = target.map(|at| &targets.elements[at]);
            let payload = pair(base.clone(), categories, (source, target), report);
            events.push(DecodedEvent { uuid: None, links: Vec::new(), label: None, payload })?;
        }
    }
    Ok(events.into_events())
}

/// Returns the event of one source and one target.
fn pair(
    mut flat: FlatEvent,
    categories: &[&str],
    (source, target): (Option<&SideElement<'_>>, Option<&SideElement<'_>>),
    report: &mut ConversionReport,
) -> JsonObject {
    flat.put("classification.type", event_type(categories, source, report));
    let mut rests = [JsonObject::new(), JsonObject::new()];
    for ((side, names), rest) in [(source, SOURCE), (target, TARGET)].into_iter().zip(&mut rests) {
        if let Some(side) = side {
            *rest = side.fill(&mut flat, names, report);
        }
    }
    let mut both: Vec<_> =
        [source, target].into_iter().zip(&mut rests).filter_map(|(side, rest)| Some((side?, rest))).collect();
    sides::fill_protocols(&mut flat, &mut both, report);
    for (rest, names) in rests.into_iter().zip([SOURCE, TARGET]) {
        if !rest.is_empty() {
            flat.keep(names.extra(), rest);
        }
    }
    flat.into_payload()
}

/// A test is a test, whatever else it is.
fn event_type(
    categories: &[&str],
    source: Option<&SideElement<'_>>,
    report: &mut ConversionReport,
) -> &'static str {
    if categories.iter().any(|category| *category == "Test" || category.starts_with("Test.")) {
        return "test";
    }
    let entry = |name: &str| find(CATEGORY_TO_TYPE, name).map(|found| (name.to_owned(), found));
    let exact = categories.iter().find_map(|category| entry(category));
    let top = || categories.iter().find_map(|category| entry(category.split('.').next().unwrap_or(category)));
    let Some((category, found)) = exact.or_else(top) else {
        report.changed("Category", "none is known: the type is undetermined");
        return "undetermined";
    };
    let types = source.map(|source| strings(source.members.get("Type"))).unwrap_or_default();
    let of_source = types.iter().find_map(|name| find(SOURCE_TYPE_TO_TYPE, name));
    match found {
        Some("undetermined") if category == "Anomaly.Behaviour" => of_source.unwrap_or("undetermined"),
        Some(found) => found,
        None if category == "Intrusion.Botnet" => {
            of_source.filter(|found| *found == "c2-server").unwrap_or("infected-system")
        }
        None => {
            let url = source.is_some_and(|source| source.members.contains_key("URL"));
            of_source.unwrap_or(if url { "malware-distribution" } else { "infected-system" })
        }
    }
}
