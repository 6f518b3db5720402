//! Tests the recipients of a line, and whether it is sealed to them.

use std::collections::BTreeMap;

use super::*;
use crate::envelope::content::BodyIdSecret;
use crate::format::{DoorDefaults, ParsedSubmission, intake};
use crate::identity::NodeNames;
use crate::identity::ProjectName;
use crate::policy::Peer;
use crate::time::Timestamp;

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn names(texts: &[&str]) -> Vec<PublisherName> {
    texts.iter().map(|text| name(text)).collect()
}

fn key(of: u8) -> SealKey {
    SealKey::of(&[of; 32].into())
}

fn peer(of: &str, seed: u8, seal: Option<SealKey>) -> Peer {
    Peer { seal, ..Peer::new(name(of), crate::fixture::key(seed).verifying_key()) }
}

/// We are cert-at, once cert-old (sealing key 1); cert-pl was cert-poland; cert-lv has no sealing key, cert-no gets sealed events alone.
fn trust() -> TrustList {
    let mut alone = peer("cert-no", 5, Some(key(5)));
    alone.share.seal = true;
    let mut renamed = peer("cert-pl", 3, Some(key(3)));
    renamed.aliases = names(&["cert-poland"]);
    let peers = [peer("cert-ee", 2, Some(key(2))), renamed, peer("cert-lv", 4, None), alone];
    let groups = BTreeMap::from([
        (name("nordics"), names(&["cert-ee", "cert-no", "cert-at"])),
        (name("baltics"), names(&["cert-ee", "cert-poland"])),
    ]);
    let own = NodeNames::new(name("cert-at"), names(&["cert-old"]));
    TrustList::new(own, crate::fixture::key(1).verifying_key(), peers)
        .with_own_seal(key(1))
        .with_groups(groups)
}

fn door() -> DoorDefaults {
    DoorDefaults::of(name("cert-at"), ProjectName::parse("intelmq").unwrap(), Tlp::Green)
}

fn addressed_at(meta: &str, door: &DoorDefaults) -> Result<Addressed<CoreDraft>, SubmitError> {
    let line = format!("{{\"meta\":{{{meta}}},\"payload\":{{\"a\":1}}}}");
    match intake(line.as_bytes(), door)? {
        ParsedSubmission::New(draft) => draft.address(&trust()),
        other => panic!("no new event: {other:?}"),
    }
}

fn addressed(meta: &str) -> Result<Addressed<CoreDraft>, SubmitError> {
    addressed_at(meta, &door())
}

fn code(meta: &str) -> &'static str {
    addressed(meta).map_or_else(|fault| fault.code.as_str(), |_| "ok")
}

