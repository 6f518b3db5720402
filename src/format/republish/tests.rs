//! Tests children of events that were handed off: no wider audience than their parent, and never in a circle.

use uuid::Uuid;

use super::*;
use crate::envelope::content::BodyIdSecret;
use crate::envelope::{Body, IdScheme};
use crate::format::{DoorDefaults, IdInputs, MultipleValues, ParsedSubmission, intake};
use crate::identity::ProjectName;
use crate::link::{Link, Relation};
use crate::policy::testing::trusting;
use crate::time::Timestamp;

const UUID: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn door() -> DoorDefaults {
    let door = DoorDefaults::of(name("cert-at"), ProjectName::parse("intelmq").unwrap(), Tlp::Green);
    DoorDefaults { republish: true, ..door }
}

fn core_of(intake: ParsedSubmission) -> Core {
    let secret = BodyIdSecret::new([3; 32]);
    let made = IdInputs { now: Timestamp(1_763_632_800_123), random: Uuid::from_u128(42), secret: &secret };
    match intake {
        ParsedSubmission::New(draft) => draft.into_core(&made).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// An event of `publisher`, with that meta.
fn held(publisher: &str, meta: &str) -> Core {
    let door = DoorDefaults { publisher: name(publisher), republish: false, ..door() };
    let line = format!(r#"{{"meta":{{"uuid":{{"current":"{UUID}"}}{meta}}},"payload":{{"a":1}}}}"#);
    core_of(intake(line.as_bytes(), &door).unwrap())
}

fn child(meta: &str) -> Box<ChildEvent> {
    let line = format!(
        r#"{{"meta":{{{meta}}},"payload":{{"a":1,"b":2,"extra.intelmesh.uuid":"cert-ee:intelmq:{UUID}","extra.intelmesh.path":"!cert-ee"}}}}"#
    );
    match intake(line.as_bytes(), &door()) {
        Ok(ParsedSubmission::Child(child)) => child,
        other => panic!("{line}: {other:?}"),
    }
}

/// We were cert-old; cert-est was cert-ee.
fn trust() -> TrustList {
    let peers: [&[&str]; 4] = [&["cert-est", "cert-ee"], &["cert-fr"], &["cert-lv"], &["cert-pl"]];
    trusting(&["cert-at", "cert-old"], &peers)
}

fn signed(meta: &str, lineage: &[&Core]) -> Result<Core, SubmitError> {
    let draft = child(meta).into_draft(lineage, &trust())?;
    Ok(core_of(ParsedSubmission::New(Box::new(draft))))
}

#[test]
fn an_event_that_was_handed_off_becomes_its_own_child() {
    let parent = held("cert-ee", r#","tlp":"CLEAR""#);
    assert_eq!(*child("").of(), parent.id);
    let core = signed("", &[&parent]).unwrap();
    assert_eq!((core.parent.as_ref(), &core.id.publisher), (Some(&parent.id), &name("cert-at")));
    assert_eq!(core.body, Body::Plain(r#"{"a":1,"b":2}"#.into()));
    assert!(core.links.is_empty());
}

#[test]
fn what_is_not_held_is_not_published_again() {
    assert_eq!(signed("", &[]).unwrap_err().code, SubmitCode::ForeignEvent);
    let line = br#"{"extra.intelmesh.uuid":"no id","a":1}"#;
    assert_eq!(intake(line, &door()).unwrap_err().code, SubmitCode::ForeignEvent);
}

#[test]
fn the_label_is_at_least_the_parents() {
    for (parent, own, want) in [
        ("AMBER", r#""tlp":"CLEAR""#, Tlp::Amber),
        ("CLEAR", r#""tlp":"AMBER""#, Tlp::Amber),
        ("CLEAR", "", Tlp::Green),
    ] {
        let parent = held("cert-ee", &format!(r#","tlp":"{parent}""#));
        assert_eq!(signed(own, &[&parent]).unwrap().tlp, want);
    }
    let red = Core { tlp: Tlp::Red, ..held("cert-ee", "") };
    assert_eq!(signed("", &[&red]).unwrap_err().code, SubmitCode::BadTlp);
}

#[test]
fn recipients_and_life_are_no_wider_than_the_parents() {
    let parent = held(
        "cert-ee",
        r#","to":["cert-at","cert-pl","cert-xx","cert-fr"],"expires":"2027-01-01T00:00:00Z""#,
    );
    let core = signed("", &[&parent]).unwrap();
    assert_eq!(core.to, [name("cert-pl"), name("cert-fr")]);
    assert_eq!(core.expires, parent.expires);
    let core = signed(r#""to":["cert-fr","cert-lv"],"expires":"2026-12-31T00:00:00Z""#, &[&parent]).unwrap();
    assert_eq!(core.to, [name("cert-fr")]);
    assert!(core.expires < parent.expires);
    for to in [r#""to":["cert-lv"]"#, r#""to":["cert-at"]"#, r#""to":["cert-xx"]"#] {
        assert_eq!(signed(to, &[&parent]).unwrap_err().code, SubmitCode::BadMeta, "{to}");
    }
    let only_us = held("cert-ee", r#","to":["cert-at"]"#);
    assert_eq!(signed("", &[&only_us]).unwrap_err().code, SubmitCode::BadMeta);
    let open = held("cert-ee", "");
    assert_eq!(signed(r#""to":["cert-lv"]"#, &[&open]).unwrap().to, [name("cert-lv")]);
}

/// A parent names a recipient by the name that it had then: its child goes to it by its present one, once.
#[test]
fn recipients_are_inherited_across_a_rename() {
    let parent = held("cert-pl", r#","to":["cert-ee","cert-est","cert-old","cert-fr"]"#);
    let core = signed("", &[&parent]).unwrap();
    assert_eq!(core.to, [name("cert-est"), name("cert-fr")]);
}

#[test]
fn nothing_comes_back_to_a_publisher_of_its_ancestry() {
    let ours = held("cert-at", "");
    let theirs = held("cert-ee", "");
    let of_ours = Core { parent: Some(ours.id.clone()), ..held("cert-pl", "") };
    let related = |relation: &str| Core {
        links: vec![Link {
            left: None,
            relation: Relation::parse(relation).unwrap(),
            right: LinkTarget::Event(ours.id.clone()),
        }],
        ..held("cert-pl", "")
    };
    let of_old = held("cert-old", "");
    let (circle, related_circle) = (vec![&theirs, &of_ours], related("derived-from"));
    for lineage in [vec![&ours], vec![&theirs, &ours], circle, vec![&related_circle], vec![&of_old]] {
        let fault = signed("", &lineage).unwrap_err();
        assert_eq!(fault.code, SubmitCode::ForeignEvent, "{lineage:?}");
        assert!(fault.message.contains("circle"), "{}", fault.message);
    }
    assert!(signed("", &[&related("related")]).is_ok());
}

#[test]
fn an_ancestry_has_its_bound_whether_it_is_held_or_only_named() {
    let event = held("cert-ee", "");
    let named = Core { parent: Some(event.id.clone()), ..event.clone() };
    assert!(signed("", &[&event; 4]).is_ok());
    assert!(signed("", &[&event, &event, &named]).is_ok());
    for lineage in [vec![&event; 5], vec![&event, &event, &event, &named]] {
        let fault = signed("", &lineage).unwrap_err();
        assert_eq!(fault.code, SubmitCode::ForeignEvent);
        assert!(fault.message.contains("too often"), "{}", fault.message);
    }
}

#[test]
fn what_came_sealed_goes_on_sealed() {
    let parent = held("cert-ee", r#","to":["cert-at","cert-pl"]"#);
    let sealed = Core { body: Body::Sealed(vec![0xd8, 0x60].into()), ..parent.clone() };
    let is_sealed = |parent: &Core| child("").into_draft(&[parent], &trust()).unwrap().seal;
    assert!(is_sealed(&sealed) && !is_sealed(&parent));
    let red = Core { tlp: Tlp::Red, ..sealed };
    assert_eq!(child("").into_draft(&[&red], &trust()).unwrap().to, [name("cert-pl")]);
}

#[test]
fn another_parent_that_the_line_names_becomes_a_link() {
    let parent = held("cert-ee", "");
    let other = format!("cert-lv:intelmq:{UUID}");
    let core = signed(&format!(r#""uuid":{{"parent":"{other}"}}"#), &[&parent]).unwrap();
    assert_eq!(core.parent, Some(parent.id.clone()));
    assert_eq!(core.links, [link("derived-from", other.parse().unwrap()).unwrap()]);
    let core = signed(&format!(r#""uuid":{{"parent":"{}"}}"#, parent.id), &[&parent]).unwrap();
    assert!(core.links.is_empty());
}

#[test]
fn a_child_has_single_values() {
    let door =
        DoorDefaults { multiple_values: MultipleValues::Explode { most: 9 }, ids: IdScheme::Body, ..door() };
    let line = format!(r#"{{"a":[1,2],"extra.intelmesh.uuid":"cert-ee:intelmq:{UUID}"}}"#);
    assert_eq!(intake(line.as_bytes(), &door).unwrap_err().code, SubmitCode::MultiValue);
}
