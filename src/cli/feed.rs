//! `feed`: how far each peer's feed has got, and reading one again. The node does it; this asks and shows.

use super::answer::{print, talk};
use super::args::FeedVerb;
use super::failure::CommandFailure;
use super::place::{NodeDirectory, ask_for};
use super::table::{add_row, lines_of, table, yes_no};
use crate::audit::AuditedAction;
use crate::control::{ControlRefusal, ControlRequest, FeedFacts, FeedInfo, RewindPlace};
use crate::identity::PublisherName;
use crate::terminal::Lines;

pub(crate) fn feed(place: &NodeDirectory, verb: FeedVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        FeedVerb::Show { peer } => show(place, peer.as_ref(), json),
        FeedVerb::Rewind { peer, to } => rewind(place, peer, to),
        FeedVerb::Repair { peer } => {
            place.order(&ControlRequest::FeedRepair { peer: peer.clone() })?;
            place.audit_here(AuditedAction::FeedRepaired, Some(&peer), "");
            talk(format!(
                "{peer}: the whole journal is compared; intelmesh feed show {peer} shows how far it is"
            ));
            Ok(())
        }
    }
}

fn rewind(place: &NodeDirectory, peer: PublisherName, to: RewindPlace) -> Result<(), CommandFailure> {
    place.order(&ControlRequest::FeedRewind { peer: peer.clone(), to })?;
    let from = match to {
        RewindPlace::Earliest => "its journal's start".to_owned(),
        RewindPlace::Seq(seq) => format!("seq {seq}"),
        RewindPlace::Time(time) => time.to_string(),
    };
    place.audit_here(AuditedAction::FeedRewound, Some(&peer), &format!("to {from}"));
    talk(format!("{peer}: asked again for everything from {from}; what is here already is refused as usual"));
    Ok(())
}

fn show(place: &NodeDirectory, peer: Option<&PublisherName>, json: bool) -> Result<(), CommandFailure> {
    let mut facts = ask_for!(place, ControlRequest::FeedShow, Feeds);
    if let Some(peer) = peer {
        facts.feeds.retain(|feed| feed.peer == *peer);
        if facts.feeds.is_empty() {
            return Err(ControlRefusal::unknown_peer(peer).into());
        }
    }
    print(json, &facts, || render(&facts))
}

fn render(facts: &FeedFacts) -> Lines {
    if facts.feeds.is_empty() {
        return Lines::of_text("no feeds: no peer has answered yet");
    }
    let mut table = table(&["FEED", "connected", "position", "of", "owed", "log"]);
    for feed in &facts.feeds {
        let cells = [
            feed.peer.to_string(),
            yes_no(feed.connected).to_owned(),
            feed.position.to_string(),
            feed.head.map_or_else(|| "-".to_owned(), |head| head.to_string()),
            feed.owed_count.to_string(),
            feed.log_id.as_deref().map_or("-", |id| &id[..id.len().min(12)]).to_owned(),
        ];
        add_row(&mut table, cells);
    }
    let mut lines = lines_of(&table);
    facts.feeds.iter().for_each(|feed| details(feed, &mut lines));
    lines
}

fn details(feed: &FeedInfo, lines: &mut Lines) {
    for owed in &feed.owed {
        lines.push(format!(
            "  {} owes seq {} of {}: {}, asked again {}",
            feed.peer, owed.seq, owed.publisher, owed.reason, owed.retry_at
        ));
    }
    if feed.owed_count > feed.owed.len() as u64 {
        lines.push(format!("  and {} more", feed.owed_count - feed.owed.len() as u64));
    }
    for place in &feed.rejected {
        let (peer, first_seq, reason) = (&feed.peer, place.first_seq, &place.reason);
        let of = place.publisher.as_ref().map(|publisher| format!(" of {publisher}")).unwrap_or_default();
        lines.push(match place.again_at {
            Some(at) => format!("  {peer} is read again from seq {first_seq} at {at}: {reason}{of}"),
            None => format!("  {peer} is read again from seq {first_seq} once {reason}{of} is cured"),
        });
    }
}
