//! Codes about this machine: disk, clock, files, doors and consumers.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::events::made;
use support::shape::together;
use support::system::{FakeClock, SmallDisk};
use support::{Consumer, Node, Redis, wait_for, wait_until};

use super::{SOON, connected, dropped, logged, named, node, quicken, well, worst};

fn lines(count: usize, bytes: usize) -> Vec<String> {
    (0..count).map(|number| made(number, bytes)).collect()
}

/// Redis is not there, and then asks for a password: nothing of the organisation's enters the mesh meanwhile.
#[test]
fn a_door_that_does_not_reach_its_queue_is_down_until_it_does() {
    let mut redis = Redis::new();
    let mut node = node("cert-at");
    let url = redis.url(0);
    node.add_door(&format!("[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"in\"\n"));
    node.start();
    let entry = named(&node, "door_down", "door intelmq-redis has not reached");
    assert_eq!(entry["door"], "intelmq-redis");
    redis.start_again();
    well(&node);
    logged(&node, "door_down");
    redis.kill9();
    redis.set_password("secret");
    redis.start_again();
    named(&node, "door_down", "NOAUTH");
}

/// A Redis that answers and refuses every write: the cause is in the first line, and the door does not flap.
#[test]
fn a_queue_that_takes_nothing_is_down_with_its_own_words() {
    let redis = Redis::start();
    redis.client(0).say(&["REPLICAOF", "127.0.0.1", "1"]);
    let mut node = node("cert-at");
    let url = redis.url(0);
    node.add_door(&format!(
        "[[consumer]]\nname = \"pipe\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"out\"\nown = true\n"
    ));
    node.start();
    node.publish(&lines(1, 300));
    let entry = named(&node, "door_down", "READONLY");
    assert_eq!((&entry["door"], &entry["consumer"]), (&"pipe".into(), &"pipe".into()));
    let warned = node.log().lines().filter(|line| line.contains("WARN") && line.contains("READONLY")).count();
    assert!(warned <= 4, "{warned} lines:\n{}", node.log());
    redis.client(0).say(&["REPLICAOF", "NO", "ONE"]);
    well(&node);
    assert_eq!(redis.client(0).length("out"), 1);
}

#[test]
fn what_a_door_set_aside_is_told_until_it_was_retried_or_seen() {
    let redis = Redis::start();
    let mut node = node("cert-at");
    let url = redis.url(0);
    node.add_door(&format!("[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"in\"\n"));
    node.start();
    redis.client(0).push("in", "no JSON");
    named(&node, "door_rejects", "door intelmq-redis could not pass on 1 event");
    node.cli(&["status", "--ack", "door_rejects"]);
    assert!(!node.complains("door_rejects"), "{}", node.status()["health"]);
    node.restart();
    support::pace(std::time::Duration::from_secs(3));
    assert!(!node.complains("door_rejects"), "what was seen stays seen: {}", node.status()["health"]);
    redis.client(0).push("in", "no JSON again");
    let entry = named(&node, "door_rejects", "2 events");
    assert_eq!(entry["incident"], true);
    node.restart();
    let entry = named(&node, "door_rejects", "2 events");
    assert_eq!(entry["incident"], true, "also after a restart it happened, and does not last");
    fs::remove_file(node.dir().join("aside/intelmq-redis.jsonl")).unwrap();
    dropped(&node, "door_rejects");
}

#[test]
fn a_consumer_without_a_reader_lags_also_after_a_restart() {
    let mut node = node("cert-at");
    node.start();
    let mut soc = Consumer::open(&node, &json!({"consumer": "soc", "own": true}));
    node.publish(&lines(2, 300));
    soc.take(1);
    drop(soc);
    named(&node, "consumer_lagging", "consumer soc is ");
    support::pace(std::time::Duration::from_secs(10));
    node.restart();
    let lag_s = node.consumer("soc")["lag_s"].as_f64().unwrap();
    assert!(lag_s > 10.0, "the oldest unread event is as old as before: {lag_s}");
    let mut soc = Consumer::open(&node, &json!({"consumer": "soc", "own": true}));
    let handed = soc.take(2);
    soc.ack(handed.last().unwrap().seq).unwrap();
    dropped(&node, "consumer_lagging");
}

#[test]
fn a_consumer_that_lost_events_is_an_incident_and_one_about_to_a_state() {
    let mut node = node("cert-at");
    node.configure("journal", "keep_bytes", "\"2MB\"");
    node.start();
    Consumer::open(&node, &json!({"consumer": "absent", "own": true})).finish();
    let mut seen_short = false;
    for _ in 0..40 {
        node.publish(&lines(100, 1_000));
        seen_short |= node.complains("retention_short");
        if node.complains("feed_missing") {
            break;
        }
    }
    named(&node, "feed_missing", "consumer absent missed");
    assert!(seen_short || node.complains("retention_short"), "{}", node.status()["health"]);
    node.cli(&["status", "--ack", "feed_missing"]);
    assert!(!node.complains("feed_missing"));
    named(&node, "retention_short", "consumer absent has not read");
    let mut absent = Consumer::open(&node, &json!({"consumer": "absent", "own": true}));
    let handed = absent.rest(std::time::Duration::from_secs(1));
    absent.ack(handed.last().unwrap().seq).unwrap();
    dropped(&node, "retention_short");
    absent.finish();

    // It loses events again, and is removed: a new consumer of that name has missed nothing.
    wait_until("it loses events again", SOON, || {
        node.publish(&lines(100, 1_000));
        node.complains("feed_missing")
    });
    node.cli(&["consumer", "remove", "absent"]);
    wait_until("it is gone", SOON, || node.consumer("absent").is_null() && !node.complains("feed_missing"));
    support::pace(std::time::Duration::from_secs(2));
    Consumer::open(&node, &json!({"consumer": "absent", "own": true})).finish();
    wait_until("it is there again", SOON, || node.consumer("absent").is_object());
    assert!(!node.complains("feed_missing"), "{}", node.status()["health"]);
}

