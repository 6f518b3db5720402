//! IntelMQ's Redis queues at both ends of real nodes, with a real `redis-server`: what is popped and when it is
//! acknowledged, what is pushed and when it is not, and both under `kill -9`. It deliberately plays the bots
//! itself; real ones are in `intelmq_*.rs`.

mod kills;
mod setup;

use std::time::Duration;

use serde_json::Value;
use support::shape::start;
use support::{Node, Redis, wait_until};

use setup::{QUEUE_IN, QUEUE_OUT, event, health_of, node_with, number, pair_with, take_in, take_out};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn what_a_bot_leaves_in_a_queue_reaches_the_queue_of_a_bot_elsewhere() {
    let redis = [Redis::start(), Redis::start()];
    let mut nodes = pair_with(&take_in(&redis[0].url(2)), &take_out(&redis[1].url(2)));
    start(&mut nodes);
    let (mut here, mut there) = (redis[0].client(2), redis[1].client(2));
    (0..500).for_each(|number| here.push(QUEUE_IN, event(number)));

    let handed = there.take(QUEUE_OUT, 500);
    let numbers: Vec<u64> = handed.iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "all, once, in their order");
    for text in &handed {
        let event: Value = serde_json::from_str(text).unwrap();
        assert_eq!(event["__type"], "Event", "without it a bot of IntelMQ loops for ever");
        assert_eq!(event["source.ip"], "192.0.2.1");
    }
    here.wait_for_length(QUEUE_IN, 0);
    here.wait_for_length(&format!("{QUEUE_IN}-internal"), 0);
    let (submit, consumer) = (nodes[0].door("intelmq-redis"), nodes[1].door("pipeline"));
    assert_eq!((&submit["submit"]["accepted"], &submit["submit"]["clients"]), (&500.into(), &1.into()));
    assert_eq!((&consumer["consumer"]["handed"], &consumer["last_error"]), (&500.into(), &Value::Null));
}

#[test]
fn the_same_event_in_the_queue_again_is_one_event() {
    let redis = Redis::start();
    let mut node = node_with(&(take_in(&redis.url(2)) + &take_out(&redis.url(2))));
    node.start();
    let mut bot = redis.client(2);
    for number in [1, 2, 1, 1, 3] {
        bot.push(QUEUE_IN, event(number));
    }
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 3).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, [1, 2, 3]);
    bot.wait_for_length(&format!("{QUEUE_IN}-internal"), 0);
    let submit = node.door("intelmq-redis");
    assert_eq!((&submit["submit"]["accepted"], &submit["submit"]["duplicates"]), (&3.into(), &2.into()));
}

#[test]
fn what_is_no_event_is_set_aside_and_the_next_event_flows() {
    let redis = Redis::start();
    let mut node = node_with(&(take_in(&redis.url(0)) + &take_out(&redis.url(0))));
    node.start();
    let mut bot = redis.client(0);
    let poison: [&[u8]; 9] = [
        b"\xff\xfe no UTF-8",
        b"no JSON",
        b"",
        b"[1, 2]",
        b"\"text\"",
        b"{\"__type\": \"Event\"}",
        b"{\"__type\": \"Event\", \"source.ip\": \"192.0.2.1\", \"source.ip\": \"192.0.2.2\"}",
        b"{\"__type\": \"Event\", \"source.port\": NaN}",
        b"{\"__type\": \"Event\", \"source.ip\": [\"192.0.2.1\", \"192.0.2.2\"]}",
    ];
    for (at, bytes) in poison.iter().enumerate() {
        bot.push(QUEUE_IN, bytes);
        bot.push(QUEUE_IN, event(at as u64));
    }
    bot.push(QUEUE_IN, format!("{{\"raw\": \"{}\"}}", "x".repeat(3 * 1024 * 1024)));
    bot.push(QUEUE_IN, event(9));
    // Without `__type` it is an event all the same: the JSON forms say so.
    bot.push(QUEUE_IN, event(10).replace("\"__type\": \"Event\", ", ""));

    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 11).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    bot.wait_for_length(&format!("{QUEUE_IN}-internal"), 0);
    let aside = std::fs::read_to_string(node.dir().join("aside/intelmq-redis.jsonl")).unwrap();
    let aside: Vec<Value> = aside.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<&str> = aside.iter().map(|record| record["code"].as_str().unwrap()).collect();
    assert_eq!(codes.len(), poison.len() + 1, "{codes:?}");
    assert_eq!(codes.last(), Some(&"too_large"));
    assert_eq!(aside[1]["line"], "no JSON");
    assert!(aside[0]["line_base64"].is_string(), "{}", aside[0]);
    assert!(node.complains("door_rejects"));
    assert_eq!(node.door("intelmq-redis")["submit"]["rejects"], 10);
}

