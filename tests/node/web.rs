//! The HTTP door of a real node, by real requests: pages, cursors, streams, posts, and the mistakes that other hubs make.

mod bots;
mod consumer;
mod http;
mod hub;
mod limits;
mod post;
mod secrets;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::with_meta;
use support::{Node, copy_dir, pair, wait_until};

use self::http::{Reply, Web};

const SOON: Duration = Duration::from_secs(20);

/// An event whose label is in meta, and whose number is in its payload.
fn labelled(number: usize, tlp: &str) -> String {
    with_meta(&json!({"tlp": tlp}), &json!({"source.port": number, "feed.name": "test"}).to_string())
}

/// The numbers of the events of some lines, each once.
fn numbers(lines: &[Value]) -> BTreeSet<u64> {
    let all: Vec<u64> = lines.iter().map(|line| line["payload"]["source.port"].as_u64().unwrap()).collect();
    let different = BTreeSet::from_iter(all.iter().copied());
    assert_eq!(all.len(), different.len(), "an event came twice: {all:?}");
    different
}

#[test]
fn each_client_gets_what_its_policy_allows() {
    let web = Web::start(&[("soc", "AMBER"), ("board", "GREEN")]);
    web.node.publish(&[labelled(1, "CLEAR"), labelled(2, "GREEN"), labelled(3, "AMBER")]);
    for (client, want) in [("soc", vec![1, 2, 3]), ("board", vec![1, 2])] {
        let page = web.get(client, "/v1/events");
        assert_eq!((page.status, page.header("content-type")), (200, "application/x-ndjson"));
        assert_eq!(numbers(&page.lines()), want.into_iter().collect(), "{client}");
        let next = web.get(client, &page.next());
        assert_eq!((next.lines().len(), next.next()), (0, page.next()), "{client}: the last page");
    }
    let page = web.get("soc", "/v1/events?form=plain&limit=1");
    assert_eq!(page.lines(), [json!({"source.port": 1, "feed.name": "test"})]);
    let id = web.get("soc", "/v1/events").lines()[2]["meta"]["uuid"]["current"].as_str().unwrap().to_owned();
    assert_eq!(web.get("soc", &format!("/v1/events/{id}")).status, 200);
    assert_eq!(web.get("soc", &format!("/v1/events/{id}/trace")).json()["id"], id.as_str());
    let hidden = web.get("board", &format!("/v1/events/{id}"));
    assert_eq!((hidden.status, hidden.code()), (404, "unknown_event".to_owned()), "its id is not confirmed");
    let stats = |client| web.get(client, "/v1/stats?by=tlp").json()["total"].clone();
    assert_eq!((stats("soc"), stats("board")), (json!(3), json!(2)));
    assert_eq!(web.get("soc", "/v1/status").json()["schema"], "intelmesh.status/1");
}

/// What is sealed, or for a named peer, is not for clients: also if the hub may read it, or published it.
#[test]
fn sealed_and_addressed_events_reach_no_client() {
    let web = Web::start(&[("soc", "RED"), ("cert-ee", "RED")]);
    let mut peer = Node::init("cert-ee");
    pair(&web.node, &peer);
    peer.start();
    let to = |name: &str, seal: bool, number: usize| {
        let mut meta = json!({"to": [name], "tlp": "GREEN"});
        if seal {
            meta["seal"] = true.into();
        }
        with_meta(&meta, &json!({"source.port": number, "feed.name": "secret"}).to_string())
    };
    web.node.publish(&[to("cert-ee", true, 1), to("cert-ee", false, 2), labelled(3, "GREEN")]);
    peer.publish(&[to("hub", true, 4), to("hub", false, 5), labelled(6, "GREEN")]);
    wait_until("the hub has them", SOON, || web.node.accepted() == 3);
    // A client may be called as a publisher, and is not it for that.
    for client in ["soc", "cert-ee"] {
        let page = web.get(client, "/v1/events");
        assert_eq!(numbers(&page.lines()), BTreeSet::from([3, 6]), "{client}");
        assert!(!page.text().contains("secret"), "{client}");
    }
}

