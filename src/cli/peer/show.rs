//! `peer show`: all that is known of one peer.

use super::{PeerFacts, find};
use crate::cli::answer::{CommandAnswer, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::key::{stated_json, stated_line};
use crate::cli::place::{NodeDirectory, statement_of};
use crate::config::{PeerFile, PeerPairing};
use crate::control::{ControlReply, ControlRequest};
use crate::envelope::{SignedStatement, Statement};
use crate::identity::PublisherName;
use crate::invitation;
use crate::status;

/// Shows the peer's file, the applied part of its own key statement, and the state of its feeds.
pub fn show(place: &NodeDirectory, name: &PublisherName, json: bool) -> Result<(), CommandFailure> {
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
    let mut answer = CommandAnswer::new();
    if json {
        let mut shown = serde_json::json!({"peer": facts, "status": live});
        if let Some(stated) = statement {
            shown["statement"] = statement_json(stated);
        }
        answer.object("intelmesh.peer/1", &shown)?;
        return answer.flush();
    }
    answer.line(name)?;
    let compared = if facts.verified { "(verified)" } else { "(not verified)" };
    let [first, second] = invitation::words(&held.peer.key).behind("  words      ");
    answer.line(format!("  key        {}", facts.key))?;
    answer.line(first)?;
    answer.line(format!("{second} {compared}"))?;
    for (what, value) in [
        ("state", facts.state.to_owned()),
        ("paired", story(&held.pairing)),
        ("addresses", addresses(held)),
        ("to them", format!("tlp_max {}{}", facts.tlp_max, facts.filter("share"))),
        ("from them", terms_of_receiving(&facts)),
        ("file", facts.file.clone()),
    ] {
        answer.line(format!("  {what:<10} {value}"))?;
    }
    statement_lines(statement, &mut answer)?;
    match live {
        Some(live) => live_lines(&live, &mut answer)?,
        None => talk("no node runs here, so nothing is known of its feeds"),
    }
    answer.flush()
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

fn live_lines(live: &status::PeerStatus, answer: &mut CommandAnswer) -> Result<(), CommandFailure> {
    let (sent, received) = (&live.sent, &live.received);
    let since = live.since.map(|at| format!(" since {at}")).unwrap_or_default();
    let at = live.address.as_ref().map(|at| format!(", {at}")).unwrap_or_default();
    let software = live.software.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
    let up = if live.connected { "up" } else { "down" };
    answer.line(format!("  {:<10} {up}{since}{at}{software}", "connection"))?;
    answer.line(format!(
        "  {:<10} offered {}, accepted {}, refused {}, deferred {}, rejected {}, withheld {}",
        "sent", sent.offered, sent.accepted, sent.refused, sent.deferred, sent.rejected, sent.withheld
    ))?;
    if !sent.withheld_why.is_empty() {
        let why: Vec<String> =
            sent.withheld_why.iter().map(|(why, count)| format!("{why} {count}")).collect();
        answer.line(format!("  {:<10} {}", "withheld", why.join(", ")))?;
    }
    answer.line(format!(
        "  {:<10} offered {}, accepted {}, refused {}, deferred {}, rejected {}, missing {}, owed {}",
        "received",
        received.offered,
        received.accepted,
        received.refused,
        received.deferred,
        received.rejected,
        received.missing,
        received.owed
    ))?;
    match &live.last_error {
        Some(error) => answer.line(format!("  {:<10} {error}", "last error")),
        None => Ok(()),
    }
}

fn statement_json(stated: &Statement) -> serde_json::Value {
    let keys: Vec<_> = stated.keys.iter().map(stated_json).collect();
    serde_json::json!({"serial": stated.serial, "revoked": stated.revoked, "keys": keys})
}

/// Shows the peer's own statement of its keys, as this node applies it.
fn statement_lines(statement: Option<&Statement>, answer: &mut CommandAnswer) -> Result<(), CommandFailure> {
    let Some(stated) = statement else {
        return answer.line(format!("  {:<10} none: its identity key serves all uses", "statement"));
    };
    let revoked = if stated.revoked { ": the identity key is REVOKED" } else { "" };
    answer.line(format!("  {:<10} {}{revoked}", "statement", stated.serial))?;
    stated.keys.iter().try_for_each(|key| answer.line(stated_line(key)))
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
