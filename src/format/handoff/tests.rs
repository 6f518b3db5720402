//! Lines out against the contract's examples, and real-looking events through both doors.

use uuid::Uuid;

use super::*;
use crate::envelope::content::BodyIdSecret;
use crate::envelope::{Signer, UnverifiedEnvelope};
use crate::format::{DoorDefaults, IdInputs, ParsedSubmission, intake};
use crate::identity::{ProjectName, PublisherName};
use crate::policy::Tlp;
use crate::time::Timestamp;

const UUID: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";

/// Through intake, signing, decoding and hand-off.
fn through(line: &[u8], form: DeliveryForm, with_type: bool, hops: &[&str]) -> String {
    let door = DoorDefaults::of(
        PublisherName::parse("cert-at").unwrap(),
        ProjectName::parse("intelmq").unwrap(),
        Tlp::Green,
    );
    let secret = BodyIdSecret::new([3; 32]);
    let made = IdInputs { now: Timestamp(1_763_632_800_123), random: Uuid::from_u128(42), secret: &secret };
    let draft = match intake(line, &door) {
        Ok(ParsedSubmission::New(draft)) => draft,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(line)),
    };
    let signer = Signer::new(crate::fixture::key(7));
    let signed = signer.sign(draft.into_core(&made).unwrap()).unwrap();
    let received = UnverifiedEnvelope::decode(signed.envelope().bytes().clone()).unwrap();
    let verified = received.verify(&signer.verifying_key()).unwrap();
    crate::envelope::check_content(verified.envelope().core()).unwrap();
    let path = HopPath::new(hops.iter().map(|hop| PublisherName::parse(hop).unwrap()).collect()).unwrap();
    let mut out = Vec::new();
    assert!(
        HandOff { form, with_type, format: None }
            .write_line(&Carried::new(17, &path, verified.envelope()), &mut out)
    );
    String::from_utf8(out).unwrap()
}

const FULL: &str = r#"{"meta":{"uuid":{"current":"72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b","parent":"cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3c"},"to":["cert-pl"],"links":[{"type":"same-report","right":"cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3d"},{"type":"alternate","right":"RT#\"1\""}],"rtir_id":12345},"payload":{"source.ip": "192.0.2.1"}}"#;

#[test]
fn form_b_has_the_keys_of_the_contract_in_their_order() {
    let want = r#"{"seq":17,"meta":{"version":1,"uuid":{"current":"cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b","parent":"cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3c"},"type":"event","format":"intelmq","publisher":"cert-at","source":"cert-ee","created":"2025-11-20T10:00:00.123Z","tlp":"GREEN","path":"!cert-at!cert-ee","to":["cert-pl"],"links":[{"type":"same-report","right":"cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3d"},{"type":"alternate","right":"RT#\"1\""}],"ext":{"rtir_id":12345}},"payload":{"source.ip": "192.0.2.1"}}"#;
    assert_eq!(through(FULL.as_bytes(), DeliveryForm::Iep04, false, &["cert-at", "cert-ee"]), want);
}