#[test]
fn every_error_is_a_problem_with_its_code() {
    let web = Web::start(&[("soc", "AMBER")]);
    for (path, status, code) in [
        ("/v1/events?filter=evnt%3D%3D1", 400, "bad_filter"),
        ("/v1/events?after=2026", 400, "bad_request"),
        ("/v1/events?limit=0", 400, "bad_request"),
        ("/v1/events?filer=true", 400, "bad_request"),
        ("/v1/events?consumer=No%20Name", 400, "bad_request"),
        ("/v1/events/zz", 400, "bad_request"),
        ("/v1/stats?by=payload", 400, "bad_request"),
        ("/v2", 404, "bad_request"),
        (&format!("/v1/events?filter={}", "x".repeat(20_000)), 414, "too_large"),
        (&format!("/v1/events?after={}.0", "0".repeat(32)), 410, "cursor_gone"),
    ] {
        let reply = web.get("soc", path);
        let problem = reply.json();
        assert_eq!((reply.status, problem["code"].as_str()), (status, Some(code)), "{path:.80}: {problem}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path:.80}");
        assert_eq!(problem["status"], status, "{path:.80}");
    }
    let gone = web.get("soc", &format!("/v1/events?after={}.0", "0".repeat(32))).json();
    let oldest = gone["oldest"].as_str().unwrap();
    assert_eq!(web.get("soc", &format!("/v1/events?after={oldest}")).status, 200);
    let none = web.send("GET", "/v1/events", &[], b"");
    assert_eq!((none.status, none.header("www-authenticate")), (401, "Bearer"));
    let wrong = web.send("GET", "/v1/events", &[("Authorization", "Bearer intelmesh_x")], b"");
    assert_eq!((wrong.status, wrong.code()), (401, "unauthorized".to_owned()));
    let put = web.send("PUT", "/v1/events", &[("Authorization", &web.bearer("soc"))], b"");
    assert_eq!((put.status, put.header("allow")), (405, "GET,HEAD,POST"));
    let rebound =
        web.send_to("evil.example", "GET", "/v1/events", &[("Authorization", &web.bearer("soc"))], b"");
    assert_eq!((rebound.status, rebound.code()), (421, "bad_request".to_owned()));
}

#[test]
fn description_fits_the_routes() {
    let web = Web::start(&[("soc", "AMBER")]);
    let described = web.get("soc", "/v1/openapi.json").json();
    for (path, methods) in described["paths"].as_object().unwrap() {
        let methods: BTreeSet<String> =
            methods.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        let asked = path.replace("{id}", "00000000");
        let refused = web.send("DELETE", &asked, &[("Authorization", &web.bearer("soc"))], b"");
        let allowed: BTreeSet<String> =
            refused.header("allow").split(',').filter(|name| *name != "HEAD").map(str::to_owned).collect();
        assert_eq!((refused.status, allowed), (405, methods), "{path}");
    }
}

/// Events of one instant, and pages that are read while others are written.
#[test]
fn nothing_is_lost_or_repeated_between_pages() {
    const EVENTS: usize = 300;
    let web = Web::start(&[("soc", "AMBER")]);
    let lines: Vec<String> = (0..EVENTS).map(|number| labelled(number, "GREEN")).collect();
    let submitter = web.node.say(&["status", "--check"], "");
    assert!(submitter.code < 2);
    let (mut got, mut path) = (Vec::new(), "/v1/events?limit=7&wait=1".to_owned());
    std::thread::scope(|scope| {
        scope.spawn(|| lines.chunks(10).for_each(|chunk| drop(web.node.publish(chunk))));
        while got.len() < EVENTS {
            let page = web.get("soc", &path);
            assert_eq!(page.status, 200, "{}", page.text());
            got.extend(page.lines());
            path = page.next();
        }
    });
    assert_eq!(numbers(&got), (0..EVENTS as u64).collect());
    let seqs: Vec<u64> = got.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted(), "journal order");
}

#[test]
fn full_pages_are_kept_and_compressed() {
    let web = Web::start(&[("soc", "AMBER")]);
    web.node.publish(&(0..60).map(|number| labelled(number, "GREEN")).collect::<Vec<_>>());
    let start = web.get("soc", &format!("/v1/events?after={}.0", "0".repeat(32))).json()["oldest"].clone();
    let path = format!("/v1/events?after={}&limit=50", start.as_str().unwrap());
    let full = web.get("soc", &path);
    let tag = full.header("etag").to_owned();
    assert!(full.header("cache-control").contains("immutable") && !tag.is_empty());
    let again = web.ask("soc", &path, &[("If-None-Match", &tag)]);
    assert_eq!((again.status, again.body.len(), again.next()), (304, 0, full.next()));
    let last = web.get("soc", &full.next());
    assert_eq!((last.header("etag"), last.header("cache-control")), ("", "no-store"));
    for (coding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd][..])] {
        let coded = web.ask("soc", &path, &[("Accept-Encoding", coding)]);
        assert_eq!(coded.header("content-encoding"), coding);
        assert!(coded.body.starts_with(magic) && coded.body.len() < full.body.len() / 2);
        assert_ne!(coded.header("etag"), tag);
    }
    let curl = web.curl("soc", &["--compressed"], &path);
    assert_eq!(curl.as_bytes(), full.body);
}