#[test]
fn what_is_too_long_for_us_is_not_lost_to_the_queue() {
    let redis = Redis::start();
    let mut node = node_with(&(take_in(&redis.url(0)) + &take_out(&redis.url(0))));
    node.start();
    let mut bot = redis.client(0);
    let long = format!("{{\"__type\": \"Report\", \"raw\": \"{}\"}}", "x".repeat(3 * 1024 * 1024));
    bot.push(QUEUE_IN, &long);
    bot.push(QUEUE_IN, event(1));
    assert_eq!(number(&bot.take(QUEUE_OUT, 1)[0]), 1);
    let set_aside = || {
        let text = std::fs::read_to_string(node.dir().join("aside/intelmq-redis.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    bot.wait_for_length(&format!("{QUEUE_IN}-internal"), 0);
    let said = node.say(&["aside", "retry", "intelmq-redis"], "");
    assert_eq!(said.stdout.trim(), "intelmq-redis: 0 taken, 1 set aside again, 0 left as they were");
    let record = &set_aside()[0];
    assert_eq!(record["code"], "too_large");
    assert!(record["line"] == long.as_str(), "all of it is there, for whoever can use it");
}

#[test]
fn what_a_crash_left_in_flight_is_taken_first() {
    let redis = Redis::start();
    let mut bot = redis.client(2);
    let internal = format!("{QUEUE_IN}-internal");
    // Oldest first, as a pop leaves them: 0, 1, 2; then what is still in the queue.
    (0..3).for_each(|number| bot.push(&internal, event(number)));
    (3..6).for_each(|number| bot.push(QUEUE_IN, event(number)));
    let mut node = node_with(&(take_in(&redis.url(2)) + &take_out(&redis.url(2))));
    node.start();
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 6).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    bot.wait_for_length(&internal, 0);
}

#[test]
fn a_redis_before_6_2_serves_as_well() {
    let mut redis = Redis::new();
    redis.set("rename-command BLMOVE \"\"");
    redis.set("rename-command LMOVE \"\"");
    redis.start_again();
    let mut node = node_with(&(take_in(&redis.url(2)) + &take_out(&redis.url(2))));
    node.start();
    let mut bot = redis.client(2);
    (0..300).for_each(|number| bot.push(QUEUE_IN, event(number)));
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 300).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

#[test]
fn password_tls_socket_and_database_are_as_the_url_says() {
    let mut redis = Redis::new();
    redis.set_password("secret");
    redis.set_tls();
    redis.start_again();
    let secret = redis.home().join("password");
    std::fs::write(&secret, "secret\n").unwrap();
    let ca = format!("ca_file = \"{}\"\n", redis.ca_file().display());
    let file = format!("password_file = \"{}\"\n", secret.display());
    for (db, url, more) in [
        (1, redis.url(1), ""),
        (3, redis.unix_url(3), ""),
        (5, redis.tls_url(5), ca.as_str()),
        (7, redis.url(7).replace(":secret@", ""), file.as_str()),
    ] {
        let mut node = node_with(&(take_in(&url) + more + &take_out(&url) + more));
        node.start();
        let mut bot = redis.client(db);
        bot.push(QUEUE_IN, event(7));
        assert_eq!(number(&bot.take(QUEUE_OUT, 1)[0]), 7, "{url}");
        assert!(!node.cli(&["status", "--json"]).contains("secret"));
        assert!(!node.log().contains("secret"));
        node.stop();
    }
}

/// What a node says of its door from the queue, once it says something.
fn complaint(node: &Node) -> String {
    let said = || node.door("intelmq-redis")["last_error"].as_str().map(str::to_owned);
    support::wait_for("the door complains", SOON, said)
}

#[test]
fn what_is_wrong_is_shown_with_what_to_do_and_ends_by_itself() {
    let mut redis = Redis::new();
    let mut node = node_with(&(take_in(&redis.url(2)) + &take_out(&redis.url(2))));
    node.start();
    assert!(complaint(&node).contains("redis-cli ping"), "nobody is there: {}", complaint(&node));

    redis.set_password("secret");
    redis.start_again();
    let says = |word: &'static str| {
        wait_until(word, SOON, || complaint(&node).contains(word));
    };
    says("NOAUTH");
    let mut bot = redis.client(2);
    bot.say(&["SET", QUEUE_IN, "no list"]);
    bot.say(&["CONFIG", "SET", "requirepass", ""]);
    says("WRONGTYPE");
    assert!(complaint(&node).contains("no list"), "{}", complaint(&node));
    bot.say(&["DEL", QUEUE_IN]);
    bot.push(QUEUE_IN, event(1));
    assert_eq!(number(&bot.take(QUEUE_OUT, 1)[0]), 1);
    wait_until("it is well again", SOON, || node.door("intelmq-redis")["last_error"].is_null());
}

#[test]
fn a_queue_that_nobody_reads_stops_the_hand_off_until_it_is_read() {
    let redis = Redis::start();
    let out = take_out(&redis.url(2)) + "queue_max = 20\n";
    let mut node = node_with(&(take_in(&redis.url(2)) + &out));
    node.start();
    let mut bot = redis.client(2);
    (0..200).for_each(|number| bot.push(QUEUE_IN, event(number)));
    bot.wait_for_length(QUEUE_OUT, 20);
    let held = || node.door("pipeline")["consumer"]["held"].as_str().map(str::to_owned);
    let why = support::wait_for("status says why", SOON, held);
    assert_eq!(why, format!("queue \"{QUEUE_OUT}\" holds 20, at most 20"));
    assert!(health_of(&node, "consumer_lagging").contains("pipeline"), "{}", node.status()["health"]);
    bot.wait_for_length(&format!("{QUEUE_IN}-internal"), 0);

    let mut numbers = Vec::new();
    while numbers.len() < 200 {
        let length = bot.length(QUEUE_OUT);
        assert!(length <= 20, "{length}");
        numbers.extend(bot.pop(QUEUE_OUT).map(|text| number(&text)));
    }
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    wait_until("nothing is held", SOON, || held().is_none());
    assert!(!node.complains("consumer_lagging"));
}

#[test]
fn a_full_redis_holds_the_hand_off_and_loses_nothing() {
    let redis = Redis::start();
    let mut node = node_with(&take_out(&redis.url(2)));
    node.start();
    let mut bot = redis.client(2);
    bot.say(&["CONFIG", "SET", "maxmemory", "1"]);
    node.publish(&(0..50).map(event).collect::<Vec<_>>());
    wait_until("it is held", SOON, || {
        node.door("pipeline")["consumer"]["held"].as_str().is_some_and(|why| why.contains("OOM"))
    });
    node.kill9();
    node.start();
    bot.say(&["CONFIG", "SET", "maxmemory", "0"]);
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 50).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_redis_that_went_away_is_waited_for_whatever_it_still_knows() {
    let mut redis = Redis::start();
    let mut node = node_with(&(take_in(&redis.url(2)) + &take_out(&redis.url(2))));
    node.start();
    let mut bot = redis.client(2);
    (0..10).for_each(|number| bot.push(QUEUE_IN, event(number)));
    bot.wait_for_length(QUEUE_OUT, 10);
    redis.save();
    redis.kill9();
    node.publish(&(10..20).map(event).collect::<Vec<_>>());

    // With its data: it goes on behind the place that is kept there.
    redis.start_again();
    let mut bot = redis.client(2);
    bot.wait_for_length(QUEUE_OUT, 20);
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 20).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());

    // Without: what a bot has read does not come again.
    redis.kill9();
    redis.forget();
    node.publish(&(20..30).map(event).collect::<Vec<_>>());
    redis.start_again();
    let mut bot = redis.client(2);
    bot.push(QUEUE_IN, event(30));
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 11).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (20..31).collect::<Vec<_>>());
}

