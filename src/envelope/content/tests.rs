//! Ids that are made of bodies, with the worked examples of PROTOCOL.md §3.3.

use super::*;

#[test]
fn the_content_id_of_the_protocols_example_is_the_one_it_says() {
    let payload = r#"{"time.observation":"2026-11-20T10:00:00+00:00","source.ip":"192.0.2.1","feed.accuracy":100.0,"classification.type":"phishing","raw":"eA=="}"#;
    assert_eq!(content_uuid(payload).unwrap().to_string(), "bd28829f-8de2-8732-ab01-809e9436f679");
}

#[test]
fn two_instances_that_took_in_the_same_feed_make_the_same_content_id() {
    let here = r#"{"source.ip":"192.0.2.1","source.port":100,"raw":"YQ==","time.observation":"2026-01-01T00:00:00+00:00"}"#;
    let there = r#"{ "time.observation":"2026-01-01T00:00:09+00:00", "source.port":1e2, "source\u002eip":"192.0.2.1" }"#;
    assert_eq!(content_uuid(here), content_uuid(there));
    assert_ne!(content_uuid(here), content_uuid(r#"{"source.ip":"192.0.2.1"}"#));
    assert_eq!(content_uuid(here).unwrap().get_version_num(), 8);
}

#[test]
fn a_body_id_is_the_hmac_of_the_body_under_the_secret_of_the_node() {
    let secret = BodyIdSecret::new([1; 32]);
    let id = secret.uuid_of(b"{\"a\":1}");
    assert_eq!(id, secret.uuid_of(b"{\"a\":1}"));
    assert_eq!(id.get_version_num(), 8);
    assert_ne!(id, secret.uuid_of(b"{\"a\":2}"));
    assert_ne!(id, BodyIdSecret::new([2; 32]).uuid_of(b"{\"a\":1}"));
}

/// It may be meant for others, and the second client was told that it was published.
#[test]
fn one_body_of_two_clients_is_two_events() {
    let secret = BodyIdSecret::new([7; 32]);
    let ids = ["soc", "noc"].map(|client| secret.of_client(client).uuid_of(b"{}"));
    assert_ne!(ids[0], ids[1]);
    assert_ne!(ids[0], secret.uuid_of(b"{}"));
    assert_eq!(ids[0], secret.of_client("soc").uuid_of(b"{}"));
}