#[test]
fn recipients_out_of_reach_are_refused_unsealed() {
    let mut alone = peer("cert-cc", 6, Some(key(6)));
    (alone.publisher_only, alone.dialled) = (true, false);
    let mut revoked = peer("cert-cz", 7, None);
    revoked.revoked = true;
    let mut down = peer("cert-hu", 8, Some(key(8)));
    (down.dialled, down.paused) = (false, true);
    let own = crate::fixture::key(1).verifying_key();
    let trust = TrustList::new(name("cert-at"), own, [alone, revoked, down, peer("cert-ee", 2, None)])
        .with_own_seal(key(1))
        .with_groups(BTreeMap::from([(name("far"), names(&["cert-cc", "cert-cz"]))]));
    let code = |meta: &str| {
        let line = format!("{{\"meta\":{{{meta}}},\"payload\":{{\"a\":1}}}}");
        let Ok(ParsedSubmission::New(draft)) = intake(line.as_bytes(), &door()) else { panic!("{line}") };
        draft.address(&trust).map_or_else(|fault| fault.code.as_str(), |_| "ok")
    };
    for (meta, want) in [
        (r#""to":["cert-cc"]"#, "not_deliverable"),
        (r#""to":"far""#, "not_deliverable"),
        (r#""to":["cert-cc"],"seal":true"#, "ok"),
        (r#""to":["cert-cc","cert-ee"]"#, "ok"),
        (r#""to":["cert-hu"]"#, "ok"),
        ("", "ok"),
    ] {
        assert_eq!(code(meta), want, "{meta}");
    }
}

#[test]
fn recipients_narrow_each_other() {
    let line = r#""to":["cert-ee","cert_pl","cert-ee"]"#;
    assert_eq!(addressed(line).unwrap().to(), names(&["cert-ee", "cert-pl"]));
    let at = |to: &[&str]| addressed_at(line, &DoorDefaults { to: names(to), ..door() });
    assert_eq!(at(&["cert-pl", "cert-lv"]).unwrap().to(), names(&["cert-pl"]));
    assert_eq!(at(&["cert-lv"]).unwrap_err().code, SubmitCode::BadMeta);
    assert_eq!(at(&["baltics"]).unwrap().to(), names(&["cert-ee", "cert-pl"]), "a group is its members");
    assert_eq!(
        addressed_at("", &DoorDefaults { to: names(&["cert-pl"]), ..door() }).unwrap().to(),
        names(&["cert-pl"])
    );
}

/// Recipients are reached by former names too; the signed event has the present one.
#[test]
fn recipients_are_known_by_old_names_too() {
    let line = r#""to":["cert-poland","cert-pl","cert-ee"],"seal":true"#;
    let sealed = addressed(line).unwrap();
    assert_eq!(
        (sealed.to(), sealed.seal.clone()),
        (&names(&["cert-pl", "cert-ee"])[..], Some(vec![key(3), key(2)]))
    );
    let at = |to: &[&str]| addressed_at(r#""to":["cert-poland"]"#, &DoorDefaults { to: names(to), ..door() });
    assert_eq!(at(&["cert-pl"]).unwrap().to(), names(&["cert-pl"]));
    assert_eq!(code(r#""seal":true,"to":["cert-old"]"#), "unknown_recipient", "for ourselves alone");
    assert_eq!(
        addressed(r#""seal":true,"to":["cert-old","cert-ee"]"#).unwrap().to(),
        names(&["cert-at", "cert-ee"])
    );
}

#[test]
fn a_group_is_its_members_each_once() {
    let both = addressed(r#""to":["baltics","cert-lv","cert-ee"]"#).unwrap();
    assert_eq!(both.to(), names(&["cert-ee", "cert-pl", "cert-lv"]));
    assert!(!both.is_sealed());
    let sealed = addressed(r#""to":["nordics"]"#).unwrap();
    assert_eq!(sealed.to(), names(&["cert-ee", "cert-no", "cert-at"]));
    assert_eq!(sealed.seal, Some(vec![key(2), key(5), key(1)]));
}

#[test]
fn two_recipients_with_one_sealing_key_are_refused_by_name() {
    let peers = [peer("cert-ee", 2, Some(key(2))), peer("cert-pl", 3, Some(key(2)))];
    let list = TrustList::new(name("cert-at"), crate::fixture::key(1).verifying_key(), peers);
    let line = br#"{"meta":{"to":["cert-pl","cert-ee"],"seal":true},"payload":{"a":1}}"#;
    let Ok(ParsedSubmission::New(draft)) = intake(line, &door()) else { panic!("bug: it is a new event") };
    let refused = draft.address(&list).unwrap_err();
    assert_eq!(refused.code, SubmitCode::UnknownRecipient);
    assert_eq!(refused.message, "\"cert-pl\" and \"cert-ee\" name the same sealing key");
}

#[test]
fn what_is_sealed_is_sealed_to_those_that_to_names() {
    let sealed = addressed(r#""to":["cert-pl","cert-ee"],"seal":true,"tlp":"RED""#).unwrap();
    assert_eq!(sealed.seal, Some(vec![key(3), key(2)]));
    let at_door = DoorDefaults { seal: true, to: names(&["cert-ee"]), ..door() };
    assert_eq!(addressed_at(r#""seal":false"#, &at_door).unwrap().seal, Some(vec![key(2)]));
    assert_eq!(addressed(r#""to":["cert-pl","cert-ee"],"seal":false"#).unwrap().seal, None);
}

#[test]
fn whoever_gets_sealed_events_alone_gets_sealed_ones() {
    assert!(addressed(r#""to":["cert-ee","cert-no"]"#).unwrap().is_sealed());
    assert!(addressed(r#""to":["cert-no"],"tlp":"AMBER+STRICT""#).unwrap().is_sealed());
    assert_eq!(code(r#""to":["cert-no","cert-lv"]"#), "unknown_recipient");
}

#[test]
fn what_cannot_be_sealed_or_would_go_to_nobody_is_refused() {
    for (meta, want) in [
        (r#""seal":true"#, "bad_meta"),
        (r#""seal":true,"tlp":"RED""#, "bad_meta"),
        (r#""seal":"yes""#, "bad_meta"),
        (r#""seal":true,"to":["cert-fr"]"#, "unknown_recipient"),
        (r#""seal":true,"to":["cert-ee","cert-lv"]"#, "unknown_recipient"),
        (r#""seal":true,"to":["cert-at"]"#, "unknown_recipient"),
        (r#""seal":true,"to":["cert-at","cert-ee"]"#, "ok"),
        (r#""to":["cert-at","cert-ee"]"#, "unknown_recipient"),
        (r#""seal":true,"to":["cert-ee"],"ids":"content""#, "bad_meta"),
        (r#""seal":true,"to":["cert-ee"],"ids":"body""#, "ok"),
        (r#""tlp":"RED""#, "bad_tlp"),
        (r#""tlp":"RED","to":["cert-ee"]"#, "bad_tlp"),
        (r#""tlp":"AMBER+STRICT","to":["cert-ee"]"#, "bad_tlp"),
        (r#""tlp":"AMBER+STRICT","to":["cert-ee"],"seal":true"#, "ok"),
    ] {
        assert_eq!(code(meta), want, "{meta}");
    }
    let fault = addressed(r#""seal":true,"to":["cert-lv"]"#).unwrap_err();
    assert!(fault.message.contains("\"cert-lv\"") && fault.hint.unwrap().contains("invitation"), "{fault:?}");
}

#[test]
fn the_core_of_what_is_sealed_keeps_nothing_outside() {
    let secret = BodyIdSecret::new([3; 32]);
    let made =
        IdInputs { now: Timestamp(1_763_632_800_123), random: uuid::Uuid::from_u128(42), secret: &secret };
    let meta = r#""to":["cert-ee"],"seal":true,"rtir_id":7,"links":[{"type":"alternate","right":"RT#1"}]"#;
    let core = addressed(meta).unwrap().into_core(&made, &mut rand::rng()).unwrap();
    assert!(core.body.is_sealed() && core.ext.is_none() && core.links.is_empty());
    let plain =
        addressed(&meta.replace("true", "false")).unwrap().into_core(&made, &mut rand::rng()).unwrap();
    assert!(!plain.body.is_sealed() && plain.ext.is_some() && plain.links.len() == 1);
}
