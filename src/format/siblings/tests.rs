//! Lines with multiple values, from intake to cores: ids, parent and links.

use uuid::Uuid;

use super::*;
use crate::envelope::content::BodyIdSecret;
use crate::format::{DoorDefaults, MultipleValues, ParsedSubmission, intake};
use crate::identity::{ProjectName, PublisherName};
use crate::policy::Tlp;
use crate::time::Timestamp;

const UUID: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
const TWO_BY_TWO: &str =
    r#"{"source.ip": ["127.0.0.1", "127.0.0.2"], "source.fqdn": ["example.com", "example.org"]}"#;

fn door(ids: IdScheme) -> DoorDefaults {
    let door = DoorDefaults::of(
        PublisherName::parse("cert-at").unwrap(),
        ProjectName::parse("intelmq").unwrap(),
        Tlp::Green,
    );
    DoorDefaults { ids, multiple_values: MultipleValues::Explode { most: MultipleValues::MOST }, ..door }
}

fn siblings_at(line: &str, door: &DoorDefaults, chance: u128) -> Result<SiblingEvents, SubmitError> {
    let secret = BodyIdSecret::new([3; 32]);
    let now = Timestamp(1_763_632_800_123);
    let made = IdInputs { now, random: Uuid::from_u128(chance), secret: &secret };
    match intake(line.as_bytes(), door)? {
        ParsedSubmission::Exploded(exploded) => exploded.into_cores(&made),
        other => panic!("{line}: {other:?}"),
    }
}

fn siblings(line: &str) -> SiblingEvents {
    siblings_at(line, &door(IdScheme::Body), 42).unwrap_or_else(|fault| panic!("{line}: {fault:?}"))
}

fn bodies(cores: &[Core]) -> Vec<String> {
    cores.iter().map(|core| String::from_utf8(core.body.bytes().to_vec()).unwrap()).collect()
}

