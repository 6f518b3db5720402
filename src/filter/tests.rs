//! Tables of (expression, event, answer), refused filters with their places, and expressions that attack.

use super::*;
use crate::envelope::{Body, Core};
use crate::identity::{HopPath, PublisherName};
use crate::link::{Link, LinkTarget, Relation};
use crate::time::Timestamp;

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn core(payload: &str) -> Core {
    Core {
        created: Timestamp(1_700_000_000_123),
        to: vec![name("cert-pl")],
        links: vec![Link {
            left: None,
            relation: Relation::parse("alternate").unwrap(),
            right: LinkTarget::Opaque("RT#7".to_owned()),
        }],
        ext: Some(bytes::Bytes::from_static(b"{\"rtir_id\":12345}")),
        body: Body::Plain(bytes::Bytes::copy_from_slice(payload.as_bytes())),
        ..crate::fixture::core()
    }
}

fn path() -> HopPath {
    HopPath::new(vec![name("cert-at"), name("cert-ee")]).unwrap()
}

fn lists() -> BTreeMap<String, Arc<FilterList>> {
    let list = |text: &str| Arc::new(FilterList::parse(text).unwrap());
    BTreeMap::from([
        ("asns.txt".to_owned(), list("AS64496\n64511 # ours")),
        ("nets.txt".to_owned(), list("192.0.2.0/24\n2001:db8::/32")),
        ("domains.txt".to_owned(), list("example.at")),
        ("words.txt".to_owned(), list("one\ntwo")),
    ])
}

fn compiled(source: &str) -> Result<Filter, FilterFault> {
    Filter::compile(source, &lists())
}

fn answer(source: &str, core: &Core) -> Result<bool, String> {
    let filter = compiled(source).unwrap_or_else(|fault| panic!("{source}: {fault} {:?}", fault.hint()));
    filter.admits(&FilterFacts::new(core, &path())).map_err(|failure| failure.to_string())
}

const EVENT: &str = r#"{"source.ip":"192.0.2.7","source.fqdn":"www.Example.at","source.asn":64496,"source.geolocation.cc":"AT","classification.type":"phishing","classification.taxonomy":"fraud","extra.score":0.5,"time.source":"2026-11-20T10:00:00+00:00","malware.name":"Zeus \"x\"","big":18446744073709551615,"huge":1e400,"none":null,"tags":["a","b",3],"nested":{"deep":{"er":true}},"Source":[{"IP4":["198.51.100.1","192.0.2.9"]}],"destination.ip":"2001:db8::1"}"#;

