//! `event waiting`: events that a revoked key signed and that wait for a decision.

use std::collections::BTreeMap;

use crate::cli::answer::{print, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::place::{NodeDirectory, ask_for};
use crate::control::{ControlRequest, WaitingEvent};
use crate::identity::PublisherName;
use crate::terminal::Lines;

/// Places that are named for each peer.
const PLACES_SHOWN: usize = 10;

pub(crate) fn waiting(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let facts = ask_for!(place, ControlRequest::EventWaiting, Waiting);
    if facts.waiting.is_empty() && !json {
        talk("nothing waits for a decision");
    }
    print(json, &facts, || render(&facts.waiting))
}

fn render(waiting: &[WaitingEvent]) -> Lines {
    let mut lines = Lines::default();
    let mut by_publisher: BTreeMap<&PublisherName, Vec<&WaitingEvent>> = BTreeMap::new();
    for event in waiting {
        by_publisher.entry(&event.publisher).or_default().push(event);
    }
    for (publisher, events) in by_publisher {
        lines.push(format!(
            "{publisher}: {} that its revoked key signed; take them: intelmesh event release {publisher}; \
             or not: intelmesh event drop {publisher}",
            if events.len() == 1 { "1 event".to_owned() } else { format!("{} events", events.len()) }
        ));
        let mut by_peer: BTreeMap<&PublisherName, Vec<u64>> = BTreeMap::new();
        events.iter().for_each(|event| by_peer.entry(&event.peer).or_default().push(event.seq));
        for (peer, seqs) in by_peer {
            let shown: Vec<String> = seqs.iter().take(PLACES_SHOWN).map(u64::to_string).collect();
            let more = seqs.len().saturating_sub(PLACES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!("  through {peer}: seq {}{more}", shown.join(", ")));
        }
    }
    lines
}
