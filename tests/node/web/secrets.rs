//! What one client may not learn, and may not do to the events of others.

use serde_json::{Value, json};
use support::events::with_meta;

use super::http::Web;
use super::labelled;

fn linked(relation: &str, target: &str, tlp: &str, number: usize) -> String {
    let meta = json!({"tlp": tlp, "links": [{"type": relation, "right": target}]});
    with_meta(&meta, &json!({"source.port": number, "feed.name": "test"}).to_string())
}

/// All clients post under the name of the node: the name alone must not be enough to take an event back.
#[test]
fn client_takes_back_its_own_events_alone() {
    let web = Web::start(&[("soc", "AMBER"), ("board", "AMBER")]);
    let own = web.node.publish(&[labelled(1, "GREEN")]).remove(0);
    let posted = web.post("soc", "application/json", labelled(2, "GREEN").as_bytes()).json();
    let posted = posted["id"].as_str().unwrap();
    let unknown = format!("hub:intelmq:{}", "0".repeat(8) + "-0000-4000-8000-000000000000");
    for (client, target) in [("soc", own.as_str()), ("board", posted), ("soc", &unknown)] {
        for relation in ["withdraws", "replaces"] {
            let refused =
                web.post(client, "application/json", linked(relation, target, "GREEN", 3).as_bytes());
            let problem = refused.json();
            assert_eq!((refused.status, problem["code"].as_str()), (403, Some("forbidden")), "{problem}");
            let wanted = format!("this client may not take back {target}");
            assert_eq!(problem["detail"], wanted.as_str(), "the same words, whether it is held or not");
        }
    }
    let taken = web.post("soc", "application/json", linked("withdraws", posted, "GREEN", 4).as_bytes());
    assert_eq!(taken.status, 200, "{}", taken.text());
    let lines = web.get("board", "/v1/events").lines();
    assert!(lines.iter().any(|line| line.to_string().contains("withdrawn_by")), "{lines:?}");
}

/// A replacement for others has another audience: whoever may not have it does not learn its id either.
#[test]
fn replacement_for_others_is_not_named() {
    let mut web = Web::start(&[("soc", "AMBER"), ("board", "AMBER")]);
    let old = web.node.publish(&[labelled(1, "AMBER")]).remove(0);
    let new = web.node.publish(&[linked("replaces", &old, "AMBER", 2)]).remove(0);
    web.node.edit("clients/board.toml", |text| {
        text.replace("[share]", "[share]\nwhere = 'event[\"source.port\"] != 2'")
    });
    let sees = |client: &str, path: &str| web.get(client, path).text().contains(&new);
    let trace = format!("/v1/events/{old}/trace");
    support::wait_until("the file acts", super::SOON, || web.get("board", "/v1/events").lines().len() == 1);
    for path in ["/v1/events", trace.as_str(), &format!("/v1/events/{old}")] {
        assert!(sees("soc", path), "{path}");
        assert!(!sees("board", path), "{path}: {}", web.get("board", path).text());
    }
}

#[test]
fn status_names_no_other_client() {
    let web = Web::start(&[("soc", "AMBER"), ("board", "AMBER")]);
    let shown = web.get("soc", "/v1/status").json();
    let names: Vec<&Value> = shown["clients"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["soc"]);
    assert_eq!(web.node.status()["clients"].as_array().unwrap().len(), 2);
}

/// `/healthz` is for programs of this machine; `/metrics` names peers, and needs a token as all else.
#[test]
fn health_needs_no_token_and_figures_do() {
    let web = Web::start(&[("soc", "AMBER")]);
    let health = web.send("GET", "/healthz", &[], b"");
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    let rebound = web.send_to("evil.example", "GET", "/healthz", &[], b"");
    assert_eq!(rebound.status, 421);
    assert_eq!(web.send("GET", "/metrics", &[], b"").status, 401);
    let figures = web.get("soc", "/metrics").text();
    assert!(figures.contains("intelmesh_build_info"), "{figures}");
    assert!(!figures.contains("client=\"soc\""), "who reads here is for the operator alone\n{figures}");
}
