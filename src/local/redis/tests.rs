//! Tests the client against a real `redis-server`: the traces of a pop and of an acknowledgement, a transaction that
//! came too late, and the messages for an operator.

use support::redis::Redis;

use super::address::RedisAddress;
use super::connection::{RedisConnection, RedisServer};
use super::fault::RedisFault;
use crate::identity::{Check, LogId, PublisherName};
use crate::local::deliver::marker::HandedMark;
use crate::local::deliver::redis::destination::DestinationQueue;
use crate::local::submit::redis::source::{QueueElement, SourceQueue};
use crate::wire::Mark;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn server(url: &str) -> RedisServer {
    RedisServer { address: RedisAddress::parse(url).unwrap(), password_file: None, ca_file: None }
}

async fn fault_of(server: &RedisServer) -> RedisFault {
    match RedisConnection::open(server).await {
        Err(fault) => fault,
        Ok(_) => panic!("{} let us in", server.address),
    }
}

fn texts(batch: &[QueueElement]) -> Vec<String> {
    batch.iter().map(|element| String::from_utf8_lossy(element).into_owned()).collect()
}

#[test]
fn elements_come_in_their_order_and_stay_in_flight_until_they_are_acknowledged() {
    let redis = Redis::start();
    let mut bot = redis.client(2);
    (1..=5).for_each(|number| bot.push("q", number.to_string()));
    run(async {
        let mut connection = RedisConnection::open(&server(&redis.url(2))).await.unwrap();
        let mut queue = SourceQueue::new("q");
        assert!(queue.left_over(&mut connection).await.unwrap().is_empty());
        let first = queue.next(&mut connection).await.unwrap();
        assert_eq!(texts(&first), ["1"], "how large they are is not known yet");
        let second = queue.next(&mut connection).await.unwrap();
        assert_eq!(texts(&second), ["2", "3", "4", "5"]);
        assert_eq!(bot.elements("q-internal"), ["1", "2", "3", "4", "5"]);
        queue.acknowledge(&first, &mut connection).await.unwrap();
        queue.acknowledge(&second[..2], &mut connection).await.unwrap();
        assert_eq!(bot.elements("q-internal"), ["4", "5"]);

        let mut after_a_crash = SourceQueue::new("q");
        assert_eq!(texts(&after_a_crash.left_over(&mut connection).await.unwrap()), ["4"]);
        assert_eq!(texts(&after_a_crash.left_over(&mut connection).await.unwrap()), ["4", "5"]);
    });
}

#[test]
fn large_elements_are_moved_one_by_one() {
    let redis = Redis::start();
    let mut bot = redis.client(0);
    (0..3).for_each(|_| bot.push("q", vec![b'x'; 900 * 1024]));
    run(async {
        let mut connection = RedisConnection::open(&server(&redis.url(0))).await.unwrap();
        let mut queue = SourceQueue::new("q");
        for _ in 0..3 {
            assert_eq!(queue.next(&mut connection).await.unwrap().len(), 1);
        }
    });
}

#[test]
fn a_small_element_before_large_ones_does_not_fetch_them_all_at_once() {
    let redis = Redis::start();
    let mut bot = redis.client(0);
    let large = || vec![b'x'; 2 * 1024 * 1024];
    bot.push("q", "small");
    (0..40).for_each(|_| bot.push("q", large()));
    bot.push("left-internal", "small");
    (0..40).for_each(|_| bot.push("left-internal", large()));
    run(async {
        let mut connection = RedisConnection::open(&server(&redis.url(0))).await.unwrap();
        let mut queue = SourceQueue::new("q");
        assert_eq!(texts(&queue.next(&mut connection).await.unwrap()), ["small"]);
        let second = queue.next(&mut connection).await.unwrap().len();
        assert!(second <= 4, "{second} of 2 MiB at once");
        assert_eq!(queue.next(&mut connection).await.unwrap().len(), 1);

        let mut after_a_crash = SourceQueue::new("left");
        for most in [1, 4, 1] {
            let batch = after_a_crash.left_over(&mut connection).await.unwrap();
            assert!(batch.len() <= most, "{} of 2 MiB at once", batch.len());
            after_a_crash.acknowledge(&batch, &mut connection).await.unwrap();
        }
        assert_eq!(bot.length("left-internal"), 41 - 6);

        // However many small ones came before.
        bot.say(&["DEL", "q", "q-internal"]);
        (0..600).for_each(|_| bot.push("q", "small"));
        (0..100).for_each(|_| bot.push("q", large()));
        let mut queue = SourceQueue::new("q");
        let mut largest = 0;
        while bot.length("q") > 60 {
            let batch = queue.next(&mut connection).await.unwrap();
            largest = largest.max(batch.iter().map(QueueElement::len).sum());
        }
        assert!(largest <= 34 * 2 * 1024 * 1024, "{largest} bytes at once");
    });
}

