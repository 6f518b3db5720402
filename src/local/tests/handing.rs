//! The driver of a consumer's door, in front of a receiver that fails when it is told to.

use std::collections::VecDeque;

use super::*;
use crate::format::intelmq::IntelmqHandOff;
use crate::local::counters::ConsumerCounters;
use crate::local::dead_letter::file::DeadLetter;
use crate::local::dead_letter::retry::{DeadLetterRetry, HandedAgain};
use crate::local::deliver::driver::{ConsumerBehind, ConsumerDoor, Holding};
use crate::local::deliver::form::ReceiverForm;
use crate::local::deliver::marker::HandedMark;
use crate::local::deliver::target::{DeliveryTarget, PreparedLine, ReceiverError};
use crate::protocol::io::{ConsumerRequest, DoorInput};
use crate::record::ConsumerName;
use crate::status::ConsumerState;

/// What a receiver does next, and what it did.
#[derive(Default)]
struct Script {
    /// How many lines it takes, call by call; then all. `None`: the connection breaks.
    takes: VecDeque<Option<usize>>,
    /// So many times passing over breaks the connection.
    passes_broken: usize,
    /// What it says that it took last.
    last: Option<HandedMark>,
    /// It closes each connection at once.
    closes: bool,
    handed: Vec<String>,
    passed: Vec<u64>,
    connected: u64,
}

struct Scripted(Arc<Mutex<Script>>);

impl DeliveryTarget for Scripted {
    async fn connect(&mut self) -> Result<(), ReceiverError> {
        self.0.lock().unwrap().connected += 1;
        Ok(())
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        Ok(self.0.lock().unwrap().last)
    }

    async fn hand(&mut self, lines: &[PreparedLine]) -> Result<usize, ReceiverError> {
        tokio::task::yield_now().await;
        let mut script = self.0.lock().unwrap();
        let taken = script.takes.pop_front().unwrap_or(Some(lines.len())).ok_or(ReceiverError::Closed)?;
        let lines = &lines[..taken.min(lines.len())];
        script.handed.extend(lines.iter().map(|made| String::from_utf8_lossy(&made.line).into_owned()));
        Ok(lines.len())
    }

    async fn pass(&mut self, mark: HandedMark) -> Result<(), ReceiverError> {
        let mut script = self.0.lock().unwrap();
        if script.passes_broken > 0 {
            script.passes_broken -= 1;
            return Err(ReceiverError::Closed);
        }
        script.passed.push(mark.mark.seq);
        Ok(())
    }

    async fn idle(&mut self) -> ReceiverError {
        if self.0.lock().unwrap().closes { ReceiverError::Closed } else { std::future::pending().await }
    }

    fn unfit(&self, _: &[u8]) -> Option<String> {
        None
    }
}

