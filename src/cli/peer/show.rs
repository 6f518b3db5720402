//! `peer show`: all that is known of one peer.

use super::{PeerFacts, find};
use crate::cli::answer::{print_object, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::key::{stated_json, statement_lines};
use crate::cli::place::{NodeDirectory, statement_of};
use crate::config::{PeerFile, PeerPairing};
use crate::control::{ControlReply, ControlRequest};
use crate::envelope::{SignedStatement, Statement};
use crate::identity::PublisherName;
use crate::invitation;
use crate::status;
use crate::terminal::Lines;

/// Shows the peer's file, the applied part of its own key statement, and the state of its feeds.
pub(crate) fn show(place: &NodeDirectory, name: &PublisherName, json: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let held = find(&known, name)?;
    let statement = statement_of(&config, &held.peer.key);
    let statement = statement.as_ref().map(SignedStatement::statement);
    let mut facts = PeerFacts::from(held);
    if statement.is_some_and(|stated| stated.revoked) {
        facts.state = "revoked";
    }
    let live = match place.ask_if_running(&ControlRequest::Status) {
        Ok(Some(ControlReply::Status(snapshot))) => {
            snapshot.peers.into_iter().find(|peer| peer.name == *name)
        }
        _ => None,
    };
    let mut shown = serde_json::json!({"peer": facts, "status": live});
    if let Some(stated) = statement {
        shown["statement"] = statement_json(stated);
    }
    print_object(json, "intelmesh.peer/1", &shown, || {
        let mut lines = file_lines(held, &facts);
        match statement {
            Some(stated) => lines.append(&statement_lines(stated, ": the identity key is REVOKED")),
            None => lines.fact("statement", "none: its identity key serves all uses"),
        }
        live.iter().for_each(|live| live_lines(live, &mut lines));
        lines
    })?;
    if live.is_none() && !json {
        talk("no node runs here, so nothing is known of its feeds");
    }
    Ok(())
}

fn file_lines(held: &PeerFile, facts: &PeerFacts<'_>) -> Lines {
    let compared = if facts.verified { "(verified)" } else { "(not verified)" };
    let [first, second] = invitation::words(&held.peer.key).behind("  words      ");
    let mut lines = Lines::default();
    lines.push(facts.name);
    lines.fact("key", &facts.key);
    lines.push(first);
    lines.push(format!("{second} {compared}"));
    lines.fact("state", facts.state);
    lines.fact("paired", story(&held.pairing));
    lines.fact("addresses", addresses(held));
    lines.fact("to them", format!("tlp_max {}{}", facts.tlp_max, facts.filter("share")));
    lines.fact("from them", terms_of_receiving(facts));
    lines.fact("file", &facts.file);
    lines
}

fn addresses(held: &PeerFile) -> String {
    match (held.addresses.as_slice(), held.peer.publisher_only) {
        (_, true) => "publisher only: never dialled".to_owned(),
        ([], false) => "none: it dials us".to_owned(),
        (addresses, false) => addresses.join(" "),
    }
}

fn terms_of_receiving(facts: &PeerFacts<'_>) -> String {
    let mut terms = vec![if facts.relay { "relays others" } else { "its own only" }.to_owned()];
    terms.extend(facts.rate.map(|rate| format!("at most {rate}/s")));
    terms.extend(facts.rate_per_publisher.map(|rate| format!("at most {rate}/s of each publisher")));
    terms.join(", ") + &facts.filter("receive")
}

fn live_lines(live: &status::PeerStatus, lines: &mut Lines) {
    let (sent, received) = (&live.sent, &live.received);
    let since = live.since.map(|at| format!(" since {at}")).unwrap_or_default();
    let at = live.address.as_ref().map(|at| format!(", {at}")).unwrap_or_default();
    let software = live.software.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
    let up = if live.connected { "up" } else { "down" };
    lines.fact("connection", format!("{up}{since}{at}{software}"));
    lines.fact(
        "sent",
        format!(
            "offered {}, accepted {}, refused {}, deferred {}, rejected {}, withheld {}",
            sent.offered, sent.accepted, sent.refused, sent.deferred, sent.rejected, sent.withheld
        ),
    );
    if !sent.withheld_why.is_empty() {
        let why: Vec<String> =
            sent.withheld_why.iter().map(|(why, count)| format!("{why} {count}")).collect();
        lines.fact("withheld", why.join(", "));
    }
    let status::ReceivedStatus { offered, accepted, refused, deferred, rejected, missing, owed, .. } =
        received;
    lines.fact(
        "received",
        format!(
            "offered {offered}, accepted {accepted}, refused {refused}, deferred {deferred}, \
             rejected {rejected}, missing {missing}, owed {owed}"
        ),
    );
    live.last_error.iter().for_each(|error| lines.fact("last error", error));
}

fn statement_json(stated: &Statement) -> serde_json::Value {
    let keys: Vec<_> = stated.keys.iter().map(stated_json).collect();
    serde_json::json!({"serial": stated.serial, "revoked": stated.revoked, "keys": keys})
}

/// Says when, how and by which person the peer came to be trusted.
fn story(pairing: &PeerPairing) -> String {
    let part = |what: &str, at: &Option<String>, by: &Option<String>| {
        let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        at.as_ref().map(|at| format!("{what} {at}{by}"))
    };
    let added = part("added", &pairing.added, &pairing.added_by);
    let verified = part("words compared", &pairing.verified_at, &pairing.verified_by);
    let parts: Vec<String> = added.into_iter().chain(verified).collect();
    if parts.is_empty() { "written by hand".to_owned() } else { parts.join(", ") }
}
