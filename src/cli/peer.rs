//! `peer`: the peers that this node trusts, and the events that they may have. The files in `peers/` are the truth; the
//! running node is notified when they change.

mod add;
mod diff;
mod list;
mod rename;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::answer::{CommandAnswer, print_object, talk};
use super::args::{PeerCheckArgs, PeerVerb};
use super::asking::{AskSource, agreed};
use super::failure::{CommandFailure, NO};
use super::place::{NodeDirectory, ask_for};
use super::reach;
use super::trial::trial;
use crate::audit::{self, AuditedAction};
use crate::clock;
use crate::config::{NodeConfig, PeerFile, PeerFiles, write};
use crate::control::{ControlRefusal, ControlRequest, EventRef, PeerCheck};
use crate::identity::{PublisherName, public_key_text};
use crate::invitation;
use crate::terminal::Lines;

pub(crate) fn peer(place: &NodeDirectory, verb: PeerVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        PeerVerb::Add(args) => add::add(place, &args),
        PeerVerb::List => list::list(place, json),
        PeerVerb::Show { name } => show::show(place, &name, json),
        PeerVerb::Rename { old, new } => rename::rename(place, &old, &new),
        PeerVerb::Diff { left, right } => diff::diff(place, &left, right.as_deref(), json),
        PeerVerb::Remove { name } => remove(place, &name),
        PeerVerb::Pause { name } => pause(place, &name, true),
        PeerVerb::Resume { name } => pause(place, &name, false),
        PeerVerb::Check(PeerCheckArgs { dry_run: Some(file), last, .. }) => trial(place, &file, last, json),
        PeerVerb::Check(args) => check(place, args.name.as_ref(), json),
        PeerVerb::Explain { name, id } => explain(place, name, id, json),
        PeerVerb::Verify { name, yes } => verify(place, &name, yes),
    }
}

/// The running node reads `peers/` again now. Without one nothing is lost: it reads them when it starts.
pub(crate) fn told(place: &NodeDirectory) {
    if let Err(failure) = place.ask_if_running(&ControlRequest::PeersChanged) {
        talk(format!(
            "warning: the running node was not told, and will see it within 1 s: {}",
            failure.first()
        ));
    }
}

fn say_reached(check: &PeerCheck) {
    for address in &check.addresses {
        talk(format!("{}: {}", address.address, address.what));
    }
}

/// One peer in JSON (`intelmesh.peers/1`; mirrors `peers/NAME.toml`).
#[derive(Serialize)]
struct PeerFacts<'a> {
    name: &'a PublisherName,
    key: String,
    words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seal: Option<String>,
    state: &'static str,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_by: Option<&'a str>,
    addresses: &'a [String],
    aliases: &'a [PublisherName],
    tlp_max: &'static str,
    relay: bool,
    #[serde(rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    filters: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_per_publisher: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_by: Option<&'a str>,
    file: String,
}

impl<'a> std::convert::From<&'a PeerFile> for PeerFacts<'a> {
    fn from(held: &'a PeerFile) -> Self {
        let peer = &held.peer;
        Self {
            name: &peer.name,
            key: public_key_text(&peer.key),
            words: invitation::words(&peer.key).to_string(),
            seal: held.peer.seal.map(|key| key.to_string()),
            state: state(held),
            verified: held.pairing.verified,
            verified_at: held.pairing.verified_at.as_deref(),
            verified_by: held.pairing.verified_by.as_deref(),
            addresses: &held.addresses,
            aliases: &peer.aliases,
            tlp_max: peer.share.tlp_max.as_str(),
            relay: peer.receive.relay,
            filters: held.filters().collect(),
            rate: peer.receive.rate.map(|rate| rate.per_second),
            rate_per_publisher: peer.receive.rate_per_publisher.map(|rate| rate.per_second),
            added: held.pairing.added.as_deref(),
            added_by: held.pairing.added_by.as_deref(),
            file: held.file.display().to_string(),
        }
    }
}

impl PeerFacts<'_> {
    fn filter(&self, section: &str) -> String {
        self.filters.get(section).map_or(String::new(), |filter| format!(", where {filter}"))
    }
}

fn state(held: &PeerFile) -> &'static str {
    match (held.pairing.pending, held.peer.paused) {
        _ if held.peer.revoked => "revoked",
        (true, _) => "pending",
        (false, true) => "paused",
        (false, false) => "trusted",
    }
}

/// Files that are left out; `check` is the verb that fails for them.
fn warn(known: &PeerFiles) {
    for problem in &known.problems {
        talk(format!("warning: {problem}"));
        if let Some(hint) = problem.hint() {
            talk(format!("hint: {hint}"));
        }
    }
}

fn find<'a>(known: &'a PeerFiles, name: &PublisherName) -> Result<&'a PeerFile, CommandFailure> {
    if let Some(held) = known.peer(name) {
        return Ok(held);
    }
    warn(known);
    Err(ControlRefusal::unknown_peer(name).into())
}

