//! Tests meta in all the places in which IEP04, AIL and their drafts have it.

use super::*;
use crate::identity::ProjectName;
use crate::link::LinkTarget;

const ONE: &str = "72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
const TWO: &str = "5e0f8c2a-8b5b-4b1c-9d1f-0d9d6c2c5a11";

/// Reads the members beside a payload.
fn read(beside: &str) -> Result<EventMeta, SubmitError> {
    let line = format!("{{{beside},\"payload\":{{\"a\":1}}}}").replace("ONE", ONE).replace("TWO", TWO);
    let (publisher, project) =
        (PublisherName::parse("cert-at").unwrap(), ProjectName::parse("intelmq").unwrap());
    let scan = json::scan(line.as_bytes(), JSON_DEPTH_MAX).unwrap();
    MetaReader::new(Names { publisher: &publisher, project: &project }).read(&line, &scan.members)
}

fn meta(beside: &str) -> EventMeta {
    read(beside).unwrap_or_else(|fault| panic!("{beside}: {fault:?}"))
}

fn ext(meta: &EventMeta) -> String {
    meta.ext.as_ref().map_or_else(String::new, |ext| String::from_utf8(ext.to_vec()).unwrap())
}

fn shown(links: &[Link]) -> Vec<String> {
    let right = |link: &Link| match &link.right {
        LinkTarget::Event(id) => id.to_string(),
        LinkTarget::Opaque(text) => format!("'{text}'"),
    };
    links
        .iter()
        .map(|link| {
            let left = link.left.as_ref().map_or_else(String::new, |left| format!("{left} "));
            format!("{left}{} {}", link.relation.as_str(), right(link))
                .replace(ONE, "ONE")
                .replace(TWO, "TWO")
                .replace("cert-at:intelmq:", "")
        })
        .collect()
}

#[test]
fn all_of_ails_meta_is_kept_and_its_uuid_is_the_events() {
    let read = meta(
        r#""format":"intelmq","version":1,"type":"event","meta":{"uuid":"ONE","uuid_org":"TWO","uuid_instance":"TWO","tags":["tlp:green"],"encoding":"base64","compress":"gzip","ail:id":"crawled/1","ail:mime-type":"text/html"}"#,
    );
    assert_eq!(read.current.as_ref().unwrap().uuid.to_string(), ONE);
    assert_eq!(read.event_type, Some(EventType::Event));
    let want = r#"{"uuid_org":"TWO","uuid_instance":"TWO","tags":["tlp:green"],"encoding":"base64","compress":"gzip","ail:id":"crawled/1","ail:mime-type":"text/html"}"#;
    assert_eq!(ext(&read), want.replace("TWO", TWO));
    assert!(read.links.is_empty());
}

#[test]
fn relations_of_iep04s_variants_are_links_and_are_kept_as_they_stood() {
    let variant_ail_a = r#""format":"intelmq","version":1,"type":"event","meta":{"intelmq:uuid":"ONE","intelmq:uuid_org":"TWO","intelmq:related":["TWO","cert-ee:n6:TWO"],"intelmq:group":["TWO"],"intelmq:alternate":["RT#1234","cesnet-certs:fed4740c-a8f7-11eb-9e47-efc1855d7a66"]}"#;
    let variant_a = r#""meta":{"version":1,"uuid":{"origin":"TWO","id":"ONE","related":["TWO","cert-ee:n6:TWO"],"group":["TWO"],"alternate":["RT#1234","cesnet-certs:fed4740c-a8f7-11eb-9e47-efc1855d7a66"]},"type":"event","format":"intelmq"}"#;
    for (beside, prefix) in [(variant_ail_a, "intelmq:"), (variant_a, "uuid.")] {
        let read = meta(beside);
        assert_eq!(read.current.as_ref().unwrap().to_string(), format!("cert-at:intelmq:{ONE}"));
        assert_eq!(
            shown(&read.links),
            [
                "related TWO",
                "related cert-ee:n6:TWO",
                "same-report TWO",
                "alternate 'RT#1234'",
                "alternate 'cesnet-certs:fed4740c-a8f7-11eb-9e47-efc1855d7a66'"
            ]
        );
        for key in ["related", "group", "alternate"] {
            assert!(ext(&read).contains(&format!("\"{prefix}{key}\":[")), "{}", ext(&read));
        }
    }
}