#[test]
fn what_is_our_own_has_no_source_and_no_path() {
    let line = through(br#"{"a":1}"#, DeliveryForm::Iep04, false, &[]);
    assert!(!line.contains("source") && !line.contains("path") && !line.contains("\"to\""), "{line}");
}

#[test]
fn the_type_is_added_only_where_asked_for() {
    let report = br#"{"a":1,"__type":"Report"}"#;
    assert_eq!(through(report, DeliveryForm::Plain, false, &[]), r#"{"a":1}"#);
    assert_eq!(through(report, DeliveryForm::Plain, true, &[]), r#"{"a":1,"__type":"Report"}"#);
    let iep04 = through(report, DeliveryForm::Iep04, true, &[]);
    assert!(iep04.ends_with(r#""payload":{"a":1},"__type":"Report"}"#), "{iep04}");
}

#[test]
fn each_form_reads_back_as_the_same_event() {
    let first = through(FULL.as_bytes(), DeliveryForm::Iep04, false, &[]);
    for form in [DeliveryForm::Iep04, DeliveryForm::Ail] {
        let line = through(FULL.as_bytes(), form, true, &[]);
        assert_eq!(through(line.as_bytes(), DeliveryForm::Iep04, false, &[]), first, "{line}");
    }
    let ail = through(FULL.as_bytes(), DeliveryForm::Ail, false, &[]);
    let read: serde_json::Value = serde_json::from_str(&ail).unwrap();
    assert_eq!(read["meta"]["uuid"], format!("cert-at:intelmq:{UUID}"));
    assert_eq!(
        (&read["format"], &read["version"], &read["type"]),
        (&"intelmq".into(), &1.into(), &"event".into())
    );
}

/// The sample of AIL's own exchange format.
const AIL: &str = include_str!("../../../tests/samples/ail.jsonl");

#[test]
fn ails_own_sample_comes_out_as_it_went_in() {
    let sample: serde_json::Value = serde_json::from_str(AIL).unwrap();
    let out = through(AIL.as_bytes(), DeliveryForm::Ail, false, &["cert-at"]);
    let mut read: serde_json::Value = serde_json::from_str(&out).unwrap();
    for (key, value) in sample["meta"].as_object().unwrap().iter().filter(|(key, _)| *key != "uuid") {
        assert_eq!(&read["meta"][key], value, "{key}: {out}");
    }
    assert!(read["meta"].get("ext").is_none(), "{out}");
    for key in ["format", "version", "type", "payload"] {
        assert_eq!(read[key].take(), sample[key], "{key}: {out}");
    }
    let iep04 = through(AIL.as_bytes(), DeliveryForm::Iep04, false, &["cert-at"]);
    assert!(iep04.contains(r#""type":"event","format":"ail""#), "{iep04}");
    assert_eq!(
        through(iep04.as_bytes(), DeliveryForm::Ail, false, &["cert-at"]),
        out,
        "by way of another form"
    );
    assert_eq!(through(out.as_bytes(), DeliveryForm::Ail, false, &["cert-at"]), out, "by way of its own");
}

/// What would act, or be refused, beside the other keys of meta.
#[test]
fn keys_that_would_act_stay_below_ext() {
    let line = r#"{"format":"intelmq","version":2,"type":"report","meta":{"tags":[],"x-a":1,"ext":{"tlp":"RED","Recipients":["a"],"type":"item","own":2}},"payload":{"a":1}}"#;
    let out = through(line.as_bytes(), DeliveryForm::Ail, false, &[]);
    assert!(out.starts_with(r#"{"format":"intelmq","version":2,"type":"report","meta":{"#), "{out}");
    let want = r#","tags":[],"x-a":1,"own":2,"ext":{"tlp":"RED","Recipients":["a"],"type":"item"}}"#;
    assert!(out.contains(want), "{out}");
    assert_eq!(through(out.as_bytes(), DeliveryForm::Ail, false, &[]).len(), out.len());
}

/// All lines of all files come out token for token in all forms.
fn all_come_through(text: &str) -> usize {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .inspect(|line| {
            let event = serde_json::from_str::<serde_json::Value>(line).unwrap();
            let tail = if event.get("payload").is_some() {
                let at = line.find("\"payload\":").unwrap() + "\"payload\":".len();
                line[at..line.len() - 1].trim().to_owned()
            } else {
                (*line).to_owned()
            };
            assert_eq!(through(line.as_bytes(), DeliveryForm::Plain, false, &[]), tail);
            assert!(
                through(line.as_bytes(), DeliveryForm::Iep04, false, &["cert-at"])
                    .ends_with(&format!("\"payload\":{tail}}}"))
            );
            assert!(
                through(line.as_bytes(), DeliveryForm::Ail, false, &["cert-at"])
                    .ends_with(&format!("\"payload\":{tail}}}"))
            );
        })
        .count()
}

#[test]
fn our_samples_come_out_token_for_token() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let files =
        std::fs::read_dir(&dir).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    assert!(files.map(|text| all_come_through(&text)).sum::<usize>() >= 40);
}

#[test]
fn real_events_come_out_token_for_token_where_there_are_any() {
    let place = std::env::var_os("INTELMESH_EVENTS").map(std::path::PathBuf::from);
    let place = place.unwrap_or_else(|| {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/events.jsonl")
    });
    match std::fs::read_to_string(&place) {
        Ok(text) => assert!(all_come_through(&text) >= 2_000),
        Err(fault) => {
            eprintln!("SKIPPED: no real events at {}: {fault}; our own samples stand in", place.display())
        }
    }
}

/// Sealed for cert-pl; its content cannot be read.
fn sealed() -> std::sync::Arc<Envelope> {
    let core = Core {
        tlp: Tlp::Red,
        to: vec![PublisherName::parse("cert-pl").unwrap()],
        max_hops: 8,
        ..crate::fixture::core()
    };
    let key = crate::envelope::SealKey::of(&[9; 32].into());
    let secret = BodyIdSecret::new([3; 32]);
    let core = crate::envelope::seal::seal(core, &[key], &secret, &mut rand::rng()).unwrap();
    let signer = Signer::new(crate::fixture::key(7));
    signer.sign(core).unwrap().envelope().clone()
}

#[test]
fn what_is_sealed_is_handed_off_only_where_it_was_opened() {
    let (envelope, path) = (sealed(), HopPath::default());
    let mut out = Vec::new();
    let carried = Carried::new(17, &path, &envelope);
    assert!(!HandOff::default().write_line(&carried, &mut out));
    assert!(out.is_empty());
    let opened = OpenedBody {
        payload: Bytes::from_static(br#"{"a":1.0}"#),
        ext: Some(Bytes::from_static(br#"{"rtir_id":5}"#)),
        links: vec![Link {
            left: None,
            relation: crate::link::Relation::parse("alternate").unwrap(),
            right: LinkTarget::Opaque("RT#5".to_owned()),
        }],
        parent: Some("cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3c".parse().unwrap()),
        extensions: Default::default(),
    };
    assert!(HandOff::default().write_line(&Carried { opened: Some(&opened), ..carried }, &mut out));
    let want = r#"{"seq":17,"meta":{"version":1,"uuid":{"current":"cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b","parent":"cert-ee:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3c"},"type":"event","format":"intelmq","publisher":"cert-at","created":"2025-11-20T10:00:00.123Z","tlp":"RED","to":["cert-pl"],"sealed":true,"links":[{"type":"alternate","right":"RT#5"}],"ext":{"rtir_id":5}},"payload":{"a":1.0}}"#;
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn what_was_taken_back_or_replaced_says_by_which_event() {
    let later: EventId = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3d".parse().unwrap();
    let (envelope, path) = (sealed(), HopPath::default());
    let opened = OpenedBody {
        payload: Bytes::from_static(b"{\"a\":1}"),
        ext: None,
        links: Vec::new(),
        parent: None,
        extensions: Default::default(),
    };
    for form in [DeliveryForm::Iep04, DeliveryForm::Ail] {
        let carried = Carried { opened: Some(&opened), ..Carried::new(1, &path, &envelope) };
        for (carried, key) in [
            (Carried { withdrawn_by: Some(&later), ..carried }, "withdrawn_by"),
            (Carried { replaced_by: Some(&later), ..carried }, "replaced_by"),
        ] {
            let mut out = Vec::new();
            assert!(HandOff { form, with_type: false, format: None }.write_line(&carried, &mut out));
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(read["meta"][key], later.to_string());
        }
    }
}
