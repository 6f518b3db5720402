//! `kill -9` at random moments under load: nothing acknowledged is lost, nothing is handed off again after its
//! durable ack. It deliberately leaves torn writes and lost pages to the store's own tests and the simulator: a
//! killed process loses no page that the kernel has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::shape::chain;
use support::{Consumer, Dice, Doors, Handed, Node, Stopwatch, Submitter, pace, wait_until};

/// How often a node is killed: `INTELMESH_KILLS`, else this.
const KILLS: u64 = 200;

/// Acks are durable within 1 s (CONTRACT.md §3); as much again for a machine under load.
const DURABLE_AFTER: Duration = Duration::from_secs(2);

/// What the threads of the test tell each other.
struct World {
    watch: Stopwatch,
    over: AtomicBool,
    /// Full names that `in.sock` has answered.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Just before and just after the consumer's node was killed, each time.
    kills: Mutex<Vec<Duration>>,
    handed: Mutex<BTreeMap<String, u64>>,
    handed_again: AtomicU64,
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_handed_off_after_its_ack_under_kill_9() {
    let kills = std::env::var("INTELMESH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut dice = Dice::announced("--test node crash::");
    let mut nodes = chain(&["cert-at", "cert-ee", "cert-pl"]);
    let world = World {
        watch: Stopwatch::start(),
        over: AtomicBool::new(false),
        acknowledged: Mutex::default(),
        kills: Mutex::default(),
        handed: Mutex::default(),
        handed_again: AtomicU64::new(0),
    };
    let (entrance, exit): (Doors, Doors) = ((*nodes[0]).clone(), (*nodes[2]).clone());
    let seed = dice.roll();
    std::thread::scope(|scope| {
        let over = Over(&world.over);
        scope.spawn(|| load(&world, &entrance));
        let consumer = scope.spawn(|| consume(&world, &exit, Dice::from_seed(seed)));
        for _ in 0..kills {
            kill_one(&world, &mut nodes, &mut dice);
        }
        settle(&world, &nodes, || consumer.is_finished());
        drop(over);
    });
    check_at_rest(&world, &nodes);
}

/// Ends the threads, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills sender, relay or receiver at a random moment, sometimes again while it starts.
fn kill_one(world: &World, nodes: &mut [Node], dice: &mut Dice) {
    pace(Duration::from_millis(dice.below(150)));
    let victim = dice.below(3) as usize;
    let note = || world.kills.lock().unwrap().push(world.watch.elapsed());
    let kill = |node: &mut Node| {
        if victim == 2 {
            note();
        }
        node.kill9();
        if victim == 2 {
            note();
        }
    };
    kill(&mut nodes[victim]);
    if dice.below(4) == 0 {
        let _ready = nodes[victim].start_unready();
        pace(Duration::from_millis(dice.below(60)));
        kill(&mut nodes[victim]);
    }
    nodes[victim].start();
}

/// Submits without pause, a few lines at a time, and notes what is acknowledged.
fn load(world: &World, entrance: &Doors) {
    let mut number = 0;
    while !world.over.load(Ordering::Relaxed) && world.handed.lock().unwrap().len() < 200_000 {
        let submitted: io::Result<()> = Submitter::connect(entrance).and_then(|mut submitter| {
            while !world.over.load(Ordering::Relaxed) {
                let lines: Vec<_> = (number..number + 8).map(|number| made(number, 700)).collect();
                number += lines.len();
                submitter.send(&lines.join("\n"))?;
                for _ in &lines {
                    let answer = submitter.answer()?.ok_or(io::ErrorKind::UnexpectedEof)?;
                    note_answer(world, &answer);
                }
                pace(Duration::from_millis(4));
            }
            Ok(())
        });
        if submitted.is_err() {
            pace(Duration::from_millis(5));
        }
    }
}

fn note_answer(world: &World, answer: &Value) {
    match answer["id"].as_str() {
        Some(id) => assert!(world.acknowledged.lock().unwrap().insert(id.to_owned()), "{id} was given twice"),
        None => assert_eq!(answer["retry"], true, "{answer}"),
    }
}

/// What the consumer has acknowledged, and up to which seq that is durable for sure.
#[derive(Default)]
struct Acks {
    floor: u64,
    /// When each was sent.
    open: Vec<(Duration, u64)>,
}

impl Acks {
    /// An ack that no kill followed in time is durable; one that a kill followed may be or not.
    fn settle(&mut self, world: &World) {
        let now = world.watch.elapsed();
        let kills = world.kills.lock().unwrap();
        let mut floor = self.floor;
        self.open.retain(|&(at, seq)| {
            let doubtful = kills.iter().any(|kill| (at..=at + DURABLE_AFTER).contains(kill));
            let durable = !doubtful && now > at + DURABLE_AFTER;
            if durable {
                floor = floor.max(seq);
            }
            !doubtful && !durable
        });
        self.floor = floor;
    }

    /// The node closed the connection in its own time: end of file means durable.
    fn all_durable(&mut self) {
        self.floor = self.open.drain(..).map(|(_, seq)| seq).max().unwrap_or(0).max(self.floor);
    }
}

/// A consumer that acknowledges, breaks off, asks for durable acks and comes back.
fn consume(world: &World, exit: &Doors, mut dice: Dice) {
    let mut acks = Acks::default();
    while !world.over.load(Ordering::Relaxed) {
        let began = world.watch.elapsed();
        let Ok(mut consumer) = Consumer::try_open(exit, &json!({"consumer": "soc"})) else {
            pace(Duration::from_millis(5));
            continue;
        };
        acks.settle(world);
        let closed = session(world, &mut consumer, &mut dice, &mut acks).unwrap_or(false);
        drop(consumer);
        acks.settle(world);
        let killed = world.kills.lock().unwrap().iter().any(|at| *at >= began);
        if closed && !killed {
            acks.all_durable();
        }
    }
    println!("the consumer's acks are durable up to {}", acks.floor);
}

/// One connection, until it breaks or is left; true where it was closed after its writing side was shut.
fn session(world: &World, consumer: &mut Consumer, dice: &mut Dice, acks: &mut Acks) -> io::Result<bool> {
    let length = 50 + dice.below(2_000);
    for _ in 0..length {
        let Some(event) = consumer.next_within(Duration::from_millis(300))? else {
            if consumer.ended() || world.over.load(Ordering::Relaxed) {
                return Ok(false);
            }
            continue;
        };
        note_handed(world, &event, acks.floor);
        if dice.below(4) == 0 {
            let at = world.watch.elapsed();
            consumer.ack(event.seq)?;
            acks.open.push((at, event.seq));
        }
    }
    if dice.below(2) == 0 {
        consumer.shut_writing()?;
        while consumer.next_within(Duration::from_secs(5))?.is_some() {}
        return Ok(consumer.ended());
    }
    Ok(false)
}

fn note_handed(world: &World, event: &Handed, floor: u64) {
    assert!(event.seq > floor, "handed off again after a durable ack of {floor}: {}", event.line);
    if let Some(seq) = world.handed.lock().unwrap().insert(event.id(), event.seq) {
        assert_eq!(seq, event.seq, "the same event twice in one journal: {}", event.id());
        world.handed_again.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until all that was acknowledged has come out at the other end.
fn settle(world: &World, nodes: &[Node], ended: impl Fn() -> bool) {
    let ours = || world.acknowledged.lock().unwrap().clone();
    let target = ours();
    println!("{} acknowledged, waiting for the last of them", target.len());
    wait_until("everything acknowledged is handed off", Duration::from_secs(120), || {
        assert!(!ended(), "the consumer failed");
        let handed = world.handed.lock().unwrap();
        target.iter().all(|id| handed.contains_key(id))
    });
    assert!(nodes.iter().all(|node| node.status()["journal"]["last_seq"].as_u64() > Some(0)));
}

/// What the journals say in the end: each identity once, nothing acknowledged missing.
fn check_at_rest(world: &World, nodes: &[Node]) {
    let acknowledged = world.acknowledged.lock().unwrap();
    for node in nodes {
        let mut all = Consumer::open(node, &json!({"from": "earliest", "own": true}));
        let mut held = BTreeSet::new();
        while let Some(event) = all.next_within(Duration::from_millis(1_500)).expect("out.sock can be read") {
            assert!(held.insert(event.id()), "{} holds {} twice", node.name(), event.id());
        }
        let lost = acknowledged.difference(&held).count();
        if node.name() == "cert-at" {
            assert_eq!(lost, 0, "{} lost what it had acknowledged", node.name());
        }
        println!("{}: {} events, {lost} of the acknowledged on their way", node.name(), held.len());
    }
    let again = world.handed_again.load(Ordering::Relaxed);
    println!("handed off again before their ack was durable: {again} (as it must)");
}
