//! Combinations of values, in order and token for token.

use super::*;
use crate::limits::JSON_DEPTH_MAX;

fn product_of(payload: &str, most: usize) -> Result<Vec<String>, SubmitError> {
    let scan = json::scan(payload.as_bytes(), JSON_DEPTH_MAX).unwrap();
    let lists: Vec<_> = scan.members.iter().filter(|member| is_list(member)).collect();
    product(payload, &lists, most)
}

#[test]
fn the_examples_of_iep03_explode_as_it_says() {
    assert_eq!(
        product_of(
            r#"{"source.ip": ["127.0.0.1", "127.0.0.2"], "source.fqdn": ["example.com", "example.org"]}"#,
            256
        )
        .unwrap(),
        [
            r#"{"source.ip": "127.0.0.1", "source.fqdn": "example.com"}"#,
            r#"{"source.ip": "127.0.0.1", "source.fqdn": "example.org"}"#,
            r#"{"source.ip": "127.0.0.2", "source.fqdn": "example.com"}"#,
            r#"{"source.ip": "127.0.0.2", "source.fqdn": "example.org"}"#,
        ]
    );
    assert_eq!(
        product_of(r#"{"source.ip": ["127.0.0.1", "127.0.0.2"], "source.fqdn": ["example.com"]}"#, 256)
            .unwrap(),
        [
            r#"{"source.ip": "127.0.0.1", "source.fqdn": "example.com"}"#,
            r#"{"source.ip": "127.0.0.2", "source.fqdn": "example.com"}"#,
        ]
    );
    assert_eq!(
        product_of(r#"{"source.ip": ["192.0.43.8"], "source.asn": [16876, 40528]}"#, 256).unwrap(),
        [
            r#"{"source.ip": "192.0.43.8", "source.asn": 16876}"#,
            r#"{"source.ip": "192.0.43.8", "source.asn": 40528}"#,
        ]
    );
    let classified = r#"{"classification.taxonomy": ["information-content-security", "fraud"], "classification.type": ["unauthorised-modification-of-information", "phishing"], "source.url": ["http://example.com/"], "source.ip": ["10.0.0.1", "10.0.0.2"]}"#;
    assert_eq!(product_of(classified, 256).unwrap().len(), 8);
}

#[test]
fn values_stay_token_for_token_and_twice_the_same_counts_once() {
    for (payload, want) in [
        (
            r#"{"a" :[ 1.0 ,"x,]\"[" , null,1e400 , true],"b":2}"#,
            vec![
                r#"{"a" :1.0,"b":2}"#,
                r#"{"a" :"x,]\"[","b":2}"#,
                r#"{"a" :null,"b":2}"#,
                r#"{"a" :1e400,"b":2}"#,
                r#"{"a" :true,"b":2}"#,
            ],
        ),
        (r#"{"a":["x","\u0078","y","x"]}"#, vec![r#"{"a":"x"}"#, r#"{"a":"y"}"#]),
        (r#"{"a":[1,"1",1.0,1]}"#, vec![r#"{"a":1}"#, r#"{"a":"1"}"#, r#"{"a":1.0}"#]),
        (r#"{"a":["\\","\\\""]}"#, vec![r#"{"a":"\\"}"#, r#"{"a":"\\\""}"#]),
        (
            r#"{"a":["é😀","]"],"extra.b":[1,[2]],"extra":{"c":[]}}"#,
            vec![
                r#"{"a":"é😀","extra.b":[1,[2]],"extra":{"c":[]}}"#,
                r#"{"a":"]","extra.b":[1,[2]],"extra":{"c":[]}}"#,
            ],
        ),
    ] {
        assert_eq!(product_of(payload, 256).unwrap(), want, "{payload}");
    }
}

#[test]
fn what_cannot_be_taken_apart_says_why() {
    for (payload, most, want) in [
        (r#"{"a":[]}"#.to_owned(), 256, "\"a\" is an empty list"),
        (r#"{"a":[ ]}"#.to_owned(), 256, "\"a\" is an empty list"),
        (r#"{"a":[1,[2]]}"#.to_owned(), 256, "\"a\" is a list of lists"),
        (r#"{"a":[1],"b":[{"c":1}]}"#.to_owned(), 256, "\"b\" is a list of objects"),
        (
            r#"{"a":[1,2,3],"b":[1,2]}"#.to_owned(),
            5,
            "the values of \"a\" (3) x \"b\" (2) make 6 events, at most 5",
        ),
    ] {
        let fault = product_of(&payload, most).unwrap_err();
        assert_eq!((fault.code, fault.message.as_str()), (SubmitCode::MultiValue, want), "{payload}");
        assert!(fault.hint.is_some());
    }
    let lists = |count: usize| {
        let fields: Vec<String> = (0..count).map(|field| format!("\"f{field}\":[1,2,3,4]")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let fault = product_of(&lists(100), 256).unwrap_err();
    assert!(fault.message.contains("92 more make too many events"), "{}", fault.message);
    assert_eq!(product_of(&lists(4), 256).unwrap().len(), 256);
}

#[test]
fn a_large_event_is_not_multiplied_beyond_the_bound() {
    let payload = format!("{{\"raw\":\"{}\",\"a\":[1,2,3,4,5,6,7,8,9,10]}}", "A".repeat(1_000_000));
    let fault = product_of(&payload, 256).unwrap_err();
    assert!(fault.message.contains("10 events of about 1000"), "{}", fault.message);
}