/// Returns a peer's file, whether or not its content is good.
pub(crate) fn file_of(config: &NodeConfig, name: &PublisherName) -> Result<PathBuf, CommandFailure> {
    let file = config.paths.peers.join(format!("{name}.toml"));
    if file.exists() { Ok(file) } else { Err(ControlRefusal::unknown_peer(name).into()) }
}

fn remove(place: &NodeDirectory, name: &PublisherName) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let removed = write::remove_peer(&file_of(&config, name)?, clock::now().wall)?;
    let how = if removed.revoked_in.is_some() { "its key stays revoked" } else { "" };
    place.audit(&config, AuditedAction::PeerRemoved, Some(name), how);
    told(place);
    talk(format!(
        "Removed peer {name}. Events already accepted from it are kept, and so is its feed position."
    ));
    talk(format!("Its file is kept: {}", removed.copy.display()));
    if let Some(file) = removed.revoked_in {
        talk(format!("Its key was revoked, and stays so: {}", file.display()));
    }
    Ok(())
}

fn explain(
    place: &NodeDirectory,
    peer: PublisherName,
    id: EventRef,
    json: bool,
) -> Result<(), CommandFailure> {
    let went = ask_for!(place, ControlRequest::PeerExplain { peer, id }, Explained);
    print_object(json, "intelmesh.explain/1", &went, || {
        let mut lines = Lines::default();
        lines.push(went.line());
        went.remedy.iter().for_each(|remedy| lines.push(format!("to change that: {remedy}")));
        lines
    })
}

/// Shows both fingerprints, and writes down that they were compared.
fn verify(place: &NodeDirectory, name: &PublisherName, yes: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let held = find(&known, name)?;
    let (ours, theirs) =
        (invitation::words(&place.keyring(&config)?.public_key()), invitation::words(&held.peer.key));
    talk("Call them at a number that you know from elsewhere, and read all ten words to each other:");
    theirs.behind(&format!("{:<16} ", name.as_str())).into_iter().for_each(talk);
    ours.behind(&format!("{:<16} ", format!("{} (ours)", config.name))).into_iter().for_each(talk);
    if !yes
        && !agreed(
            "Are both the same at their side? [y/N]:",
            AskSource::Stdin,
            &format!("{name} was not verified"),
            "peer verify",
        )?
    {
        return Err(CommandFailure::no(format!("{name} was not verified"))
            .hint(format!(
                "if the words differ, somebody else made that key: intelmesh peer remove {name}, and ask for a new invitation"
            )));
    }
    let (now, who) = (clock::now().wall, audit::who());
    write::set_verified(&file_of(&config, name)?, now, &who)?;
    let how = format!("words compared: {theirs}; ours: {ours}");
    place.audit(&config, AuditedAction::PeerVerified, Some(name), &how);
    told(place);
    talk(format!("{name} is verified"));
    Ok(())
}

fn pause(place: &NodeDirectory, name: &PublisherName, paused: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let file = file_of(&config, name)?;
    let known = place.peers(&config)?;
    write::set_paused(&file, paused)?;
    place.audit(
        &config,
        if paused { AuditedAction::PeerPaused } else { AuditedAction::PeerResumed },
        Some(name),
        "",
    );
    told(place);
    if !paused && is_revoked(&config, &known, name) {
        return Err(CommandFailure::no(format!(
            "{name} is not paused any more, but its key is revoked: nothing is exchanged"
        ))
        .hint(format!("a revoked key stays so: ask {name} for an invitation with a new one")));
    }
    talk(format!("{name} is {}", if paused { "paused; its feed position is kept" } else { "resumed" }));
    Ok(())
}

/// Returns whether its file, or the peer's own statement, revokes its key.
fn is_revoked(config: &NodeConfig, known: &PeerFiles, name: &PublisherName) -> bool {
    let Some(held) = known.peer(name) else { return false };
    let stated = super::place::statement_of(config, &held.peer.key);
    held.peer.revoked || stated.is_some_and(|stated| stated.statement().revoked)
}

fn check(place: &NodeDirectory, name: Option<&PublisherName>, json: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let asked: Vec<&PeerFile> = match name {
        Some(name) => vec![find(&known, name)?],
        None => known.peers.iter().collect(),
    };
    let mut answer = CommandAnswer::new();
    let mut reached_all = true;
    for held in asked {
        let check = reach::check(place, &held.peer.name, &held.addresses);
        let reached = held.peer.publisher_only || check.connected || check.addresses.iter().any(|at| at.ok);
        reached_all &= reached;
        if json {
            answer.json(&check)?;
            continue;
        }
        if check.addresses.is_empty() {
            let how = match (held.peer.publisher_only, check.connected) {
                (true, _) => "publisher only: never dialled",
                (false, true) => "connected: it dials us",
                (false, false) => "not connected, and it cannot be dialled: its file has no addresses",
            };
            answer.line(format!("{}: {how}", check.peer))?;
        }
        for at in &check.addresses {
            answer.line(format!(
                "{} {} {}: {}",
                check.peer,
                at.address,
                if at.ok { "ok" } else { "failed" },
                at.what
            ))?;
        }
    }
    answer.flush()?;
    if reached_all { Ok(()) } else { Err(CommandFailure::silent(NO)) }
}