#[test]
fn expressions_answer_as_cel_says() {
    let core = core(EVENT);
    for (source, want) in [
        ("true", true),
        (r#"event["source.ip"] == "192.0.2.7""#, true),
        (r#"event["source.geolocation.cc"] == "EE""#, false),
        (
            r#"event["source.asn"] == 64496 && event["source.asn"] + 1 > 64496 && event["source.asn"] - 1 < 64496"#,
            true,
        ),
        (r#"event["source.asn"] in [1, 64496]"#, true),
        (r#"event["source.geolocation.cc"] in ["AT", "DE"]"#, true),
        (r#""AT" in [event["source.geolocation.cc"], "x"]"#, true),
        (r#""source.port" in event || event["extra.score"] >= 0.5"#, true),
        (r#""source.port" in event && event["source.port"] == 22"#, false),
        (r#"event["source.port"] == 22 || true"#, true),
        (r#"event["big"] > 1 && event["big"] == 18446744073709551615u"#, true),
        (r#"event["none"] == null"#, true),
        (
            r#"event["tags"] == ["a", "b", 3] && ["a", "b", 3] == event["tags"] && event["tags"] != ["a"]"#,
            true,
        ),
        (r#""b" in event["tags"] && event["tags"][2] == 3 && size(event["tags"]) == 3"#, true),
        (r#"event["tags"].exists(t, t == "b") && !event["tags"].all(t, t == "b")"#, true),
        (r#"event["tags"].exists_one(t, t == "b") && size(event["tags"].filter(t, t != "b")) == 2"#, true),
        (r#"event.nested.deep.er && has(event.nested.deep) && !has(event.nested.flat)"#, true),
        (r#"event["nested"]["deep"]["er"]"#, true),
        (r#"event.Source.exists(s, s.IP4.exists(a, cidr(a, "192.0.2.0/24")))"#, true),
        (r#"event.exists(key, key.startsWith("malware."))"#, true),
        (r#"event["malware.name"].startsWith("Zeus \"") && event["malware.name"].contains("x")"#, true),
        (r#"size(event["malware.name"]) == 8 && event["malware.name"] + "!" == "Zeus \"x\"!""#, true),
        (r#"event["source.ip"] < "2" ? true : false"#, true),
        (r#"int("7") + int(1.5) == 8 && double("0.5") == event["extra.score"] && string(3) == "3""#, true),
        (r#"meta.publisher == "cert-at" && meta.project == "intelmq" && meta.source == "cert-ee""#, true),
        (r#"meta.path == ["cert-at", "cert-ee"] && "cert-ee" in meta.path && meta.to == ["cert-pl"]"#, true),
        (r#"tlp_at_most("AMBER") && !tlp_at_most("CLEAR")"#, true),
        (r#"meta.tlp in ["CLEAR", "GREEN"] && meta.type == "event" && meta.format == "intelmq""#, true),
        (r#"meta.id == "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b""#, true),
        (r#"meta.created == "2023-11-14T22:13:20.123Z" && time(meta.created) == 1700000000123"#, true),
        (r#"has(meta.source) && !has(meta.parent) && !has(meta.expires) && !("parent" in meta)"#, true),
        (r#"meta.ext.rtir_id == 12345 && "rtir_id" in meta.ext && meta["tlp"] == "GREEN""#, true),
        (r#"meta.links.exists(l, l.type == "alternate" && l.right == "RT#7" && !has(l.left))"#, true),
        ("meta.sealed", false),
        (r#"event["nested"] == event["nested"]"#, false),
    ] {
        assert_eq!(answer(source, &core), Ok(want), "{source}");
    }
}

#[test]
fn functions_answer_for_one_value_a_list_and_the_whole_event() {
    let core = core(EVENT);
    for (source, want) in [
        (r#"cidr(event["source.ip"], "192.0.2.0/24")"#, true),
        (r#"cidr(event["source.ip"], ["10.0.0.0/8", "2001:db8::/32"])"#, false),
        (r#"cidr(event, "2001:db8::/32")"#, true),
        (r#"cidr(event, "203.0.113.0/24")"#, false),
        (r#"cidr_in(event["source.ip"], "nets.txt")"#, true),
        (r#"event["source.ip"].cidr("192.0.2.7")"#, true),
        (r#"under(event["source.fqdn"], "example.at")"#, true),
        (r#"under(event["source.fqdn"], ["example.org", "ample.at"])"#, false),
        (r#"under_in(event, "domains.txt")"#, true),
        (r#"asn_in(event["source.asn"], "asns.txt") && asn_in(event, "asns.txt")"#, true),
        (r#"asn_in("AS64511", "asns.txt")"#, true),
        (r#"country(event["source.geolocation.cc"], "at") && country(event, ["EE", "AT"])"#, true),
        (r#"country(event, "EE")"#, false),
        (r#"classified(event, "phishing") && classified(event, ["x", "Fraud"])"#, true),
        (r#"classified(event["classification.type"], "fraud")"#, false),
        (r#"event["source.fqdn"].matches("^www\\.") && matches(event["source.fqdn"], "(?i)EXAMPLE")"#, true),
        (r#"event["source.fqdn"].lower() == "www.example.at" && lower("X") == "x""#, true),
        (r#"field(event, "source.port", 0) == 0 && field(event, "source.ip", "") == "192.0.2.7""#, true),
        (r#"field(meta.ext, "x-none", "a") == "a""#, true),
        (r#"time(event["time.source"]) >= time("2026-11-20T00:00:00Z")"#, true),
        (r#"cidr(event["Source"][0]["IP4"], "192.0.2.0/24")"#, true),
    ] {
        assert_eq!(answer(source, &core), Ok(want), "{source}");
    }
}

#[test]
fn what_has_no_answer_fails_and_says_why_without_values() {
    let core = core(EVENT);
    for (source, want) in [
        (r#"event["source.port"] == 22"#, "no key \"source.port\""),
        (r#"meta.source == meta.parent"#, "no key \"meta.parent\""),
        (r#"event["source.ip"]"#, "the answer is of kind string, not true or false"),
        (r#"event["tags"]"#, "the answer is of kind list, not true or false"),
        (r#"event["source.asn"]"#, "the answer is of kind int, not true or false"),
        (r#"event["source.ip"] && true"#, "&& cannot be applied to string and bool"),
        (r#"event["source.ip"] > 7"#, "> cannot be applied to string and int"),
        (r#"event["source.ip"] + 7 == 8"#, "+ cannot be applied to string and int"),
        (r#"event["source.asn"] / 0 == 1"#, "division by zero"),
        (r#"event["big"] + 1u > 1u"#, "a number is too large"),
        (r#"event["tags"][9] == 1"#, "a list has no such place"),
        (r#"event["huge"] > 1"#, "event: the value of \"huge\" is too large"),
        (r#"event["source.asn"].exists(x, true)"#, "this is no list"),
        (r#"cidr(event["source.fqdn"], "192.0.2.0/24")"#, "cidr: this is no address"),
        (r#"cidr(event["source.asn"], "192.0.2.0/24")"#, "cidr cannot be applied to int"),
        (r#"time(event["source.ip"]) > 1"#, "time: this is no time with its offset"),
        (r#"size([event["tags"]]) == 1"#, "[…] cannot be applied to list"),
        (r#"event["source.ip"].contains(7)"#, "contains cannot be applied to string and int"),
        (r#"lower(event["source.asn"]) == """#, "lower cannot be applied to int"),
    ] {
        assert_eq!(answer(source, &core), Err(want.to_owned()), "{source}");
    }
}

#[test]
fn no_failure_shows_a_value() {
    let core = core(
        r#"{"feed.name":"s3cret","which":"s3cret-big","s3cret-big":1e400,"nested":{"a":1},"long":"s3cret s3cret"}"#,
    );
    for (source, want) in [
        (r#"event[event["feed.name"]] == 1"#, "no such key"),
        (r#"event[event["feed.name"] + "x"] == 1"#, "no such key"),
        (r#"event.nested[event["feed.name"]] == 1"#, "no such key"),
        (r#"meta[event["feed.name"]] == "a""#, "no such key"),
        (r#"meta.ext[event["feed.name"]] == "a""#, "no such key"),
        (r#"event[meta.publisher] == 1"#, "no such key"),
        (r#"event[event["which"]] > 1"#, "event: a value is too large"),
        (r#"event.exists(key, event[key] == 7)"#, "event: a value is too large"),
        (r#"event.s3cret == 1"#, "no key \"s3cret\""),
        (r#"meta["parent"] == "a""#, "no key \"meta.parent\""),
        (r#"int(event["feed.name"]) == 1"#, "int: string parse error: invalid digit found in string"),
        (r#"double(event["feed.name"]) == 1.0"#, "double: string parse error: invalid float literal"),
        (r#"time(event["long"]) == 1"#, "time: this is no time with its offset"),
        (r#"cidr(event["long"], "192.0.2.0/24")"#, "cidr: this is no address"),
        (r#"under(event["long"], "example.at")"#, "under: this is no domain name"),
        (r#"asn_in(event["long"], "asns.txt")"#, "asn_in: this is no AS number"),
        (r#"event["long"] - 1 == 0"#, "sub cannot be applied to these"),
        (r#"event["long"] < 1"#, "< cannot be applied to string and int"),
        (r#"event["long"]"#, "the answer is of kind string, not true or false"),
    ] {
        assert_eq!(answer(source, &core), Err(want.to_owned()), "{source}");
    }
}

#[test]
fn one_of_several_that_is_true_is_enough_whatever_the_others_are() {
    let core = core(
        r#"{"source.ip":"none","destination.ip":"192.0.2.7","source.fqdn":7,"destination.fqdn":"a.example.at","ips":["x","192.0.2.9",1],"odd":["x"]}"#,
    );
    let no_address = || Err("cidr: this is no address".to_owned());
    for (source, want) in [
        (r#"cidr(event, "192.0.2.0/24")"#, Ok(true)),
        (r#"!cidr(event, "192.0.2.0/24")"#, Ok(false)),
        (r#"cidr(event, "198.51.100.0/24")"#, no_address()),
        (r#"!cidr(event, "198.51.100.0/24")"#, no_address()),
        (r#"under(event, "example.at")"#, Ok(true)),
        (r#"cidr(event["ips"], "192.0.2.0/24")"#, Ok(true)),
        (r#"cidr(event["odd"], "192.0.2.0/24")"#, no_address()),
        (r#"cidr(event["destination.ip"], "::ffff:192.0.2.0/120")"#, Ok(true)),
    ] {
        assert_eq!(answer(source, &core), want, "{source}");
    }
}

#[test]
fn of_a_sealed_body_a_filter_sees_meta_alone() {
    let mut sealed = core("{}");
    sealed.body = Body::Sealed(bytes::Bytes::from_static(b"opaque"));
    let failure = FilterFailure::Sealed.to_string();
    for (source, want) in [
        ("meta.sealed", Ok(true)),
        (r#"meta.sealed || event["source.ip"] == "192.0.2.7""#, Ok(true)),
        (r#"meta.publisher == "cert-pl""#, Ok(false)),
        (r#"event["source.ip"] == "192.0.2.7""#, Err(failure.clone())),
        (r#"!cidr(event, "192.0.2.0/24")"#, Err(failure.clone())),
        (r#""source.ip" in event"#, Err(failure.clone())),
        (r#"field(event, "source.ip", "") == """#, Err(failure)),
    ] {
        assert_eq!(answer(source, &sealed), want, "{source}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
    for (source, place, want, hint) in [
        ("", (1, 1), "the filter is empty", None),
        ("event[", (1, 7), "something is missing at the end", None),
        ("event[\"a\"] = 1", (1, 12), "'=' cannot stand here", Some("to compare write ==")),
        ("event[\"a\"] and true", (1, 12), "'and' cannot stand here", Some("write &&")),
        ("1 +", (1, 4), "", None),
        ("42", (1, 1), "the filter is a number, not true or false", Some("compare it")),
        ("meta.publisher", (1, 5), "the filter is a string", Some("compare it")),
        ("size(event)", (1, 5), "the filter is a number", Some("compare it")),
        ("evnt[\"a\"] == 1", (1, 1), "unknown name \"evnt\"", Some("did you mean \"event\"?")),
        ("true &&\n  metta.tlp == \"RED\"", (2, 3), "unknown name \"metta\"", Some("did you mean \"meta\"?")),
        ("\"äöü\" == x", (1, 10), "unknown name \"x\"", Some("a filter sees event and meta")),
        ("meta.publsher == \"a\"", (1, 5), "meta has no \"publsher\"", Some("did you mean meta.publisher?")),
        ("meta[\"colour\"] == 1", (1, 6), "meta has no \"colour\"", Some("meta has id, publisher")),
        (
            "event.source.ip == \"a\"",
            (1, 13),
            "the fields of an event are flat",
            Some("write event[\"source.ip\"]"),
        ),
        ("source.ip == \"a\"", (1, 7), "the fields of an event are flat", Some("write event[\"source.ip\"]")),
        (
            "has(event.source.ip)",
            (1, 4),
            "the fields of an event are flat",
            Some("write \"source.ip\" in event"),
        ),
        (
            "has(event[\"source.ip\"])",
            (1, 10),
            "invalid argument to has()",
            Some("for a field with dots in its name"),
        ),
        ("cdir(event, \"192.0.2.0/24\")", (1, 5), "unknown function \"cdir\"", Some("did you mean cidr?")),
        ("event.all(true)", (1, 10), "unknown function \"all\"", None),
        ("cidr(event)", (1, 5), "cidr takes an address and networks", None),
        ("cidr(event, event[\"a\"])", (1, 18), "cidr takes an address and networks", None),
        ("cidr(event, [\"192.0.2.0/33\"])", (1, 13), "cidr: \"192.0.2.0/33\" is not a valid network", None),
        ("country(event, \"AUT\")", (1, 16), "country: \"AUT\" is not a valid country code", None),
        ("under(event, \"a b\")", (1, 14), "under: \"a b\" is not a valid domain name", None),
        (
            "under(event, \"*.example.at\")",
            (1, 14),
            "under: \"*.example.at\" is not a valid domain name",
            None,
        ),
        (
            "asn_in(event, \"words.txt\")",
            (1, 15),
            "asn_in: list \"words.txt\": line 1: \"one\" is no AS number",
            None,
        ),
        (
            "asn_in(event, \"none.txt\")",
            (1, 15),
            "asn_in: list \"none.txt\": no such list",
            Some("put the file into lists/none.txt"),
        ),
        ("meta.id.matches(\"(\")", (1, 17), "matches: unclosed group", None),
        ("meta.path.map(p, p) == []", (1, 14), "map cannot be used in a filter", Some("use exists")),
        ("{\"a\": 1} == event", (1, 1), "a map cannot be used in a filter", None),
        ("[[1]] == event", (1, 2), "a list in a list cannot be used", None),
        ("meta.path.exists(event, true)", (1, 17), "this name of a loop cannot be used", None),
        ("field(event, \"a\") == 1", (1, 6), "field takes an event, a key and a default", None),
        ("b\"a\" == event[\"a\"]", (1, 1), "bytes cannot be used in a filter", None),
    ] {
        assert_fault(source, place, want, hint);
    }
}

fn assert_fault(source: &str, place: (usize, usize), want: &str, hint: Option<&str>) {
    let fault = compiled(source).expect_err(source);
    let shown = format!("{source}: {}:{}: {fault} ({:?})", fault.line, fault.column, fault.hint());
    assert_eq!((fault.line, fault.column), place, "{shown}");
    assert!(fault.to_string().starts_with(want), "{shown}");
    assert!(hint.is_none_or(|hint| fault.hint().is_some_and(|given| given.starts_with(hint))), "{shown}");
}

/// What would be quietly false, or order labels by their letters.
#[test]
fn literals_that_mean_nothing_are_refused() {
    for (source, place, want, hint) in [
        ("not classified(event, \"scanner\")", (1, 5), "'not' cannot stand here", Some("write !")),
        (
            "meta.tlp <= \"GREEN\"",
            (1, 5),
            "an order of labels",
            Some("write tlp_at_most(\"GREEN\"), or ! before it"),
        ),
        ("asn_in(event, \"../keys\")", (1, 15), "asn_in: list \"../keys\": no such list", None),
        (
            "meta[\"tlp\"] <= \"GREEN\"",
            (1, 5),
            "an order of labels",
            Some("write tlp_at_most(\"GREEN\"), or ! before it"),
        ),
        ("meta[\"tlp\"] == \"green\"", (1, 16), "meta.tlp: \"green\" is not a valid label", None),
        ("meta.tlp == \"green\"", (1, 13), "meta.tlp: \"green\" is not a valid label", None),
        ("meta.tlp in [\"CLEAR\", \"WHITE\"]", (1, 23), "meta.tlp: \"WHITE\" is not a valid label", None),
        ("tlp_at_most(\"AMBR\")", (1, 13), "tlp_at_most: \"AMBR\" is not a valid label", None),
        (
            "time(event[\"x\"]) > time(\"2026-01-01\")",
            (1, 25),
            "time: \"2026-01-01\" is not a valid time",
            None,
        ),
        (
            "cidr_in(event, \"../keys/node.pem\")",
            (1, 16),
            "cidr_in: list",
            Some("name a file of lists/, without a directory before it"),
        ),
    ] {
        assert_fault(source, place, want, hint);
    }
    let mild = compiled("tlp_at_most(\"GREEN\")").unwrap();
    assert!(mild.reads_meta());
}

#[test]
fn two_filters_are_equal_where_text_and_lists_are() {
    let source = r#"asn_in(event, "asns.txt")"#;
    let other = BTreeMap::from([("asns.txt".to_owned(), Arc::new(FilterList::parse("1").unwrap()))]);
    assert_eq!(compiled(source).unwrap(), compiled(source).unwrap());
    assert_ne!(compiled(source).unwrap(), Filter::compile(source, &other).unwrap());
    assert_ne!(compiled("true").unwrap(), compiled("false").unwrap());
    assert!(
        compiled("meta.sealed").unwrap().reads_meta() && !compiled("size(event) > 1").unwrap().reads_meta()
    );
}

#[test]
fn texts_made_to_hurt_are_refused_or_read_soon() {
    let nested = |open: &str, inside: &str, close: &str, times: usize| {
        format!("{}{inside}{} == 1", open.repeat(times), close.repeat(times))
    };
    let loops = |times: usize| {
        (0..times)
            .rev()
            .fold("true".to_owned(), |inside, at| format!("[1,2,3,4,5,6,7,8,9,10].all(x{at}, {inside})"))
    };
    for (what, source, refused) in [
        ("deep parentheses", nested("(", "1", ")", 2_000), true),
        ("deep lists", nested("[", "1", "]", 2_000), true),
        ("deep indexes", nested("event[", "\"a\"", "]", 600), true),
        ("many signs", format!("{}1 == 1", "-".repeat(4_000)), false),
        ("many nots", format!("{}true", "!".repeat(4_000)), false),
        ("a long sum", format!("1{} == 1", "+1".repeat(2_000)), true),
        ("a long or", format!("true{}", "||true".repeat(600)), true),
        ("a long choice", format!("{}true", "true?false:".repeat(300)), true),
        ("a long list", format!("size([{}1]) == 1", "1,".repeat(1_900)), true),
        ("a long list to look in", format!("1 in [{}1]", "1,".repeat(1_900)), false),
        ("long selects", format!("event{}", ".a".repeat(1_500)), true),
        ("unclosed", "(((((((((((((((((((((((((((((((((((".repeat(100), true),
        ("unclosed lists", "[[{[[{[[{".repeat(400), true),
        ("a string that does not end", format!("\"{}", "a".repeat(4_000)), true),
        ("too long", " ".repeat(4_100), true),
        ("four loops", loops(4), true),
        ("three loops", loops(3), false),
        ("a pattern that explodes", r#"meta.id.matches("(((a{100}){100}){100}){100}")"#.to_owned(), true),
    ] {
        let started = support::Stopwatch::start();
        let result = compiled(&source);
        let took = started.elapsed();
        assert!(took.as_secs() < 5, "{what} took {took:?}");
        assert_eq!(result.is_err(), refused, "{what}");
    }
}

#[test]
fn the_deepest_filter_needs_a_small_stack() {
    let nested = |times: usize, inside: &str| {
        (0..times).fold(inside.to_owned(), |inside, _| format!("[1].exists_one(x, !({inside} == false))"))
    };
    let deep = (0..15).fold(nested(3, "true"), |inside, _| format!("(true ? !({inside}) : false)"));
    let filter = compiled(&deep).unwrap_or_else(|fault| panic!("{fault}"));
    let answered = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || {
        let core = core("{}");
        filter.admits(&FilterFacts::new(&core, &path()))
    });
    assert!(answered.unwrap().join().unwrap().is_ok());
}

#[test]
fn an_event_made_to_hurt_costs_a_bounded_time() {
    let numbers = (0..200_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let addresses = vec!["\"::1\""; 20_000].join(",");
    let large = core(&format!(
        "{{\"l\":[{numbers}],\"small\":[{}0],\"addresses\":[{addresses}],\"raw\":\"{}\"}}",
        "0,".repeat(300),
        "a".repeat(100_000)
    ));
    for (source, dear) in [
        (r#"event.l.all(x, event.l.all(y, event.l.all(z, z >= 0)))"#, true),
        (r#"event.l.exists(x, false) || true"#, true),
        (r#"size(event.l.filter(x, x > 0)) > 10"#, true),
        (r#"event.l.exists_one(x, event["raw"] == event["raw"])"#, true),
        (r#"event.l.exists(x, x == 3)"#, false),
        (r#"event["raw"].matches("^(a+)+$")"#, false),
        (r#"event.l == event.l && 199999 in event.l"#, false),
        (r#"event["raw"].matches("a.{0,1000}b")"#, true),
        (r#"event["raw"].matches("(?-u)x[a-f]{1,9}y")"#, false),
        (r#"event.small.exists(x, cidr_in(event.addresses, "nets.txt"))"#, true),
        (r#"cidr_in(event.addresses, "nets.txt")"#, false),
    ] {
        let filter = compiled(source).unwrap();
        let started = support::Stopwatch::start();
        let result = filter.admits(&FilterFacts::new(&large, &path()));
        let took = started.elapsed();
        assert!(took.as_secs() < 5, "{source} took {took:?}");
        assert_eq!(matches!(result, Err(FilterFailure::TooDear)), dear, "{source}: {result:?}");
    }
}

proptest::proptest! {
    /// Any text is refused with a place or answers; for any event, it answers.
    #[test]
    fn no_text_and_no_event_is_a_panic(
        pieces in proptest::collection::vec(
            proptest::sample::select(&[
                "event", "meta", "[\"source.ip\"]", ".tlp", ".path", ".all(x, ", ".exists(y, ", ".filter(z, ", "x", "y", "z",
                "cidr(", "\"192.0.2.0/24\"", "under(", "\"example.at\"", "field(", "matches(", "\".*\"", "country(", "size(",
                ")", "(", "[", "]", ",", " in ", " == ", " != ", " && ", " || ", " ? ", " : ", "!", "-", "+", "*", "/", "%", " < ",
                "1", "0", "9223372036854775807", "1u", "0.0", "1e308", "\"a\"", "b\"a\"", "null", "true", "false", "has(", ".ext",
                ".links", "{", "}", "\u{1F600}", "\n", "\\", "'", "\"", "int(", "double(", "string(", "time(", "lower(", "meta.to",
            ]),
            0..14,
        ),
        payload in proptest::sample::select(&[
            "{}", EVENT, "{\"source.ip\":1}", "{\"source.ip\":null,\"l\":[[],{}]}", "{\"source.ip\":[\"192.0.2.1\",{}]}", "not json",
        ]),
    ) {
        let source = pieces.concat();
        match compiled(&source) {
            Ok(filter) => drop(filter.admits(&FilterFacts::new(&core(payload), &path()))),
            Err(fault) => {
                let lines: Vec<&str> = source.split('\n').collect();
                assert!((1..=lines.len()).contains(&fault.line), "{source:?}: {fault:?}");
                assert!((1..=lines[fault.line - 1].chars().count() + 2).contains(&fault.column), "{source:?}: {fault:?}");
            }
        }
    }
}