#[test]
fn triples_of_iep04s_variants_are_links() {
    let triples = r#"[{"left_side":"ONE","type":"is_parent_event","right_side":"TWO"},{"left_side":"TWO","type":"same_incident","right_side":"ONE"},{"left_side":"TWO","type":"alternate","right_side":"RT#1"}]"#;
    for beside in [
        format!(r#""format":"intelmq","meta":{{"intelmq:uuid":"ONE","intelmq:links":{triples}}}"#),
        format!(r#""meta":{{"uuid":{{"origin":"TWO","id":"ONE","links":{triples}}}}}"#),
    ] {
        assert_eq!(
            shown(&meta(&beside).links),
            ["TWO parent ONE", "TWO same-incident ONE", "TWO alternate 'RT#1'"]
        );
    }
}

#[test]
fn what_the_schema_decided_wins_over_the_drafts() {
    let read = meta(r#""meta":{"intelmq:uuid":"TWO","uuid":{"current":"ONE","id":"TWO"}}"#);
    assert_eq!(read.current.unwrap().uuid.to_string(), ONE);
    let read = meta(r#""meta":{"links":[{"type":"related","right":"TWO"}],"intelmq:related":["TWO","ONE"]}"#);
    assert_eq!(shown(&read.links), ["related TWO", "related ONE"]);
    let read = meta(
        r#""format":"n6","version":2,"type":"report","meta":{"version":1,"type":"event","format":"intelmq"}"#,
    );
    assert_eq!(ext(&read), r#"{"version":2}"#, "AIL has a version 2 of its own");
    assert_eq!((read.format.unwrap().as_str(), read.event_type), ("n6", Some(EventType::Report)));
}

#[test]
fn what_is_not_understood_of_a_draft_is_kept_and_makes_no_link() {
    for beside in [
        r#""meta":{"intelmq:related":["event-uuid-2",7,null,{"a":1}]}"#,
        r#""meta":{"intelmq:alternate":["",{"a":1}]}"#,
        r#""meta":{"intelmq:links":[{"left_side":"event-uuid-2","type":"is_parent_event","right_side":"event-uuid-3"},7]}"#,
        r#""meta":{"intelmq:links":{"left_side":"ONE"}}"#,
        r#""meta":{"intelmq:group":7,"intelmq:uuid":"event-uuid-1","intelmq:uuid_org":"x"}"#,
    ] {
        let read = meta(beside);
        assert_eq!((read.links.len(), read.current.is_some()), (0, false), "{beside}");
        assert!(ext(&read).starts_with("{\"intelmq:"), "{}", ext(&read));
    }
    let many: Vec<String> = (0..300).map(|number| format!("\"RT#{number}\"")).collect();
    let fault = read(&format!(r#""meta":{{"intelmq:alternate":[{}]}}"#, many.join(","))).unwrap_err();
    assert_eq!(fault.code, SubmitCode::BadMeta);
}

#[test]
fn a_newer_version_is_kept_and_read_as_far_as_it_is_understood() {
    let read = meta(
        r#""meta":{"version":17,"tlp":"AMBER","policy":{"hasl":1.0},"uuid":{"current":"ONE","next":"TWO"}}"#,
    );
    assert_eq!(
        (read.tlp, read.current.as_ref().unwrap().uuid.to_string()),
        (Some(Tlp::Amber), ONE.to_owned())
    );
    let want = r#"{"policy":{"hasl":1.0},"uuid.next":"TWO","version":17}"#;
    assert_eq!(ext(&read), want.replace("TWO", TWO));
    let read = meta(r#""format":"intelmq","version":3,"signature":"x","meta":{}"#);
    assert_eq!(ext(&read), r#"{"signature":"x","version":3}"#);
    let read = meta(r#""meta":{"ext":{"version":2.5},"version":3}"#);
    assert_eq!(ext(&read), r#"{"version":2.5}"#);
}

#[test]
fn what_cannot_be_read_of_a_newer_version_says_so() {
    for (beside, want) in [
        (r#""meta":{"version":3,"tlp":{"label":"RED"}}"#, "bad_tlp"),
        (r#""meta":{"tlp":"PINK","version":3}"#, "bad_tlp"),
        (r#""format":"intelmq","version":3,"meta":{"to":{"all":1}}"#, "bad_meta"),
        (r#""meta":{"version":3,"links":[{"subject":"ONE"}]}"#, "bad_meta"),
    ] {
        let fault = read(beside).unwrap_err();
        assert_eq!(fault.code.as_str(), want, "{beside}");
        assert!(fault.message.contains("meta.version is 3"), "{}", fault.message);
    }
    for beside in
        [r#""meta":{"version":"2"}"#, r#""meta":{"version":null}"#, r#""format":"intelmq","version":[1]"#]
    {
        assert_eq!(read(beside).unwrap_err().code, SubmitCode::BadMeta, "{beside}");
    }
    assert!(!read(r#""meta":{"version":2,"tlp":"PINK"}"#).unwrap_err().message.contains("version"));
}

#[test]
fn what_stands_beside_meta_is_kept_or_has_its_meaning() {
    let read = meta(
        r#""type":"report","seq":7,"__type":"Event","source":"cert-ee","note":1,"meta":{"publisher":"x","withdrawn_by":"y"}"#,
    );
    assert_eq!((read.event_type, ext(&read).as_str()), (Some(EventType::Report), r#"{"note":1}"#));
    assert_eq!(meta(r#""type":"x","meta":null"#).event_type, None);
    assert_eq!(read_code(r#""note":1,"meta":{"note":2}"#), "bad_meta");
    assert_eq!(read_code(r#""to":["cert-ee"],"meta":{}"#), "bad_meta");
}

#[test]
fn other_types_of_ail_are_events_and_kept() {
    let read = meta(r#""format":"ail","version":1,"type":"item","meta":{"uuid":"ONE"}"#);
    assert_eq!((read.event_type, ext(&read).as_str()), (Some(EventType::Event), r#"{"type":"item"}"#));
    let fault = read_fault(r#""format":"ail","version":1,"type":7,"meta":{}"#);
    assert!(fault.message.starts_with("type: 7"), "{}", fault.message);
    assert_eq!(read_code(r#""meta":{"type":"item"}"#), "bad_meta", "form (b) has two types");
}

fn read_fault(beside: &str) -> SubmitError {
    read(beside).expect_err(beside)
}

fn read_code(beside: &str) -> &'static str {
    read(beside).map_or_else(|fault| fault.code.as_str(), |_| "ok")
}
