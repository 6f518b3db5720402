//! Positions that the hub keeps for clients without a memory: they move when a client has read the page, and not when it was
//! cut off.

use std::io::Write as _;
use std::net::Shutdown;
use std::process::Command;

use support::intelmq::python;
use support::{wait_for, wait_until};

use super::http::{Reply, Web};
use super::{SOON, labelled, numbers};

const PATH: &str = "/v1/events?consumer=daily&limit=700";

fn page(web: &Web) -> Reply {
    wait_for("the consumer is free", SOON, || Some(web.get("soc", PATH)).filter(|reply| reply.status == 200))
}

fn hub_of_2000() -> Web {
    let web = Web::start(&[("soc", "AMBER"), ("other", "AMBER")]);
    web.node.publish(&(0..2_000).map(|number| labelled(number, "GREEN")).collect::<Vec<_>>());
    web
}

#[test]
fn position_at_hub_survives_lost_replies() {
    let mut web = hub_of_2000();
    web.lose_reply("soc", PATH);
    let mut got = Vec::new();
    got.extend(page(&web).lines());
    assert_eq!(numbers(&got), (0..700).collect(), "the page that was lost comes again");
    got.extend(page(&web).lines());
    web.node.kill9();
    web.node.start();
    while got.len() < 2_000 {
        got.extend(page(&web).lines());
    }
    assert_eq!(numbers(&got), (0..2_000).collect());
    assert_eq!(page(&web).lines().len(), 0);
    assert_eq!(web.get("other", PATH).lines().len(), 700, "another client's consumer of that name");
    let listed = web.node.cli(&["consumer", "list", "--json"]);
    assert!(listed.contains("\"soc/daily\"") && listed.contains("\"other/daily\""), "{listed}");
}

/// A client that is killed early ends its connection before the page has come: its kernel sends the end at once, and a
/// reset only when the rest arrives.
#[test]
fn end_before_the_page_is_no_receipt() {
    let web = hub_of_2000();
    for shut in [true, false, true, false, true, false] {
        let mut stream = web.connect();
        let head = format!(
            "GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: {}\r\n\r\n",
            web.port,
            web.bearer("soc")
        );
        stream.write_all(head.as_bytes()).unwrap();
        if shut {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        drop(stream);
    }
    let mut got = Vec::new();
    while got.len() < 2_000 {
        let lines = page(&web).lines();
        assert!(!lines.is_empty(), "{} of 2000: a page was lost", got.len());
        got.extend(lines);
    }
    assert_eq!(numbers(&got), (0..2_000).collect());
}

/// What IntelMQ's collector does: `requests` closes a TLS connection without a word, once it has the whole body.
#[test]
fn python_without_memory_reads_once_over_tls() {
    let web = Web::start_with_tls(&[("soc", "AMBER")]);
    web.node.publish(&(0..500).map(|number| labelled(number, "GREEN")).collect::<Vec<_>>());
    let script = "import requests, sys\n\
        url, token, cert = sys.argv[1:]\n\
        while True:\n    \
            page = requests.get(url, headers={'Authorization': token}, verify=cert, timeout=60)\n    \
            page.raise_for_status()\n    \
            if not page.content: break\n    \
            sys.stdout.buffer.write(page.content)\n";
    let url = format!("{}/v1/events?consumer=daily&limit=150", web.url());
    let said = Command::new(python())
        .args(["-c", script, &url, &web.bearer("soc")])
        .arg(web.cert())
        .output()
        .expect("Python runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let lines: Vec<_> = said.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let lines: Vec<serde_json::Value> =
        lines.into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(numbers(&lines), (0..500).collect());
}

/// Names are places in the journal: one client may not use up those of the pipeline.
#[test]
fn names_of_one_client_are_bounded() {
    let web = Web::start(&[("soc", "AMBER"), ("other", "AMBER")]);
    for number in 0..16 {
        assert_eq!(web.get("soc", &format!("/v1/events?consumer=c{number}")).status, 200);
    }
    let refused = web.get("soc", "/v1/events?consumer=more");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("busy")), "{}", refused.text());
    assert_eq!(web.get("other", "/v1/events?consumer=more").status, 200);
    web.node.cli(&["consumer", "remove", "soc/c3"]);
    wait_until("there is room", SOON, || web.get("soc", "/v1/events?consumer=more").status == 200);
}
