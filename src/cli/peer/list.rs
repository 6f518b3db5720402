//! `peer list`: the peers that this node trusts, their agreements, and whether they are connected.

use super::{PeerFacts, warn};
use crate::cli::answer::{CommandAnswer, talk};
use crate::cli::failure::CommandFailure;
use crate::cli::place::NodeDirectory;
use crate::cli::table::{add_row, lines_of, table, yes_no};
use crate::config::{PeerFile, PeerFiles};
use crate::control::{ControlReply, ControlRequest};
use crate::status::Snapshot;
use crate::terminal::Lines;

pub(crate) fn list(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let mut answer = CommandAnswer::new();
    if json {
        let peers: Vec<PeerFacts<'_>> = known.peers.iter().map(PeerFacts::from).collect();
        let problems: Vec<String> = known.problems.iter().map(ToString::to_string).collect();
        let facts = serde_json::json!({"peers": peers, "problems": problems});
        answer.object("intelmesh.peers/1", &facts)?;
    } else if known.peers.is_empty() {
        // A file that cannot be used does not mean that there are no peers.
        if known.problems.is_empty() {
            talk("no peers yet: intelmesh peer add INVITATION");
        }
    } else {
        let live = match place.ask_if_running(&ControlRequest::Status) {
            Ok(Some(ControlReply::Status(snapshot))) => Some(*snapshot),
            _ => None,
        };
        answer.lines(&rows(&known, live.as_ref()))?;
    }
    answer.flush()?;
    warn(&known);
    Ok(())
}

fn rows(known: &PeerFiles, live: Option<&Snapshot>) -> Lines {
    let mut table = table(&["PEER", "state", "connected", "words", "tlp_max", "relay", "addresses"]);
    for held in &known.peers {
        let facts = PeerFacts::from(held);
        let cells = [
            held.peer.name.to_string(),
            facts.state.to_owned(),
            connected(held, live).to_owned(),
            if facts.verified { "verified" } else { "NOT VERIFIED" }.to_owned(),
            facts.tlp_max.to_owned(),
            yes_no(facts.relay).to_owned(),
            addresses(held),
        ];
        add_row(&mut table, cells);
    }
    lines_of(&table)
}

fn connected(held: &PeerFile, live: Option<&Snapshot>) -> &'static str {
    match live.and_then(|live| live.peers.iter().find(|peer| peer.name == held.peer.name)) {
        Some(peer) => yes_no(peer.connected),
        None => "-",
    }
}

fn addresses(held: &PeerFile) -> String {
    match (held.addresses.as_slice(), held.peer.publisher_only) {
        (_, true) => "publisher only".to_owned(),
        ([], false) => "it dials us".to_owned(),
        (addresses, false) => addresses.join(" "),
    }
}