/// Redis saves now and then: what came in between is lost with the process, and with it the place beside the queue.
#[test]
fn what_an_older_redis_lost_is_handed_over_again() {
    let mut redis = Redis::start();
    let mut node = node_with(&take_out(&redis.url(2)));
    node.start();
    let mut bot = redis.client(2);
    node.publish(&(0..10).map(event).collect::<Vec<_>>());
    bot.wait_for_length(QUEUE_OUT, 10);
    for round in [10, 20] {
        redis.save();
        node.publish(&(round..round + 5).map(event).collect::<Vec<_>>());
        bot.wait_for_length(QUEUE_OUT, round + 5);
        let known = || node.consumer("pipeline")["position"] == serde_json::json!(round + 5);
        wait_until("the node knows that redis has them", SOON, known);
        redis.kill9();
        if round == 20 {
            // Also where the node does not see it happen.
            node.stop();
            redis.start_again();
            node.start();
        } else {
            redis.start_again();
        }
        bot = redis.client(2);
        bot.wait_for_length(QUEUE_OUT, round + 5);
        node.publish(&(round + 5..round + 10).map(event).collect::<Vec<_>>());
        bot.wait_for_length(QUEUE_OUT, round + 10);
        let status = node.status();
        assert!(status["errors"].to_string().contains("lost 5 entries"), "{}", status["errors"]);
    }
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 30).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>(), "all, once, in their order");
}

