//! An unmodified IntelMQ joins by its own HTTP bots: its REST output posts here, its HTTP collector reads by a consumer.

use std::time::Duration;

use serde_json::json;
use support::intelmq::IntelMq;
use support::wait_until;

use super::http::Web;

const ALL: Duration = Duration::from_secs(90);

#[test]
fn real_rest_output_and_http_collector_meet_at_hub() {
    const EVENTS: usize = 40;
    let web = Web::start(&[("sender", "AMBER"), ("reader", "AMBER")]);
    let mut sender = IntelMq::new("sender");
    sender.add(
        "output",
        "intelmq.bots.outputs.restapi.output",
        json!({
            "host": format!("{}/v1/events", web.url()), "auth_type": "http_header",
            "auth_token_name": "Authorization", "auth_token": web.bearer("sender"),
        }),
    );
    for number in 0..EVENTS {
        let event = json!({"__type": "Event", "classification.type": "scanner", "source.port": number, "feed.name": "f"});
        sender.push("output-queue", &event.to_string());
    }
    sender.start("output");
    wait_until("all is posted", ALL, || sender.waiting("output") == 0);
    let mut reader = IntelMq::new("reader");
    reader.add(
        "collector",
        "intelmq.bots.collectors.http.collector_http",
        json!({
            "http_url": format!("{}/v1/events?consumer=intelmq&form=plain&limit=15", web.url()),
            "http_header": {"Authorization": web.bearer("reader")}, "rate_limit": 0, "name": "hub", "provider": "hub",
            "destination_queues": {"_default": ["parser-queue"]},
        }),
    );
    reader.add(
        "parser",
        "intelmq.bots.parsers.json.parser",
        json!({"splitlines": true, "destination_queues": {"_default": ["file-queue"]}}),
    );
    reader.add("file", "intelmq.bots.outputs.file.output", json!({"file": reader.output_file("file")}));
    reader.start_all(&["collector", "parser", "file"]);
    wait_until("the reader has all", ALL, || reader.written("file").len() >= EVENTS);
    // A round more: nothing comes again.
    let asked = reader.log("collector").matches("Report downloaded").count();
    wait_until("two more rounds", ALL, || {
        reader.log("collector").matches("Report downloaded").count() > asked + 2
    });
    let mut ports: Vec<u64> =
        reader.written("file").iter().map(|event| event["source.port"].as_u64().unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, (0..EVENTS as u64).collect::<Vec<_>>());
}