/// `now`, `earliest` and a time are another place tomorrow: a cache that kept such a page would repeat it for ever.
#[test]
fn pages_without_a_cursor_are_never_kept() {
    let web = Web::start(&[("soc", "AMBER")]);
    web.node.publish(&(0..9).map(|number| labelled(number, "GREEN")).collect::<Vec<_>>());
    for after in ["", "&after=earliest", "&after=2026-01-01T00:00:00Z"] {
        let page = web.get("soc", &format!("/v1/events?limit=5{after}"));
        assert_eq!((page.lines().len(), page.header("cache-control")), (5, "no-store"), "{after}");
        assert_eq!(page.header("etag"), "", "{after}");
    }
    let page = std::thread::scope(|scope| {
        let asked = scope.spawn(|| web.get("soc", "/v1/events?limit=1&after=now&wait=60"));
        wait_until("the request waits", SOON, || web.node.status()["clients"][0]["connected"] == true);
        web.node.publish(&[labelled(9, "GREEN")]);
        asked.join().unwrap()
    });
    assert_eq!((numbers(&page.lines()), page.header("cache-control")), (BTreeSet::from([9]), "no-store"));
}

/// A copy of the directory that is older than the client's cursor, and has gone on since.
#[test]
fn restored_journal_is_no_continuation() {
    let mut web = Web::start(&[("soc", "AMBER")]);
    web.node.publish(&[labelled(1, "GREEN")]);
    let before = web.get("soc", "/v1/events").next();
    web.node.stop();
    let copy = tempfile::TempDir::new().unwrap();
    copy_dir(web.node.dir(), &copy.path().join("copy"));
    web.node.start();
    web.node.publish(&[labelled(2, "GREEN")]);
    let cursor = web.get("soc", "/v1/events").next();
    web.node.stop();
    web.node.put_back(&copy.path().join("copy"));
    web.node.start();
    let ahead = web.get("soc", &cursor);
    assert_eq!((ahead.status, ahead.code()), (410, "cursor_gone".to_owned()), "beyond the end");
    web.node.publish(&[labelled(3, "GREEN"), labelled(4, "GREEN")]);
    let other = web.get("soc", &cursor);
    assert_eq!((other.status, other.code()), (410, "cursor_gone".to_owned()), "another event at its seq");
    assert_eq!(numbers(&web.get("soc", &before).lines()), BTreeSet::from([3, 4]));
}

#[test]
fn stream_resumes_behind_its_last_event() {
    let web = Web::start(&[("soc", "AMBER")]);
    web.node.publish(&[labelled(1, "GREEN"), labelled(2, "GREEN")]);
    let mut stream = web.stream("soc", "/v1/events", &[]);
    assert_eq!(stream.header("content-type"), "text/event-stream");
    let first = stream.next_event();
    assert_eq!((first.number, stream.next_event().number), (1, 2));
    web.node.publish(&[labelled(3, "GREEN")]);
    assert_eq!(stream.next_event().number, 3, "as it comes");
    drop(stream);
    let mut again = web.stream("soc", "/v1/events", &[("Last-Event-ID", &first.id)]);
    assert_eq!((again.next_event().number, again.next_event().number), (2, 3));
    // A client that is removed gets nothing more, also on a stream that is open.
    web.node.cli(&["client", "remove", "soc"]);
    web.node.publish(&[labelled(4, "GREEN")]);
    assert!(again.ends(), "the stream of a removed client goes on");
    wait_until("its token is worth nothing", SOON, || web.get("soc", "/v1/events").status == 401);
}

#[test]
fn explanations_and_status_know_clients() {
    let web = Web::start(&[("soc", "AMBER"), ("board", "GREEN")]);
    let id = web.node.publish(&[labelled(1, "AMBER")]).remove(0);
    web.get("soc", "/v1/events");
    let shown = web.node.cli(&["event", "show", &id]);
    assert!(shown.contains("client soc passed"), "{shown}");
    assert!(shown.contains("client board withheld: tlp_max; clients/board.toml:"), "{shown}");
    let soc = web.node.status()["clients"][1].clone();
    assert_eq!((soc["name"].as_str(), soc["handed"].as_u64()), (Some("soc"), Some(1)), "{soc}");
}

#[test]
fn tls_is_needed_beyond_loopback_and_works() {
    let mut node = Node::init("hub");
    node.edit("intelmesh.toml", |text| format!("{text}\n[web]\nlisten = \"0.0.0.0:4880\"\n"));
    let said = node.say(&["check"], "");
    let all = said.stdout + &said.stderr;
    assert!(all.contains("can be reached by others, and there is no TLS"), "{all}");
    let web = Web::start_with_tls(&[("soc", "AMBER")]);
    web.node.publish(&[labelled(1, "GREEN")]);
    let page = web.curl("soc", &["--cacert", web.cert().to_str().unwrap()], "/v1/events?form=plain");
    let event: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(event, json!({"source.port": 1, "feed.name": "test"}));
}

impl Reply {
    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}