#[test]
fn a_server_before_6_2_is_popped_with_the_commands_it_knows() {
    let mut redis = Redis::new();
    redis.set("rename-command BLMOVE \"\"");
    redis.set("rename-command LMOVE \"\"");
    redis.start_again();
    let mut bot = redis.client(0);
    (1..=3).for_each(|number| bot.push("q", number.to_string()));
    run(async {
        let mut connection = RedisConnection::open(&server(&redis.url(0))).await.unwrap();
        let mut queue = SourceQueue::new("q");
        let mut popped = queue.next(&mut connection).await.unwrap();
        popped.extend(queue.next(&mut connection).await.unwrap());
        assert_eq!(texts(&popped), ["1", "2", "3"]);
        queue.acknowledge(&popped, &mut connection).await.unwrap();
        assert_eq!(bot.length("q-internal"), 0);
    });
}

#[test]
fn another_reader_of_the_same_queue_is_noticed_and_loses_nothing() {
    let redis = Redis::start();
    let mut bot = redis.client(0);
    bot.push("q", "ours");
    run(async {
        let mut connection = RedisConnection::open(&server(&redis.url(0))).await.unwrap();
        let mut queue = SourceQueue::new("q");
        let popped = queue.next(&mut connection).await.unwrap();
        // What another one had moved before us is older.
        bot.say(&["RPUSH", "q-internal", "theirs"]);
        let fault = queue.acknowledge(&popped, &mut connection).await.unwrap_err();
        assert!(matches!(&fault, RedisFault::Shared(queue) if queue == "q-internal"), "{fault}");
        assert_eq!(bot.elements("q-internal"), ["theirs", "ours"]);
    });
}

fn place(seq: u64) -> HandedMark {
    HandedMark { log_id: LogId([1; 16]), mark: Mark { seq, check: Check([2; 16]) }, generation: 4 }
}

#[test]
fn a_push_and_its_place_are_one_and_one_that_came_too_late_does_nothing() {
    let redis = Redis::start();
    let mut bot = redis.client(2);
    let node = PublisherName::parse("cert-at").unwrap();
    let queue = DestinationQueue::new("q", &node, "soc");
    let events: [&[u8]; 3] = [b"1", b"2", b"3"];
    run(async {
        let mut older = RedisConnection::open(&server(&redis.url(2))).await.unwrap();
        let mut newer = RedisConnection::open(&server(&redis.url(2))).await.unwrap();
        let look = queue.look(&mut older).await.unwrap();
        assert_eq!((look.taken, look.holds), (None, 0));
        assert!(queue.push(&events[..1], Some(place(1)), &mut older).await.unwrap());

        // Both looked; the older one's transaction arrives after the newer one's.
        queue.look(&mut older).await.unwrap();
        let look = queue.look(&mut newer).await.unwrap();
        assert_eq!((look.taken, look.holds), (Some(place(1)), 1));
        assert!(queue.push(&events[1..], Some(place(3)), &mut newer).await.unwrap());
        assert!(!queue.push(&events[1..], Some(place(3)), &mut older).await.unwrap());
        assert_eq!(bot.elements("q"), ["1", "2", "3"]);
        assert_eq!(
            bot.say(&["GET", "intelmesh:cert-at:soc:position"]).text(),
            format!("{} 3 {} 4", place(3).log_id, place(3).mark.check)
        );

        // An event that nobody gets moves the place alone.
        queue.look(&mut newer).await.unwrap();
        assert!(queue.push(&[], Some(place(9)), &mut newer).await.unwrap());
        assert_eq!(queue.look(&mut newer).await.unwrap().taken, Some(place(9)));
    });
}