#[test]
fn a_filter_without_an_answer_is_told_until_it_was_seen_or_changed() {
    let [mut a, _b] = connected(["cert-at", "cert-ee"]);
    a.configure_peer("cert-ee", "share", "where", "'event[\"no.such\"] == 1'");
    wait_until("the filter is in force", SOON, || a.log().contains("peer files read"));
    a.publish(&lines(1, 300));
    named(&a, "filter_failing", "peers/cert-ee.toml, [share] where: no answer for 1 event");
    a.cli(&["status", "--ack", "filter_failing"]);
    well(&a);
    a.publish(&lines(2, 300));
    named(&a, "filter_failing", "no answer for");
    a.configure_peer("cert-ee", "share", "where", "'true'");
    dropped(&a, "filter_failing");
}

#[test]
fn a_bad_file_is_named_until_it_is_good() {
    let mut a = node("cert-at");
    a.start();
    fs::write(a.dir().join("peers/cert-ee.toml"), "kee = 1\n").unwrap();
    let since = named(&a, "config_bad", "peers/cert-ee.toml:1: ")["since"].clone();
    // Each bad file is told on its own, and since when.
    fs::write(a.dir().join("peers/cert-pl.toml"), "kee = 1\n").unwrap();
    wait_until("the second one is told", SOON, || {
        a.log()
            .lines()
            .any(|line| line.contains("peers/cert-pl.toml:1: ") && line.contains("state=\"begins\""))
    });
    assert_eq!(worst(&a)["since"], since);
    fs::remove_file(a.dir().join("peers/cert-pl.toml")).unwrap();
    fs::remove_file(a.dir().join("peers/cert-ee.toml")).unwrap();
    well(&a);
}

#[test]
fn a_clock_that_jumps_is_named_until_it_is_right() {
    let mut a = node("cert-at");
    let clock = FakeClock::for_node(&mut a);
    a.start();
    clock.set("+36h");
    named(&a, "clock_off", "the clock says ");
    clock.set("+0");
    well(&a);
}

/// A file system without inodes has all its bytes free, and nothing can be made there.
#[test]
fn a_disk_without_inodes_is_low_and_says_inodes() {
    let disk = SmallDisk::of(600);
    let mut a = Node::init_in(disk.path(), "cert-at");
    quicken(&mut a);
    a.start();
    well(&a);
    remount(&disk, count_of(disk.path()) + 200);
    named(&a, "disk_low", "(inodes)");
    remount(&disk, 100_000);
    well(&a);
}

/// Nothing can be made there, and the system says that there is no space: the node says what is used up, and starts once
/// there are inodes again.
#[test]
fn a_start_without_inodes_says_so_and_succeeds_later() {
    let disk = SmallDisk::of(200);
    let mut a = Node::init_in(disk.path(), "cert-at");
    let held = count_of(disk.path());
    remount(&disk, held);
    let said = a.say(&["run"], "");
    assert_eq!(said.code, 2, "{said:?}");
    let words = format!("all inodes of the file system of {}", a.dir().display());
    assert!(said.stderr.contains(&words), "{said:?}");
    assert!(said.stderr.contains("\nhint: remove files there: df -i"), "{said:?}");
    remount(&disk, 100_000);
    a.start();
    a.publish(&lines(1, 300));
}

fn remount(disk: &SmallDisk, inodes: u32) {
    let options = format!("remount,nr_inodes={inodes}");
    let done = Command::new("mount").args(["-o", &options]).arg(disk.path()).status();
    assert!(done.is_ok_and(|status| status.success()), "a tmpfs can be changed");
}

fn count_of(dir: &Path) -> u32 {
    let said = Command::new("df").arg("--output=iused").arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    text.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// A peer whose disk is full takes nothing: the sender says so at once, and says whose disk.
#[test]
fn a_peer_with_a_full_disk_is_named_as_the_cause() {
    let disk = SmallDisk::of(160);
    let (mut a, mut b) = (node("cert-at"), Node::init_in(disk.path(), "cert-ee"));
    quicken(&mut b);
    support::pair(&a, &b);
    b.configure("journal", "keep_bytes", "\"90MB\"");
    a.start();
    b.start();
    together(&a);
    let ballast = disk.fill();
    let refused = |answer: &serde_json::Value| answer["code"] == "disk_full";
    let mut stored = 0;
    wait_for("the disk is full", SOON, || {
        let answers = b.submit(&lines(50, 60_000));
        stored += answers.iter().filter(|answer| answer["id"].is_string()).count() as u64;
        answers.iter().any(refused).then_some(())
    });
    assert_eq!(b.status()["journal"]["last_seq"], stored, "what was refused is not there");
    named(&b, "disk_low", "the disk is full");
    a.publish(&lines(20, 100_000));
    let entry = named(&a, "feed_lagging", "its disk is full");
    assert_eq!(entry["side"], "there");
    let flaps = b.log().lines().filter(|line| line.contains("feed up")).count();
    assert!(flaps < 30, "{flaps} lines of one feed");
    fs::remove_file(ballast).unwrap();
    well(&a);
    wait_until("all arrive", SOON, || b.accepted() == 20);
}
