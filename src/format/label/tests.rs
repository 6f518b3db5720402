//! Tests labels in every place in which a producer may write one.

use super::*;
use crate::format::refusal::SubmitCode;
use crate::format::{ParsedSubmission, intake};
use crate::identity::{ProjectName, PublisherName};
use crate::policy::Tlp;

fn door(default_tlp: Tlp) -> DoorDefaults {
    let (publisher, project) =
        (PublisherName::parse("cert-at").unwrap(), ProjectName::parse("intelmq").unwrap());
    // With recipients the label may be any: it is read, and not judged.
    DoorDefaults {
        to: vec![PublisherName::parse("cert-ee").unwrap()],
        ..DoorDefaults::of(publisher, project, default_tlp)
    }
}

fn label_at(line: &str, door: &DoorDefaults) -> EventLabel {
    match intake(line.as_bytes(), door) {
        Ok(ParsedSubmission::New(draft)) => draft.label,
        other => panic!("{line}: {other:?}"),
    }
}

fn label(line: &str) -> Tlp {
    label_at(line, &door(Tlp::Clear)).tlp
}

#[test]
fn the_strictest_of_all_places_is_the_label() {
    for (line, want) in [
        (r#"{"a":1}"#, Tlp::Clear),
        (r#"{"a":1,"tlp":"amber"}"#, Tlp::Amber),
        (r#"{"a":1,"TLP":"RED"}"#, Tlp::Red),
        (r#"{"a":1,"Tlp":"yellow"}"#, Tlp::Amber),
        (r#"{"a":1,"tlp":null}"#, Tlp::Clear),
        (r#"{"a":1,"extra.tlp":"tlp:green"}"#, Tlp::Green),
        (r#"{"a":1,"Extra.TLP":"RED"}"#, Tlp::Red),
        (r#"{"a":1,"extra":{"tlp":"AMBER+STRICT","b":2}}"#, Tlp::AmberStrict),
        (r#"{"a":1,"extra":"{\"TLP\":\"RED\"}"}"#, Tlp::Red),
        (r#"{"a":1,"extra":{"tlp":["GREEN","AMBER"]}}"#, Tlp::Amber),
        (r#"{"a":1,"extra":{"other":{"tlp":"RED"}}}"#, Tlp::Clear),
        (r#"{"a":1,"extra":"no JSON"}"#, Tlp::Clear),
        (r#"{"a":1,"tlp":"GREEN","TLP":"AMBER","extra.tlp":"CLEAR"}"#, Tlp::Amber),
        (r#"{"meta":{"tags":["x","tlp:red"]},"payload":{"a":1}}"#, Tlp::Red),
        (r#"{"meta":{"tlp":"GREEN","tags":["TLP:AMBER"]},"payload":{"a":1,"tlp":"WHITE"}}"#, Tlp::Amber),
        (r#"{"meta":{"ext":{"tags":["tlp:amber+strict"]}},"payload":{"a":1}}"#, Tlp::AmberStrict),
        (r#"{"meta":{"ext":{"tags":"tlp:amber"}},"payload":{"a":1}}"#, Tlp::Amber),
        (r#"{"tags":["tlp:amber"],"payload":{"a":1}}"#, Tlp::Amber),
        (r#"{"meta":{"tags":["red","RED:tlp"]},"payload":{"a":1}}"#, Tlp::Clear),
        (r#"{"format":"ail","type":"event","meta":{"tags":["tlp:red"]},"payload":{"raw":"eA=="}}"#, Tlp::Red),
        (r#"{"meta":{"format":"idea"},"payload":{"TLP":"RED","ID":"x"}}"#, Tlp::Red),
        (r#"{"meta":{"format":"n6"},"payload":{"restriction":"internal"}}"#, Tlp::Red),
        (r#"{"meta":{"format":"n6"},"payload":{"restriction":"need-to-know"}}"#, Tlp::Amber),
        (r#"{"meta":{"format":"n6"},"payload":{"restriction":"public"}}"#, Tlp::Clear),
        (r#"{"meta":{"format":"n6"},"payload":{"restriction":"secret"}}"#, Tlp::Red),
        (r#"{"a":1,"restriction":"internal"}"#, Tlp::Clear),
        (r#"{"meta":{"format":"n6"},"payload":{"restriction":"public","extra":{"tlp":"RED"}}}"#, Tlp::Red),
    ] {
        assert_eq!(label(line), want, "{line}");
    }
    let strict = DoorDefaults { tlp: Some(Tlp::Amber), ..door(Tlp::Clear) };
    assert_eq!(label_at(r#"{"a":1,"extra.tlp":"GREEN"}"#, &strict).tlp, Tlp::Amber);
    assert_eq!(
        label_at(r#"{"meta":{"tags":["tlp:clear"]},"payload":{"a":1}}"#, &door(Tlp::Red)).tlp,
        Tlp::Clear
    );
}

#[test]
fn labels_count_anywhere_in_a_misp_message() {
    for (line, want) in [
        (r#"{"meta":{"format":"misp"},"payload":{"Event":{"Tag":[{"name":"tlp:red"}]}}}"#, Tlp::Red),
        (r#"{"meta":{"format":"misp"},"payload":{"Tag":[{"name":"x"},{"name":"TLP:Amber"}]}}"#, Tlp::Amber),
        (
            r#"{"meta":{"format":"misp"},"payload":{"Event":{"Attribute":[{"Tag":[{"name":"tlp:amber"}]}]}}}"#,
            Tlp::Amber,
        ),
        (
            r#"{"meta":{"format":"misp"},"payload":{"Event":{"Object":[{"Attribute":[{"Tag":[{"name":"tlp:red"}]}]}]}}}"#,
            Tlp::Red,
        ),
        (r#"{"meta":{"format":"misp"},"payload":{"Event":{"Tag":[{"name":"tlp:ex:chr"}]}}}"#, Tlp::Red),
        (
            r#"{"meta":{"format":"misp"},"payload":{"response":[{"Event":{"Tag":[{"name":"tlp:red"}]}}]}}"#,
            Tlp::Red,
        ),
        (
            r#"{"meta":{"format":"misp"},"payload":{"Event":{"EventReport":[{"Tag":[{"name":"tlp:amber"}]}]}}}"#,
            Tlp::Amber,
        ),
        (
            r#"{"meta":{"format":"misp"},"payload":{"Event":{"EventTag":[{"Tag":{"name":"tlp:amber"}}]}}}"#,
            Tlp::Amber,
        ),
        (r#"{"meta":{"format":"misp"},"payload":{"object_relation":"tlp","value":"RED"}}"#, Tlp::Red),
        (
            r#"{"meta":{"format":"misp"},"payload":{"object_relation":"extra.tlp","value":"AMBER"}}"#,
            Tlp::Amber,
        ),
        (
            r#"{"meta":{"format":"misp"},"payload":{"object_relation":"extra","value":"{\"tlp\":\"RED\",\"x\":1e999}"}}"#,
            Tlp::Red,
        ),
    ] {
        assert_eq!(label(line), want, "{line}");
    }
}

/// `1e999` is JSON, and fits no type: such a body is carried.
#[test]
fn numbers_out_of_range_hide_no_label() {
    for (line, want) in [
        (r#"{"meta":{"format":"idea"},"payload":{"TLP":"RED","x":1e999}}"#, Tlp::Red),
        (r#"{"meta":{"format":"n6"},"payload":{"x":[-1e999],"restriction":"need-to-know"}}"#, Tlp::Amber),
        (r#"{"meta":{"format":"n6"},"payload":{"restriction":1e999}}"#, Tlp::Red),
        (r#"{"meta":{"format":"misp"},"payload":{"x":1e999,"Tag":[{"name":"tlp:amber"}]}}"#, Tlp::Amber),
        (r#"{"meta":{"tags":["tlp:red",1e999]},"payload":{"a":1}}"#, Tlp::Red),
        (r#"{"a":1,"extra":"{\"tlp\":\"RED\",\"x\":1e999}"}"#, Tlp::Red),
    ] {
        assert_eq!(label(line), want, "{line}");
    }
}

/// Readers differ in the one of two equal keys that they take, so nobody knows what the author meant.
#[test]
fn an_extra_that_cannot_be_read_is_red() {
    assert_eq!(label(r#"{"a":1,"extra":"{\"tlp\":\"RED\",\"tlp\":\"CLEAR\"}"}"#), Tlp::Red);
    assert_eq!(label(r#"{"a":1,"extra":"{no label"}"#), Tlp::Clear);
}

/// What stays at home still says how the event may be shared.
#[test]
fn stripped_fields_keep_their_label() {
    let strip = vec![crate::format::StripRule::parse("extra.*").unwrap()];
    let removal = crate::format::FieldRemoval { strip, mask_secrets: false };
    let door = DoorDefaults { removal, ..door(Tlp::Clear) };
    assert_eq!(label_at(r#"{"a":1,"extra.tlp":"RED"}"#, &door).tlp, Tlp::Red);
    let apart = DoorDefaults { multiple_values: crate::format::MultipleValues::Explode { most: 9 }, ..door };
    let line = br#"{"source.ip":["192.0.2.1","192.0.2.2"],"extra":{"tlp":"RED"},"tlp":["GREEN","AMBER"]}"#;
    let Ok(ParsedSubmission::Exploded(mut exploded)) = intake(line, &apart) else {
        panic!("not taken apart")
    };
    assert!(exploded.all_drafts().all(|draft| draft.label.tlp == Tlp::Red));
}

#[test]
fn unknown_labels_are_quoted() {
    let at_home = DoorDefaults { to: Vec::new(), ..door(Tlp::Clear) };
    for (line, text, place) in [
        (r#"{"a":1,"tlp":"AMBER-STRICT"}"#, "\"AMBER-STRICT\" is not a known label", "tlp of the payload"),
        (r#"{"a":1,"TLP":""}"#, "\"\" is not a known label", "tlp of the payload"),
        (r#"{"a":1,"tlp":3}"#, "\"3\" is not a known label", "tlp of the payload"),
        (r#"{"a":1,"extra":{"tlp":{}}}"#, "\"{}\" is not a known label", "extra.tlp of the payload"),
        (
            r#"{"meta":{"tags":["tlp:ex:chr"]},"payload":{"a":1}}"#,
            "\"tlp:ex:chr\" is not a known label",
            "a tag of meta",
        ),
        (r#"{"meta":{"tlp":"geheim"},"payload":{"a":1}}"#, "\"geheim\" is not a known label", "meta.tlp"),
        (r#"{"meta":{"tlp":3},"payload":{"a":1}}"#, "3 is not a known label", "meta.tlp"),
    ] {
        let fault = intake(line.as_bytes(), &at_home).unwrap_err();
        assert_eq!(fault.code, SubmitCode::BadTlp, "{line}");
        assert!(
            fault.message.contains(text) && fault.message.starts_with(place),
            "{line}: {}",
            fault.message
        );
        assert!(fault.hint.is_some_and(|hint| hint.contains("AMBER+STRICT")), "{line}");
    }
    let fault = intake(br#"{"a":1,"tlp":"RED"}"#, &at_home).unwrap_err();
    assert!(!fault.message.contains("known label"), "{}", fault.message);
}