#[test]
fn two_fields_of_two_values_are_four_events_with_one_parent_and_links_to_each_other() {
    let SiblingEvents { parent, cores } = siblings(TWO_BY_TWO);
    assert_eq!(bodies(&cores)[1], r#"{"source.ip": "127.0.0.1", "source.fqdn": "example.org"}"#);
    assert_eq!(cores.len(), 4);
    for core in &cores {
        assert_eq!((core.parent.as_ref(), core.ids), (Some(&parent), IdScheme::Body));
        let mut linked: Vec<&EventId> = core
            .links
            .iter()
            .map(|link| match (&link.left, link.relation.as_str(), &link.right) {
                (None, "same-report", LinkTarget::Event(id)) => id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(!linked.contains(&&core.id));
        linked.push(&core.id);
        linked.sort_unstable();
        let mut all: Vec<&EventId> = cores.iter().map(|core| &core.id).collect();
        all.sort_unstable();
        assert_eq!(linked, all);
    }
}

#[test]
fn a_line_that_comes_again_makes_the_same_ids_at_every_door() {
    for scheme in [IdScheme::Random, IdScheme::Body, IdScheme::Content] {
        let [first, second] = [1, 2].map(|chance| siblings_at(TWO_BY_TWO, &door(scheme), chance).unwrap());
        assert_eq!(first.parent, second.parent);
        assert_eq!(first.cores, second.cores);
        let want = if scheme == IdScheme::Content { IdScheme::Content } else { IdScheme::Body };
        assert!(first.cores.iter().all(|core| core.ids == want));
    }
}

#[test]
fn the_id_that_the_line_gives_is_the_parents() {
    let line = |meta: &str| format!("{{\"meta\":{{{meta}}},\"payload\":{TWO_BY_TWO}}}");
    let given = siblings(&line(&format!(r#""uuid":{{"current":"{UUID}"}}"#)));
    assert_eq!(given.parent.to_string(), format!("cert-at:intelmq:{UUID}"));
    assert!(given.cores.iter().all(|core| core.parent.as_ref() == Some(&given.parent)));
    assert_eq!(bodies(&given.cores), bodies(&siblings(TWO_BY_TWO).cores));
    let content = siblings_at(
        &line(&format!(r#""ids":"content","uuid":{{"current":"{UUID}"}}"#)),
        &door(IdScheme::Random),
        1,
    );
    assert_eq!(content.unwrap_err().code, SubmitCode::BadId);
    let line = line(&format!(r#""uuid":{{"current":"{UUID}"}}"#));
    let given = siblings_at(&line, &door(IdScheme::Content), 1).unwrap();
    assert_eq!(given.parent.to_string(), format!("cert-at:intelmq:{UUID}"));
    assert!(given.cores.iter().all(|core| core.ids == IdScheme::Content));
}

#[test]
fn a_parent_that_the_line_names_becomes_a_link() {
    let parent = format!("cert-ee:intelmq:{UUID}");
    let line = format!(
        r#"{{"meta":{{"uuid":{{"parent":"{parent}"}},"links":[{{"type":"alternate","right":"RT#1"}}],"tlp":"AMBER","to":["cert-ee"],"rtir_id":5}},"payload":{TWO_BY_TWO}}}"#
    );
    for core in siblings(&line).cores {
        let shown: Vec<_> = core.links.iter().map(|link| link.relation.as_str()).collect();
        assert_eq!(shown, ["alternate", "derived-from", "same-report", "same-report", "same-report"]);
        assert_eq!(core.links[1].right, LinkTarget::Event(parent.parse().unwrap()));
        assert_eq!((core.tlp, core.to.len(), core.ext.unwrap()), (Tlp::Amber, 1, r#"{"rtir_id":5}"#.into()));
    }
}

#[test]
fn values_that_make_the_same_content_are_one_event() {
    let line = r#"{"a":[1,1.0,2],"raw":["x","y"]}"#;
    assert_eq!(siblings_at(line, &door(IdScheme::Content), 1).unwrap().cores.len(), 2);
    assert_eq!(siblings(line).cores.len(), 6);
}

#[test]
fn each_event_has_its_own_label_and_loses_what_stays_at_home() {
    let labels: Vec<_> =
        siblings(r#"{"a":1,"tlp":["GREEN","amber"]}"#).cores.iter().map(|core| core.tlp).collect();
    assert_eq!(labels, [Tlp::Green, Tlp::Amber]);
    let red = siblings_at(r#"{"a":1,"tlp":["GREEN","RED"]}"#, &door(IdScheme::Body), 1);
    assert_eq!(red.unwrap_err().code, SubmitCode::BadTlp);
    let home = DoorDefaults { removal: door(IdScheme::Body).at_intelmq().removal, ..door(IdScheme::Body) };
    let line = r#"{"a":[1,2],"rtir_id":[3,4],"feed.url":["file:///srv","http://example.com"]}"#;
    let cores = siblings_at(line, &home, 1).unwrap().cores;
    assert_eq!(
        bodies(&cores),
        [
            r#"{"a":1}"#,
            r#"{"a":1,"feed.url":"http://example.com"}"#,
            r#"{"a":2}"#,
            r#"{"a":2,"feed.url":"http://example.com"}"#
        ]
    );
}

#[test]
fn a_list_of_one_value_is_that_value() {
    let line =
        format!(r#"{{"meta":{{"uuid":{{"current":"{UUID}"}}}},"payload":{{"source.ip":["192.0.2.1"]}}}}"#);
    let Ok(ParsedSubmission::New(draft)) = intake(line.as_bytes(), &door(IdScheme::Body)) else {
        panic!("not one event")
    };
    let secret = BodyIdSecret::new([3; 32]);
    let made = IdInputs { now: Timestamp(1), random: Uuid::from_u128(1), secret: &secret };
    let core = draft.into_core(&made).unwrap();
    assert_eq!((core.id.uuid.to_string(), core.parent, core.links.len()), (UUID.to_owned(), None, 0));
    assert_eq!(core.body.bytes(), r#"{"source.ip":"192.0.2.1"}"#.as_bytes());
}

#[test]
fn the_largest_product_has_room_for_its_links_and_one_more_has_not() {
    let values: Vec<String> = (0..256).map(|value| value.to_string()).collect();
    let line = |links: &str| {
        format!(r#"{{"meta":{{"links":[{links}]}},"payload":{{"source.port":[{}]}}}}"#, values.join(","))
    };
    let signer = crate::envelope::Signer::new(crate::fixture::key(7));
    let cores = siblings(&line(r#"{"type":"alternate","right":"RT#1"}"#)).cores;
    assert_eq!(cores.len(), 256);
    for core in cores {
        assert_eq!(core.links.len(), LINKS_MAX);
        signer.sign(core).unwrap();
    }
    let two = line(r#"{"type":"alternate","right":"RT#1"},{"type":"alternate","right":"RT#2"}"#);
    let fault = siblings_at(&two, &door(IdScheme::Body), 1).unwrap_err();
    assert_eq!(fault.code, SubmitCode::MultiValue);
    assert!(fault.message.contains("256 events"), "{}", fault.message);
}

#[test]
fn lists_are_refused_where_the_door_does_not_explode_and_below_extra_they_are_values() {
    let refuse = DoorDefaults { multiple_values: MultipleValues::Refuse, ..door(IdScheme::Body) };
    assert_eq!(siblings_at(TWO_BY_TWO, &refuse, 1).unwrap_err().code, SubmitCode::MultiValue);
    let few = DoorDefaults { multiple_values: MultipleValues::Explode { most: 3 }, ..door(IdScheme::Body) };
    let fault = siblings_at(TWO_BY_TWO, &few, 1).unwrap_err();
    assert!(fault.message.contains("\"source.ip\" (2) x \"source.fqdn\" (2) make 4 events, at most 3"));
    let line = r#"{"extra.tags":["a","b"],"extra":{"c":[1]},"source":{"ip":["192.0.2.1"]}}"#;
    assert!(matches!(intake(line.as_bytes(), &door(IdScheme::Body)), Ok(ParsedSubmission::New(_))));
    let idea = r#"{"meta":{"format":"idea"},"payload":{"Category":["a","b"]}}"#;
    assert!(matches!(intake(idea.as_bytes(), &door(IdScheme::Body)), Ok(ParsedSubmission::New(_))));
}

proptest::proptest! {
    #[test]
    fn exploding_gives_every_combination_once_and_always_the_same_ids(
        a in proptest::collection::btree_set(0u32..50, 1..5),
        b in proptest::collection::btree_set("[a-c\"\\\\é😀]{0,3}", 2..5),
        order in proptest::bool::ANY,
    ) {
        let list = |values: Vec<String>| format!("[{}]", values.join(" ,"));
        let a: Vec<String> = a.iter().map(u32::to_string).collect();
        let b: Vec<String> = b.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
        let line = format!("{{\"x\":1.0,\"a\":{},\"b\": {}}}", list(a.clone()), list(b.clone()));
        let first = siblings(&line);
        let mut want: Vec<String> = a.iter().flat_map(|a| b.iter().map(move |b| format!("{{\"x\":1.0,\"a\":{a},\"b\": {b}}}"))).collect();
        proptest::prop_assert_eq!(bodies(&first.cores), want.clone());
        let mut ids: Vec<_> = first.cores.iter().map(|core| core.id.clone()).collect();
        let turned = if order { a.into_iter().rev().collect() } else { a };
        let mut again: Vec<_> = siblings(&format!("{{\"x\":1.0,\"a\":{},\"b\": {}}}", list(turned), list(b))).cores.into_iter().map(|core| core.id).collect();
        ids.sort_unstable();
        again.sort_unstable();
        proptest::prop_assert_eq!(&ids, &again);
        ids.dedup();
        want.dedup();
        proptest::prop_assert_eq!(ids.len(), want.len());
    }
}

/// A message that names two of its events alike: the second one was dropped.
#[test]
fn events_of_one_name_are_all_kept() {
    let misp = crate::event::EventFormat::parse("misp").unwrap();
    let door = DoorDefaults {
        messages: crate::format::MessageRule { format: Some(misp), convert: true },
        ..door(IdScheme::Random)
    };
    let object = |ip: &str, label: &str| {
        let address = serde_json::json!({"type": "ip-src", "object_relation": "source.ip", "value": ip,
            "Tag": [{"name": label}]});
        serde_json::json!({"name": "intelmq_event", "uuid": UUID, "Attribute": [address]})
    };
    let (one, other) = (object("192.0.2.1", "tlp:clear"), object("192.0.2.2", "tlp:green"));
    let same = object("192.0.2.1", "tlp:amber");
    let message = serde_json::json!({"Event": {"uuid": "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3c", "info": "x",
        "Object": [one, other, same, other]}});
    let SiblingEvents { cores, .. } = siblings_at(&message.to_string(), &door, 42).unwrap();
    let ids: Vec<String> = cores.iter().map(|core| core.id.uuid.to_string()).collect();
    assert_eq!((ids.len(), ids[0].as_str()), (2, UUID), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
    assert!(bodies(&cores)[1].contains("192.0.2.2"));
    assert_eq!(cores[0].tlp, Tlp::Amber, "the stricter label of two that are one");
}
