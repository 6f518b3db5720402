//! Two events under one id with digests that agree in their first eight bytes. A publisher finds such a pair in two
//! minutes (van Oorschot and Wiener, 2^32 steps), and may not use it to show different peers different events.

use bytes::Bytes;

use super::bench::{Bench, answer, carrier, core, have, name, signed, signer};
use crate::envelope::{Body, Core};
use crate::protocol::Input;
use crate::protocol::io::{DoorInput, Event, Submitted, Ticket};
use crate::record::Note;
use crate::wire::VerdictCode;

fn collided(state: &str, ip: &str) -> Core {
    let body = format!("{{\"source.ip\":\"{ip}\",\"extra.pad\":\"xxxxxx\",\"extra.n\":\"{state}\"}}");
    Core { body: Body::Plain(Bytes::from(body)), ..core("cert-ee", 1) }
}

/// The pair. The cores differ, and begin their digests with the same eight bytes.
fn pair() -> (Core, Core) {
    let (one, two) =
        (collided("3f516c605de03ad6", "192.0.2.111"), collided("b328931db3e09300", "203.0.113.7"));
    let digest = |core: &Core| signer("cert-ee").sign(core.clone()).unwrap().envelope().digest();
    assert_ne!(digest(&one), digest(&two));
    assert_eq!(digest(&one).0[..8], digest(&two).0[..8], "the pair has to be searched again");
    (one, two)
}

/// A bench that holds the first of the pair, from its publisher.
fn holding(one: Core) -> Bench {
    let mut bench = Bench::new();
    let stream = bench.receiving("cert-ee");
    bench.frames(stream, vec![carrier(1, &["cert-ee"], signed(one))]);
    bench.pass(200);
    assert_eq!(bench.journal.len(), 1);
    bench
}

fn is_shown(bench: &Bench) -> bool {
    bench.events.iter().any(|event| matches!(event, Event::Equivocation { .. }))
}

#[test]
fn pushed_twin_with_equal_digest_prefix_is_equivocation() {
    let (one, two) = pair();
    let mut bench = holding(one);
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![carrier(1, &["cert-ee", "cert-pl"], signed(two.clone()))]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::Equivocation)]);
    assert!(is_shown(&bench));
    let digest = signer("cert-ee").sign(two.clone()).unwrap().envelope().digest();
    let noted = bench.ledger.equivocations.get(&name("cert-ee")).unwrap();
    assert!(noted.contains(&(two.id.key(), digest)), "the note has the whole digest");
}

/// In order, or in a repair: an offer is compared by its digest.
#[test]
fn offered_twin_with_equal_digest_prefix_is_asked_for() {
    let (one, two) = pair();
    let mut bench = holding(one);
    let stream = bench.receiving("cert-pl");
    bench.frames(stream, vec![have(1, &two)]);
    bench.pass(200);
    assert_eq!(bench.wants(), [1], "it is not refused as held");
    bench.frames(stream, vec![answer(1, &["cert-ee", "cert-pl"], signed(two.clone()))]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::Equivocation)]);
    assert!(is_shown(&bench));
    // The loser is known by its whole digest, too.
    let mut bytes = Vec::new();
    let digest = signer("cert-ee").sign(two.clone()).unwrap().envelope().digest();
    let note = Note::Equivocation { publisher: name("cert-ee"), key: two.id.key(), digest };
    crate::record::bytes::encode_note(&note, &mut bytes);
    assert!(bytes.ends_with(&digest.0));
}

/// It was offered before anything was held under its id, and came late.
#[test]
fn owed_twin_is_asked_for_after_the_other_came() {
    let (one, two) = pair();
    let mut bench = Bench::new();
    let slow = bench.receiving("cert-pl");
    bench.frames(slow, vec![have(1, &two)]);
    bench.pass(1_500);
    assert_eq!(bench.owed("cert-pl"), [(1, VerdictCode::InFlight)]);
    let quick = bench.receiving("cert-ee");
    bench.frames(quick, vec![carrier(1, &["cert-ee"], signed(one))]);
    bench.pass(200);
    assert_eq!(bench.journal.len(), 1);
    assert_eq!(bench.owed("cert-pl"), [(1, VerdictCode::InFlight)], "what came is not what was offered");
    bench.frames(slow, vec![answer(1, &["cert-ee", "cert-pl"], signed(two))]);
    assert_eq!(bench.verdicts(), [(1, VerdictCode::Equivocation)]);
    assert!(is_shown(&bench) && bench.owed("cert-pl").is_empty());
}

#[test]
fn submitted_twin_with_equal_digest_prefix_is_conflict() {
    let (one, two) = pair();
    let mut bench = Bench::new();
    for (ticket, core) in [(1, one), (2, two)] {
        // Only a key that counts for its publisher is taken from a door.
        let envelope = signer("cert-ee").sign(core).unwrap();
        bench.input(Input::Door(DoorInput::Submit { ticket: Ticket(ticket), envelope }));
    }
    assert_eq!(bench.told.submitted, [(Ticket(1), Submitted::Accepted), (Ticket(2), Submitted::Conflict)]);
}