#[test]
fn a_full_redis_takes_neither_the_events_nor_the_place() {
    let redis = Redis::start();
    let queue = DestinationQueue::new("q", &PublisherName::parse("a").unwrap(), "b");
    let mut bot = redis.client(0);
    run(async {
        let mut connection = RedisConnection::open(&server(&redis.url(0))).await.unwrap();
        bot.say(&["CONFIG", "SET", "maxmemory", "1"]);
        queue.look(&mut connection).await.unwrap();
        let fault = queue.push(&[b"1"], Some(place(1)), &mut connection).await.unwrap_err();
        assert!(fault.is_full(), "{fault}");
        bot.say(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(bot.length("q"), 0);
        assert_eq!(queue.look(&mut connection).await.unwrap().taken, None);
        assert!(queue.push(&[b"1"], Some(place(1)), &mut connection).await.unwrap());
        bot.say(&["DEL", "q"]);
        bot.say(&["SET", "q", "text"]);
        let fault = queue.look(&mut connection).await.unwrap_err();
        assert!(fault.hint().unwrap().contains("no list"), "{fault}");
    });
}

#[test]
fn who_may_not_come_in_is_told_why() {
    let mut redis = Redis::new();
    redis.set_password("secret");
    redis.set_tls();
    redis.start_again();
    let open = Redis::start();
    let without = redis.url(0).replace(":secret@", "");
    run(async {
        for url in [redis.url(3), redis.unix_url(3)] {
            RedisConnection::open(&server(&url)).await.unwrap();
        }
        let right_ca = RedisServer { ca_file: Some(redis.ca_file()), ..server(&redis.tls_url(1)) };
        RedisConnection::open(&right_ca).await.unwrap();

        let elsewhere = redis.tls_url(1).replace("localhost", "127.0.0.1");
        for (what, server, said, hint) in [
            ("no password", server(&without), "NOAUTH", Some("password")),
            ("a wrong one", server(&redis.url(0).replace("secret", "x")), "WRONGPASS", Some("requirepass")),
            (
                "one too many",
                server(&redis.url(0).replace(&redis.port().to_string(), &open.port().to_string())),
                "ERR",
                Some("leave it away"),
            ),
            ("no such database", server(&redis.url(99)), "DB index", Some("fewer databases")),
            ("nobody there", server("redis://127.0.0.1:1/0"), "refused", Some("redis-cli")),
            ("no such socket", server("unix:///nowhere/redis.sock"), "No such file", Some("redis-cli")),
            ("an unknown authority", RedisServer { ca_file: None, ..right_ca.clone() }, "", None),
            (
                "another host's",
                RedisServer { address: RedisAddress::parse(&elsewhere).unwrap(), ..right_ca.clone() },
                "certificate",
                None,
            ),
            (
                "no such ca_file",
                RedisServer { ca_file: Some("/nowhere/ca.pem".into()), ..right_ca.clone() },
                "ca_file",
                Some("authority"),
            ),
        ] {
            let fault = fault_of(&server).await;
            assert!(fault.to_string().contains(said), "{what}: {fault}");
            assert!(!fault.to_string().contains("secret"), "{what}: {fault}");
            if let Some(hint) = hint {
                assert!(fault.hint().unwrap().contains(hint), "{what}: {:?}", fault.hint());
            }
        }
    });
}
