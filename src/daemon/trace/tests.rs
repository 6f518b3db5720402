//! Traces of claims that no node of ours signs, over a store on a real directory. The walk itself is in `tests/node/links.rs`.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::*;
use crate::envelope::IdScheme;
use crate::protocol::io::{StoreInput, StoreOutput, Ticket};
use crate::record::NewRecord;
use crate::store::testing::{DAY_MS, START, core_with, foreign, id_of, linking, name, now, signed};
use crate::store::{EngineConfig, StoreDirs};

/// A store that holds these.
fn holding(dir: &std::path::Path, records: Vec<NewRecord>) -> Store {
    let below = |name: &str| dir.join(name);
    let dirs = StoreDirs {
        journal: below("journal"),
        seen: below("seen"),
        links: below("links"),
        aside: below("aside"),
    };
    let config = EngineConfig::new(name("cert-at"), 1 << 30, 30 * DAY_MS);
    let (send, answers) = sync_channel(1024);
    let answer = Arc::new(move |input| drop(send.send(input)));
    let fatal = Arc::new(|error| panic!("the store failed: {error}"));
    let (store, _) = Store::open(&dirs, config, now(), answer, fatal).unwrap();
    store.handle(StoreOutput::Append { ticket: Ticket(1), records });
    while !matches!(answers.recv_timeout(Duration::from_secs(20)).unwrap(), StoreInput::Stored { .. }) {}
    store
}

fn traced(store: &Store, start: &EventId) -> TraceFacts {
    trace(store, TracePlace::Event(start.clone()), 5).unwrap().unwrap()
}

#[test]
fn a_trace_says_when_more_name_an_event_than_are_looked_at() {
    let target = id_of("cert-ee", 1);
    let relations: Vec<String> = (0..TRACE_NAMING_MAX / 2).map(|nth| format!("kind-{nth}")).collect();
    let all: Vec<_> = relations.iter().map(|relation| (relation.as_str(), target.clone())).collect();
    let loud = [101, 102].map(|n| linking("cert-pl", n, &all));
    let mut records = vec![foreign(1)];
    records.extend(loud);
    let dir = tempfile::tempdir().unwrap();
    let facts = traced(&holding(dir.path(), records.clone()), &target);
    assert_eq!((facts.links.len(), facts.cut), (TRACE_NAMING_MAX, Vec::<String>::new()));
    records.push(linking("cert-at", 103, &[("related", target.clone())]));
    let dir = tempfile::tempdir().unwrap();
    let facts = traced(&holding(dir.path(), records), &target);
    assert_eq!((facts.links.len(), facts.cut), (TRACE_NAMING_MAX, vec!["links".to_owned()]));
}

#[test]
fn a_claim_that_counts_is_shown_whoever_claims_the_same_before() {
    let [target, withdrawal, other] =
        [("cert-ee", 1), ("cert-ee", 2), ("cert-pl", 3)].map(|(of, n)| id_of(of, n));
    let mut core = core_with(other.clone(), IdScheme::Random, 3, 40, START);
    core.links = vec![Link {
        left: Some(withdrawal.clone()),
        relation: Relation::parse("withdraws").unwrap(),
        right: LinkTarget::Event(target.clone()),
    }];
    let forged = NewRecord::Carrier(signed(core, START));
    let dir = tempfile::tempdir().unwrap();
    let records = vec![forged, foreign(1), linking("cert-ee", 2, &[("withdraws", target.clone())])];
    let store = holding(dir.path(), records);
    for start in [&other, &withdrawal, &target] {
        let facts = traced(&store, start);
        let shown: Vec<_> =
            facts.links.iter().map(|link| (link.left.clone(), link.void, link.by.clone())).collect();
        assert_eq!(shown, [(withdrawal.to_string(), false, None)], "from {start}");
    }
}