/// Each call is a second later.
fn each_later() -> Now {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let wall = Timestamp(1_000 * CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    Now { wall, ..Now::default() }
}

/// A door that runs, and its core.
struct Handing {
    script: Arc<Mutex<Script>>,
    consumers: Arc<ConsumerTable>,
    inputs: mpsc::Receiver<Input>,
    again: mpsc::Sender<DeadLetterRetry>,
    aside: Arc<DeadLetter>,
    counters: Arc<ConsumerCounters>,
    steady: Arc<SteadyTime>,
    stopping: CancellationToken,
    /// What the core says of the position.
    generation: u64,
    dir: tempfile::TempDir,
}

impl Handing {
    fn start(script: Script, strict: bool) -> Self {
        Self::start_as(script, IntelmqHandOff { strict, ..IntelmqHandOff::default() })
    }

    fn start_as(script: Script, hand_off: IntelmqHandOff) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, inputs) = mpsc::channel(64);
        let behind = behind(sender);
        let script = Arc::new(Mutex::new(script));
        let aside = DeadLetter::open(&dir.path().join("aside"), "soc").unwrap();
        let (again, again_out) = mpsc::channel(16);
        let (consumers, steady) = (Arc::<ConsumerTable>::default(), Arc::<SteadyTime>::default());
        let stopping = CancellationToken::new();
        let counters = Arc::new(ConsumerCounters::new("soc", ConsumerState::default(), each_later));
        let request = ConsumerRequest {
            name: Some(ConsumerName::parse("soc").unwrap()),
            from: None,
            own: true,
            acks: true,
            filter: None,
        };
        let door = ConsumerDoor {
            request,
            form: ReceiverForm::new(hand_off, None).unwrap(),
            receiver: Scripted(script.clone()),
            counters: counters.clone(),
            aside: aside.clone(),
            again: again_out,
            holding: Holding::default(),
            behind: ConsumerBehind {
                inputs: behind.inputs.clone(),
                consumers: consumers.clone(),
                journal: behind.journal.clone(),
                opening: behind.opening.clone(),
                now: wall,
                steady: steady.clone(),
                stopping: stopping.clone(),
            },
        };
        tokio::spawn(door.run());
        Self { script, consumers, inputs, again, aside, counters, steady, stopping, generation: 0, dir }
    }

    async fn input(&mut self) -> Input {
        let input = tokio::time::timeout(PATIENCE, self.inputs.recv()).await;
        let input = input.expect("the door says something in time").expect("the door runs");
        if let Input::Door(DoorInput::ConsumerOpened { consumer, .. }) = &input {
            self.consumers.tell(*consumer, ToConsumer::Began { generation: self.generation });
        }
        input
    }

    async fn acked(&mut self) -> u64 {
        loop {
            if let Input::Door(DoorInput::ConsumerAcked { seq, .. }) = self.input().await {
                return seq;
            }
        }
    }

    fn hand_off(&self, entries: Vec<Entry>) {
        let entries = entries.into_iter().map(Arc::new).collect();
        self.consumers.tell(ConsumerId(0), ToConsumer::Entries(entries));
    }

    /// What lies in `aside/`, in lines.
    fn set_aside(&self) -> usize {
        let text = std::fs::read_to_string(self.dir.path().join("aside/soc.jsonl")).unwrap_or_default();
        text.lines().count()
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

#[test]
fn what_was_set_aside_is_acknowledged_although_the_connection_broke_and_is_set_aside_once() {
    run(async {
        // `extra.seq` is a field that IntelMQ has; `strict` refuses what its list does not know.
        let script = Script { passes_broken: 2, ..Script::default() };
        let mut handing = Handing::start(script, true);
        assert!(matches!(handing.input().await, Input::Door(DoorInput::ConsumerOpened { .. })));
        handing.hand_off(vec![odd_entry(7)]);
        assert_eq!(handing.acked().await, 7, "without any event behind it");
        assert_eq!(handing.set_aside(), 1);
        assert_eq!(handing.script.lock().unwrap().passed, [7]);
        assert_eq!(handing.script.lock().unwrap().connected, 3);
        handing.stopping.cancel();
    });
}

#[test]
fn a_receiver_without_room_is_asked_again_and_what_expires_meanwhile_is_passed_over() {
    run(async {
        let no_room = std::iter::repeat_n(Some(0), 1_000_000);
        let mut handing = Handing::start(Script { takes: no_room.collect(), ..Script::default() }, false);
        assert!(matches!(handing.input().await, Input::Door(DoorInput::ConsumerOpened { .. })));
        handing.hand_off(vec![entry(1), entry(2), expiring_entry(3, 50), entry(4), expiring_entry(5, 50)]);
        while handing.script.lock().unwrap().takes.len() == 1_000_000 {
            tokio::task::yield_now().await;
        }
        // All five are lines already, and their time passes.
        handing.steady.tell(Some(wall().wall.plus_ms(100)), wall().tick);
        handing.script.lock().unwrap().takes = [Some(1), None].into();
        let mut acked = 0;
        while acked < 5 {
            acked = handing.acked().await;
        }
        let handed = handing.script.lock().unwrap().handed.clone();
        let seqs: Vec<bool> = ["1", "2", "4"]
            .iter()
            .zip(&handed)
            .map(|(seq, line)| line.contains(&format!("\"extra.seq\":{seq}")))
            .collect();
        assert_eq!((seqs, handed.len()), (vec![true; 3], 3), "{handed:?}");
        handing.stopping.cancel();
    });
}

/// The connection breaks behind the first of its three lines.
#[test]
fn message_of_several_events_passes_with_its_last() {
    run(async {
        let format = Some(crate::format::foreign::BodyFormat::Intelmq);
        let hand_off = crate::format::HandOff { format, ..IntelmqHandOff::default().hand_off };
        let script = Script { takes: [Some(2), None, Some(1)].into(), ..Script::default() };
        let mut handing = Handing::start_as(script, IntelmqHandOff { hand_off, ..IntelmqHandOff::default() });
        assert!(matches!(handing.input().await, Input::Door(DoorInput::ConsumerOpened { .. })));
        let message = r#"{"meta":{"format":"idea"},"payload":{"Format":"IDEA0","ID":"a","Category":["Test"],
            "DetectTime":"2026-01-01T00:00:00Z","Source":[{"IP4":["192.0.2.1","192.0.2.2","192.0.2.3"]}]}}"#;
        let undecodable = r#"{"meta":{"format":"n6"},"payload":{"no":"id"}}"#;
        let message = message.replace('\n', " ");
        handing.hand_off(vec![entry(1), entry_of(2, &message), entry_of(3, undecodable), entry(4)]);
        assert_eq!(handing.acked().await, 1, "one of three is none");
        assert_eq!(handing.acked().await, 2);
        while handing.acked().await < 4 {}
        let handed = handing.script.lock().unwrap().handed.clone();
        let parts: Vec<bool> = ["1/3", "2/3", "3/3"]
            .iter()
            .zip(&handed[1..])
            .map(|(part, line)| line.contains(&format!("\"extra.intelmesh.part\":\"{part}\"")))
            .collect();
        assert_eq!((parts, handed.len()), (vec![true; 3], 5), "{handed:?}");
        assert_eq!(handing.set_aside(), 1, "what cannot be decoded blocks nothing");
        handing.stopping.cancel();
    });
}