/// What was in the queue is gone, and nothing proves how much that was: it is said, and not blamed on another node.
#[test]
fn an_emptied_redis_is_called_that() {
    let redis = Redis::start();
    let mut node = node_with(&take_out(&redis.url(2)));
    node.start();
    let mut bot = redis.client(2);
    node.publish(&(0..3).map(event).collect::<Vec<_>>());
    bot.wait_for_length(QUEUE_OUT, 3);
    bot.say(&["FLUSHALL"]);
    node.publish(&(3..6).map(event).collect::<Vec<_>>());
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 3).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert!(node.log().contains("redis was emptied"), "{}", node.log());
    let health = health_of(&node, "feed_missing");
    assert!(health.contains("the receiver of pipeline"), "{health}");
}

/// It came back with a state of before the consumer was rewound, which says nothing of what was handed over since.
#[test]
fn what_an_older_redis_lost_since_rewinding_is_handed_over_again() {
    let mut redis = Redis::start();
    let mut node = node_with(&take_out(&redis.url(2)));
    node.start();
    let mut bot = redis.client(2);
    node.publish(&(0..5).map(event).collect::<Vec<_>>());
    bot.wait_for_length(QUEUE_OUT, 5);
    redis.save();
    node.cli(&["consumer", "rewind", "pipeline", "--to", "earliest"]);
    bot.wait_for_length(QUEUE_OUT, 10);
    let acknowledged = || node.consumer("pipeline")["position"] == serde_json::json!(5);
    wait_until("the node knows that redis has them", SOON, acknowledged);
    redis.kill9();
    redis.start_again();
    let mut bot = redis.client(2);
    bot.wait_for_length(QUEUE_OUT, 10);
    node.publish(&[event(5)]);
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 11).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..5).chain(0..6).collect::<Vec<_>>(), "all again, once, in their order");
    let status = node.status();
    assert!(status["errors"].to_string().contains("lost 5 entries"), "{}", status["errors"]);
}

#[test]
fn an_emptied_journal_passes_nothing_over() {
    let redis = Redis::start();
    let mut node = node_with(&take_out(&redis.url(2)));
    node.start();
    let mut bot = redis.client(2);
    node.publish(&(0..5).map(event).collect::<Vec<_>>());
    bot.take(QUEUE_OUT, 5);
    node.stop();
    node.empty_journal();
    node.start();
    node.publish(&(10..20).map(event).collect::<Vec<_>>());
    let numbers: Vec<u64> = bot.take(QUEUE_OUT, 10).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (10..20).collect::<Vec<_>>(), "seqs of another log pass nothing over");
}

#[test]
fn an_url_that_is_none_is_found_before_the_node_runs_and_shows_no_password() {
    let node = node_with(&take_in("redis://:secret@127.0.0.1:6379/two"));
    for verb in ["check", "run"] {
        let said = node.say(&[verb], "");
        assert_ne!(said.code, 0, "{verb}");
        let text = said.stdout + &said.stderr;
        assert!(text.contains("door intelmq-redis: url: not redis://"), "{verb}: {text}");
        let config = std::fs::read_to_string(node.dir().join("intelmesh.toml")).unwrap();
        let line = 1 + config.lines().position(|line| line.starts_with("url = ")).unwrap();
        assert!(text.contains(&format!("intelmesh.toml:{line}: ")), "{verb}: {text}");
        assert!(!text.contains("secret"), "{verb}: {text}");
    }
}
