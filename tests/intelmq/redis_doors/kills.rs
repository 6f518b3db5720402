//! `kill -9` of both nodes, and of the Redis between them and their bots, at random moments while events flow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::shape::start;
use support::{Dice, Node, Redis, RedisClient, Stopwatch, pace, wait_until};

use super::setup::{QUEUE_IN, QUEUE_OUT, event, number, pair_with, take_in, take_out};

/// How often each node is killed: `INTELMESH_KILLS`, else this.
const KILLS: u64 = 12;
const AT_REST: Duration = Duration::from_secs(120);

fn kills() -> u64 {
    std::env::var("INTELMESH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// Leaves events in the queue until the end; gives their count.
fn feed(mut bot: RedisClient, over: &AtomicBool) -> u64 {
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..20 {
            bot.push(QUEUE_IN, event(count));
            count += 1;
        }
        pace(Duration::from_millis(5));
    }
    count
}

/// Reads the other queue until the end, and then what is left.
fn drain(bot: &mut RedisClient, over: &AtomicBool, seen: &mut BTreeMap<u64, u64>) {
    loop {
        let last = over.load(Ordering::Relaxed);
        while let Some(text) = bot.pop(QUEUE_OUT) {
            *seen.entry(number(&text)).or_default() += 1;
        }
        if last {
            return;
        }
        pace(Duration::from_millis(3));
    }
}

#[test]
fn under_kill_9_every_event_reaches_the_other_queue_exactly_once() {
    let mut dice = Dice::announced("--test intelmq redis_doors::");
    let redis = [Redis::start(), Redis::start()];
    let mut nodes = pair_with(&take_in(&redis[0].url(2)), &take_out(&redis[1].url(2)));
    start(&mut nodes);
    let over = AtomicBool::new(false);
    let mut there = redis[1].client(2);
    let mut seen = BTreeMap::new();
    let count = std::thread::scope(|scope| {
        let bot = redis[0].client(2);
        let feeding = scope.spawn(|| feed(bot, &over));
        let mut reader = redis[1].client(2);
        let (over_read, seen) = (&over, &mut seen);
        scope.spawn(move || drain(&mut reader, over_read, seen));
        for _ in 0..kills() {
            for node in &mut nodes {
                pace(Duration::from_millis(dice.below(400)));
                node.kill9();
                node.start();
            }
        }
        over.store(true, Ordering::Relaxed);
        feeding.join().unwrap()
    });
    println!("{count} events, each node killed {} times", kills());
    let missing = |seen: &BTreeMap<u64, u64>| (0..count).filter(|number| !seen.contains_key(number)).count();
    let watch = Stopwatch::start();
    while missing(&seen) > 0 && watch.elapsed() < AT_REST {
        drain(&mut there, &AtomicBool::new(true), &mut seen);
        pace(Duration::from_millis(20));
    }
    assert_eq!(missing(&seen), 0, "of {count} events");
    let again: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.is_empty(), "more than once: {again:?}");
    let mut here = redis[0].client(2);
    here.wait_for_length(&format!("{QUEUE_IN}-internal"), 0);
}

/// Pauses the server so that what was sent to it is carried out only later, on a connection that was given up.
#[test]
fn a_redis_that_hangs_while_the_node_is_killed_gets_nothing_twice() {
    let mut dice = Dice::announced("--test intelmq redis_doors::");
    let redis = Redis::start();
    let mut node: Node = super::setup::node_with(&take_out(&redis.url(2)));
    node.start();
    let mut bot = redis.client(2);
    let mut published = 0;
    for _ in 0..kills() {
        let some: Vec<String> = (published..published + 40).map(event).collect();
        published += 40;
        node.publish(&some[..20]);
        redis.signal(rustix::process::Signal::STOP);
        node.publish(&some[20..]);
        pace(Duration::from_millis(dice.below(60)));
        node.kill9();
        node.start();
        pace(Duration::from_millis(dice.below(60)));
        redis.signal(rustix::process::Signal::CONT);
    }
    wait_until("all is handed off", AT_REST, || node.consumer("pipeline")["lag_events"] == 0);
    let numbers: Vec<u64> = bot.elements(QUEUE_OUT).iter().map(|text| number(text)).collect();
    assert_eq!(numbers, (0..published).collect::<Vec<_>>(), "each once, in their order");
    assert!(node.door("pipeline")["consumer"]["connected"].as_bool().unwrap());
}
