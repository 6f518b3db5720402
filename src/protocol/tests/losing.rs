//! What this node stored and can no longer read: each consumer that had not acknowledged it is told how many, once.

use super::bench::*;
use crate::protocol::Input;
use crate::protocol::io::{ConsumerId, ConsumerRequest, Event, LossCause};
use crate::record::{ConsumerName, JournalEnds, Note};
use crate::wire::Mark;

const SOC: ConsumerId = ConsumerId(1);

fn soc() -> ConsumerName {
    ConsumerName::parse("soc").unwrap()
}

/// Three events, of which the second can no longer be read; the consumer was handed the other two.
fn with_a_hole() -> Bench {
    let mut bench = Bench::new();
    (1..=3).for_each(|nth| bench.submit(nth.into(), core("cert-at", nth)));
    bench.journal.remove(1);
    opened(&mut bench, SOC);
    assert_eq!(bench.handed.len(), 2);
    bench
}

fn opened(bench: &mut Bench, consumer: ConsumerId) {
    let request = ConsumerRequest { name: Some(soc()), from: None, own: true, acks: true, filter: None };
    bench.input(Input::ConsumerOpened { consumer, request });
}

/// Position and missing as the node shows them, and as they are on disk.
fn position(bench: &mut Bench) -> [(u64, u64); 2] {
    bench.pass(2_000);
    let shown = &bench.node.view().consumers[0].position;
    let written = &bench.ledger.consumers[&soc()];
    [(shown.seq, shown.missing), (written.seq, written.missing)]
}

#[test]
fn what_cannot_be_read_is_missing_once_passed() {
    let mut bench = with_a_hole();
    assert_eq!(position(&mut bench), [(0, 0); 2], "it is still to be acknowledged what lies before");
    bench.input(Input::ConsumerGone { consumer: SOC });
    opened(&mut bench, ConsumerId(2));
    bench.input(Input::ConsumerAcked { consumer: ConsumerId(2), seq: 1 });
    assert_eq!(position(&mut bench), [(1, 0); 2]);
    bench.input(Input::ConsumerAcked { consumer: ConsumerId(2), seq: 3 });
    assert_eq!(position(&mut bench), [(3, 1); 2], "met by both connections, counted once");
    let told =
        |event: &Event| matches!(event, Event::ConsumerMissing { count: 1, cause: LossCause::Damage, .. });
    assert_eq!(bench.events.iter().filter(|event| told(event)).count(), 1);
}

/// Retention counts all that was not acknowledged, what could not be read with it.
#[test]
fn what_retention_took_is_not_counted_again() {
    let mut bench = with_a_hole();
    let ends = JournalEnds { floor: bench.journal[1].mark(), ..ends(&bench.journal) };
    bench.ledger.apply(&Note::Missing { consumer: soc(), to: 3, count: 3 });
    bench.input(Input::Retired { ends, missing: vec![(soc(), 3)] });
    bench.input(Input::ConsumerAcked { consumer: SOC, seq: 3 });
    assert_eq!(position(&mut bench), [(3, 3); 2]);
}

/// The acknowledgement was on its way to the disk when retention counted what lies behind the one before.
#[test]
fn what_is_shown_is_what_a_restart_finds() {
    let mut bench = with_a_hole();
    bench.held = Some(Vec::new());
    bench.input(Input::ConsumerAcked { consumer: SOC, seq: 3 });
    bench.pass(2_000);
    let before = bench.journal[0].mark();
    let ends = JournalEnds { floor: Mark { seq: 2, ..before }, ..ends(&bench.journal) };
    bench.ledger.apply(&Note::Missing { consumer: soc(), to: 2, count: 2 });
    bench.input(Input::Retired { ends, missing: vec![(soc(), 2)] });
    bench.release();
    assert_eq!(position(&mut bench), [(3, 2); 2]);
}
