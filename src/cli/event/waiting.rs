//! `event waiting`: events that a revoked key signed and that wait for a decision.

use std::collections::BTreeMap;

use crate::cli::answer::{CommandAnswer, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::place::{NodeDirectory, unexpected};
use crate::control::{ControlReply, ControlRequest, WaitingEvent};
use crate::identity::PublisherName;

/// Places that are named for each peer.
const PLACES_SHOWN: usize = 10;

pub fn waiting(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let facts = match place.ask(&ControlRequest::EventWaiting)? {
        ControlReply::Waiting(facts) => facts,
        other => return Err(unexpected(&other)),
    };
    let mut answer = CommandAnswer::new();
    if json {
        answer.json(&facts)?;
        return answer.flush();
    }
    if facts.waiting.is_empty() {
        talk("nothing waits for a decision");
        return answer.flush();
    }
    let mut by_publisher: BTreeMap<&PublisherName, Vec<&WaitingEvent>> = BTreeMap::new();
    for event in &facts.waiting {
        by_publisher.entry(&event.publisher).or_default().push(event);
    }
    for (publisher, events) in by_publisher {
        answer.line(format!(
            "{publisher}: {} that its revoked key signed; take them: intelmesh event release {publisher}; \
             or not: intelmesh event drop {publisher}",
            if events.len() == 1 { "1 event".to_owned() } else { format!("{} events", events.len()) }
        ))?;
        let mut by_peer: BTreeMap<&PublisherName, Vec<u64>> = BTreeMap::new();
        events.iter().for_each(|event| by_peer.entry(&event.peer).or_default().push(event.seq));
        for (peer, seqs) in by_peer {
            let shown: Vec<String> = seqs.iter().take(PLACES_SHOWN).map(u64::to_string).collect();
            let more = seqs.len().saturating_sub(PLACES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            answer.line(format!("  through {peer}: seq {}{more}", shown.join(", ")))?;
        }
    }
    answer.flush()
}