#[test]
fn a_retry_that_gave_up_hands_nothing_over_later() {
    run(async {
        // No room, until it is given up; then room enough.
        let script = Script { takes: [Some(0), Some(0)].into(), ..Script::default() };
        let mut handing = Handing::start(script, false);
        assert!(matches!(handing.input().await, Input::Door(DoorInput::ConsumerOpened { .. })));
        let claim = Arc::new(crate::local::dead_letter::retry::RetryClaim::default());
        assert!(claim.give_up());
        let (done, outcome) = tokio::sync::oneshot::channel();
        handing.again.send(DeadLetterRetry { entry: Arc::new(entry(1)), claim, done }).await.ok().unwrap();
        assert!(outcome.await.is_err(), "nobody asks any more");

        let claim = Arc::new(crate::local::dead_letter::retry::RetryClaim::default());
        let (done, outcome) = tokio::sync::oneshot::channel();
        let again = DeadLetterRetry { entry: Arc::new(entry(2)), claim: claim.clone(), done };
        handing.again.send(again).await.ok().unwrap();
        assert_eq!(outcome.await.unwrap(), HandedAgain::Taken, "one that was not is handed over, once");
        assert!(!claim.give_up(), "what was sent cannot be taken back");
        let handed = handing.script.lock().unwrap().handed.clone();
        assert_eq!(handed.len(), 1, "{handed:?}");
        assert!(handed[0].contains("\"extra.seq\":2"), "{handed:?}");
        assert!(handing.aside.status().is_none());
        handing.stopping.cancel();
    });
}

/// The operator rewound the consumer while its receiver was away, and the node was restarted since: only the position
/// of the core says so.
#[test]
fn what_was_taken_before_rewinding_does_not_count() {
    for (generation, expected) in [(0, 1), (1, 3)] {
        run(async {
            let mark = crate::wire::Mark { seq: 2, check: Check::START };
            let last = HandedMark { log_id: crate::identity::LogId([1; 16]), mark, generation: 0 };
            let mut handing = Handing::start(Script { last: Some(last), ..Script::default() }, false);
            handing.generation = generation;
            assert!(matches!(handing.input().await, Input::Door(DoorInput::ConsumerOpened { .. })));
            handing.hand_off(vec![entry(1), entry(2), entry(3)]);
            while handing.acked().await < 3 {}
            let handed = handing.script.lock().unwrap().handed.clone();
            assert_eq!(handed.len(), expected, "generation {generation}: {handed:?}");
            handing.stopping.cancel();
        });
    }
}

/// A connection alone shows nothing: a port that a supervisor holds open for a bot that dies at once is such a receiver.
#[test]
fn receiver_that_only_accepts_stays_down() {
    run(async {
        let mut handing = Handing::start(Script { closes: true, ..Script::default() }, false);
        assert!(matches!(handing.input().await, Input::Door(DoorInput::ConsumerOpened { .. })));
        let connections = |count| {
            let script = handing.script.clone();
            let (counters, aside) = (handing.counters.clone(), handing.aside.clone());
            async move {
                while script.lock().unwrap().connected < count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                counters.status(&aside).down
            }
        };
        let in_time = |count| tokio::time::timeout(PATIENCE, connections(count));
        let first = in_time(2).await.expect("it connects").expect("the first connection ended").since;
        let later = in_time(4).await.expect("it connects again").expect("it is down still").since;
        assert_eq!(first, later);
        handing.script.lock().unwrap().closes = false;
        let (counters, aside) = (handing.counters.clone(), handing.aside.clone());
        let stands = async {
            while counters.status(&aside).down.is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, stands).await.expect("it is well once it stands");
        handing.stopping.cancel();
    });
}
