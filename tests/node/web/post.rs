//! Posted events: answers as at `in.sock`, who posted them, and what a client may not post.

use serde_json::json;

use super::http::Web;
use super::labelled;

#[test]
fn posted_events_are_published_and_say_who_posted() {
    let web = Web::start(&[("soc", "AMBER")]);
    let lines = format!("{}\n\n{{\"feed.name\": 1e2}}\nno json\n", labelled(1, "GREEN"));
    let reply = web.post("soc", "application/x-ndjson", lines.as_bytes());
    let answers = reply.lines();
    assert_eq!((reply.status, answers.len()), (200, 3), "{}", reply.text());
    assert!(answers[0]["id"].as_str().unwrap().starts_with("hub:intelmq:"));
    assert_eq!((answers[2]["code"].as_str(), answers[2]["line"].as_u64()), (Some("bad_json"), Some(4)));
    let held = web.get("soc", "/v1/events").lines();
    assert_eq!(held[0]["meta"]["ext"], json!({"client": "soc"}));
    assert!(web.get("soc", "/v1/events").text().contains("{\"feed.name\": 1e2}"), "token for token");
    // The answer was lost, and the client posts again.
    let again = web.post("soc", "application/x-ndjson", lines.as_bytes()).lines();
    assert_eq!((&again[0]["id"], again[0]["duplicate"].as_bool()), (&answers[0]["id"], Some(true)));
}

#[test]
fn one_object_or_a_list_is_answered_in_kind() {
    let web = Web::start(&[("soc", "AMBER")]);
    let one = web.post("soc", "application/json; charset=utf-8", b"{\"feed.name\": \"a\"}");
    assert!(one.status == 200 && one.json()["id"].is_string(), "{}", one.text());
    let refused = web.post("soc", "application/json", b"{\"feed.name\": [1]}");
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (400, Some("multi_value")),
        "a bot looks at the status"
    );
    let list = web.post("soc", "application/json", b"[{\"feed.name\": \"b\"}, 3]");
    assert_eq!((list.status, list.json()[1]["code"].as_str()), (200, Some("not_object")), "{}", list.text());
    for (kind, body, status) in [
        ("text/plain", &b"{}"[..], 415),
        ("application/json", b"[{]", 400),
        ("application/json", &[b' '; 9 * 1024 * 1024], 413),
    ] {
        assert_eq!(web.post("soc", kind, body).status, status, "{kind}");
    }
}

#[test]
fn what_a_client_may_not_post_is_refused() {
    let mut web = Web::start(&[("soc", "AMBER"), ("slow", "AMBER"), ("narrow", "AMBER")]);
    let file = |name| format!("clients/{name}.toml");
    web.node.edit(&file("soc"), |text| text.replace("accept = true", "accept = false"));
    web.node.edit(&file("slow"), |text| text.replace("# rate = \"100/s\"", "rate = \"1/s\""));
    web.node.edit(&file("narrow"), |text| {
        text.replace("accept = true", "accept = true\nwhere = 'meta.tlp == \"GREEN\"'")
    });
    let green = labelled(1, "GREEN");
    support::wait_until("the file acts", super::SOON, || {
        web.post("soc", "application/json", green.as_bytes()).status == 403
    });
    let many: String = (0..30).map(|number| labelled(number, "GREEN") + "\n").collect();
    support::wait_until("the rate acts", super::SOON, || {
        web.post("slow", "application/x-ndjson", many.as_bytes()).status == 429
    });
    let clear = labelled(2, "CLEAR");
    support::wait_until("the filter acts", super::SOON, || {
        let reply = web.post("narrow", "application/json", clear.as_bytes());
        reply.status == 403 && reply.json()["code"] == "forbidden"
    });
    assert_eq!(web.post("narrow", "application/json", green.as_bytes()).status, 200);
}
