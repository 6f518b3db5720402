//! Relations as a consumer of plain events is told them: which count, and in which field.

use std::sync::Arc;

use bytes::Bytes;

use super::super::tests::{ID, bare, envelope, hand, path};
use super::super::{IntelmqHandOff, RelationFields};
use super::*;
use crate::envelope::content::BodyIdSecret;
use crate::envelope::seal::{SealKey, seal};
use crate::envelope::{Core, Envelope, OpenedBody, Signer};
use crate::identity::PublisherName;
use crate::link::Relation;

const OTHER: &str = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3d";

#[test]
fn relations_are_told_in_the_fields_that_the_operator_names() {
    let link = |relation: &str| Link {
        left: None,
        relation: Relation::parse(relation).unwrap(),
        right: LinkTarget::Event(OTHER.parse().unwrap()),
    };
    let payload = r#"{"comment":"x","status":"y"}"#;
    let linked =
        envelope(payload, |core| core.links = vec![link("withdraws"), link("replaces"), link("replaces")]);
    let (_, line) = hand(&bare(), &linked);
    assert_eq!(
        line,
        format!(
            r#"{{"comment":"x","status":"y","extra.intelmesh.withdraws":"{OTHER}","extra.intelmesh.replaces":["{OTHER}","{OTHER}"]}}"#
        )
    );
    let fields = RelationFields::new("status", "", "extra.gone", "source.ip").unwrap();
    let hand_off = IntelmqHandOff { relation_fields: fields, ..bare() };
    let (_, line) = hand(&hand_off, &linked);
    assert_eq!(
        line,
        format!(r#"{{"comment":"x","status":"{OTHER}","extra.intelmesh.moved":{{"status":"y"}}}}"#)
    );
    let (path, id, envelope) = (path(), OTHER.parse::<EventId>().unwrap(), envelope(payload, |_| {}));
    let carried =
        Carried { withdrawn_by: Some(&id), replaced_by: Some(&id), ..Carried::new(1, &path, &envelope) };
    let mut out = Vec::new();
    hand_off.write(&carried, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            r#"{{"comment":"x","status":"y","extra.gone":"{OTHER}","extra.intelmesh.moved":{{"source.ip":"{OTHER}"}}}}"#
        )
    );
}

#[test]
fn a_field_that_cannot_tell_a_relation_keeps_what_the_event_has_there() {
    let fields = RelationFields::new("source.ip", "", "", "").unwrap();
    let hand_off = IntelmqHandOff { relation_fields: fields, ..bare() };
    let told = |payload: &str| {
        let right = LinkTarget::Event(OTHER.parse().unwrap());
        let link = Link { left: None, relation: Relation::parse("withdraws").unwrap(), right };
        hand(&hand_off, &envelope(payload, |core| core.links = vec![link])).1
    };
    assert_eq!(
        told(r#"{"source.ip":"192.0.2.1"}"#),
        format!(r#"{{"source.ip":"192.0.2.1","extra.intelmesh.moved":{{"source.ip":"{OTHER}"}}}}"#)
    );
    assert_eq!(
        told(r#"{"comment":"x","source.ip":"1.2.3"}"#),
        r#"{"comment":"x","extra.intelmesh.moved":{"source.ip":"1.2.3"}}"#
    );
}

/// The same event, sealed to cert-ee.
fn sealed_again(plain: &Envelope) -> Arc<Envelope> {
    let key = SealKey::new(std::array::from_fn(|at| if at == 0 { 9 } else { 0 })).unwrap();
    let core = Core { to: vec![PublisherName::parse("cert-ee").unwrap()], ..plain.core().clone() };
    let core = seal(core, &[key], &BodyIdSecret::new([7; 32]), &mut rand::rng()).unwrap();
    let signer = Signer::new(crate::fixture::key(7));
    signer.sign(core).unwrap().envelope().clone()
}

#[test]
fn another_publishers_withdrawal_is_not_told_to_a_plain_consumer() {
    let theirs = OTHER.replace("cert-at", "cert-ee");
    let told = |right: &str, left: Option<&str>, sealed: bool| {
        let link = |relation: &str| Link {
            left: left.map(|left| left.parse().unwrap()),
            relation: Relation::parse(relation).unwrap(),
            right: LinkTarget::Event(right.parse().unwrap()),
        };
        let links = vec![link("withdraws"), link("replaces")];
        let payload = Bytes::from_static(br#"{"comment":"x"}"#);
        let envelope = envelope(r#"{"comment":"x"}"#, |core| core.links = links.clone());
        let envelope = if sealed { sealed_again(&envelope) } else { envelope };
        let opened = OpenedBody { payload, parent: None, links, ext: None, extensions: Default::default() };
        let path = path();
        let carried = Carried { opened: sealed.then_some(&opened), ..Carried::new(1, &path, &envelope) };
        let mut out = Vec::new();
        bare().write(&carried, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert!(told(OTHER, None, false).contains("extra.intelmesh.withdraws"));
    assert!(told(OTHER, Some(ID), false).contains("extra.intelmesh.replaces"));
    for (right, left, sealed) in [
        (theirs.as_str(), None, false),
        (theirs.as_str(), Some(ID), false),
        (OTHER, Some(theirs.as_str()), false),
        (ID, None, false),
        (OTHER, None, true),
    ] {
        assert_eq!(told(right, left, sealed), r#"{"comment":"x"}"#, "{left:?} {right} {sealed}");
    }
}

#[test]
fn relation_fields_are_keys_of_intelmq_and_do_not_stand_in_each_others_way() {
    for (names, good) in [
        (["aa.b", "extra.b", "", ""], true),
        (["", "", "", ""], true),
        (["extra.A", "", "", ""], false),
        (["extra", "", "", ""], false),
        (["extra.intelmesh.uuid", "", "", ""], false),
        (["extra.intelmesh.moved.x", "", "", ""], false),
        (["extra.a", "extra.a", "", ""], false),
        (["extra.a", "", "", "extra.a.b"], false),
    ] {
        assert_eq!(RelationFields::new(names[0], names[1], names[2], names[3]).is_ok(), good, "{names:?}");
    }
}
