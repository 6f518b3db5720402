//! `peer`: whom this node trusts, and what they may have. The files in `peers/` are the truth; the running node
//! is told when they change.

mod show;

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal as _, Read};
use std::path::PathBuf;

use serde::Serialize;

use super::answer::{Answer, talk};
use super::args::{PeerAddArgs, PeerCheckArgs, PeerVerb};
use super::failure::{Failure, NO};
use super::place::{Place, unexpected};
use super::reach;
use super::trial::trial;
use crate::audit::{self, What};
use crate::clock;
use crate::config::write::{self, NewPeer, Written};
use crate::config::{NodeConfig, PeerFile, PeerFiles};
use crate::control::{EventRef, PeerCheck, Refusal, Reply, Request};
use crate::envelope::SealKey;
use crate::identity::{PublisherName, public_key_text};
use crate::invitation::{self, Invitation};
use crate::keyring::seal_key_text;
use crate::limits::INVITATION_CHARS_MAX;

pub fn peer(place: &Place, verb: PeerVerb, json: bool) -> Result<(), Failure> {
    match verb {
        PeerVerb::Add(args) => add(place, args),
        PeerVerb::List => list(place, json),
        PeerVerb::Show { name } => show::show(place, &name, json),
        PeerVerb::Remove { name } => remove(place, &name),
        PeerVerb::Pause { name } => pause(place, &name, true),
        PeerVerb::Resume { name } => pause(place, &name, false),
        PeerVerb::Check(PeerCheckArgs { dry_run: Some(file), last, .. }) => trial(place, &file, last, json),
        PeerVerb::Check(args) => check(place, args.name.as_ref(), json),
        PeerVerb::Explain { name, id } => explain(place, name, id, json),
        PeerVerb::Verify { name, yes } => verify(place, &name, yes),
    }
}

fn add(place: &Place, args: PeerAddArgs) -> Result<(), Failure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let now = clock::now().wall;
    let text = if args.invitation == "-" { read_invitation()? } else { args.invitation };
    let invitation = Invitation::parse(&text, now).map_err(|error| Failure::no(&error).hint(error.hint()))?;
    acceptable(&invitation, &config, &known, place)?;
    introduce(&invitation, args.no_connect || args.publisher_only);
    if !args.yes
        && !args.pending
        && !agreed(
            "Does the peer read you the same ten words? Then add it [y/N]:",
            &format!("{} was not added", invitation.name),
            "peer add",
        )?
    {
        return Err(Failure::no(format!("{} was not added", invitation.name)));
    }
    let new = NewPeer {
        name: invitation.name.clone(),
        key: invitation.key,
        seal: Some(seal_key_text(&invitation.seal)),
        addresses: if args.no_connect || args.publisher_only {
            Vec::new()
        } else {
            invitation.addresses.clone()
        },
        publisher_only: args.publisher_only,
        tlp_max: args.tlp_max,
        relay: args.no_relay.then_some(false),
        added: now,
        added_by: audit::who(),
        pending: args.pending,
    };
    let (file, written) = write::add_peer(&config.paths.peers, &known.peers, &new)?;
    let (done, what) = match written {
        Written::Added => ("added", What::PeerAdded),
        Written::Merged => ("known already: merged", What::PeerMerged),
    };
    let tlp_max = args.tlp_max.map_or("AMBER", crate::policy::Tlp::as_str);
    let terms = match written {
        Written::Added => format!("; tlp_max = \"{tlp_max}\", relay = {}", !args.no_relay),
        Written::Merged => String::new(),
    };
    talk(format!("{} {done} in {}{terms}", new.name, file.display()));
    let compared = !args.yes && !args.pending;
    if compared {
        write::set_verified(&file, now, &new.added_by)?;
    }
    let words = if compared { "words compared" } else { "words not compared" };
    place.audit(&config, what, Some(&new.name), &format!("by invitation, {words}: {}", invitation.words()));
    told(place);
    if args.pending {
        let name = &new.name;
        talk(format!("{name} is pending: nothing is exchanged before intelmesh peer verify {name}"));
    } else if !args.no_connect && !args.publisher_only {
        let check = reach::check(place, &new.name, &invitation.addresses);
        say_reached(&check);
    }
    let mut answer = Answer::new();
    answer.line(file.display())?;
    answer.flush()
}

fn read_invitation() -> Result<String, Failure> {
    let mut text = String::new();
    // Room for white space around it; longer than that is none.
    io::stdin()
        .lock()
        .take(2 * INVITATION_CHARS_MAX as u64)
        .read_to_string(&mut text)
        .map_err(|error| Failure::could_not(format!("stdin: {error}")))?;
    Ok(text)
}

/// Ours, of another federation, a known name with another key, or a key that is revoked or weak: the answer is no.
fn acceptable(
    invitation: &Invitation,
    config: &NodeConfig,
    known: &PeerFiles,
    place: &Place,
) -> Result<(), Failure> {
    let name = &invitation.name;
    if invitation.key == place.keyring(config)?.public_key() {
        return Err(
            Failure::no("this is our own invitation").hint("send it to the peer, and add theirs here")
        );
    }
    if *name == config.name {
        return Err(Failure::no(format!("\"{name}\" is our own name, with another key"))
            .hint("one name is one node: one of the two must be made with another --name"));
    }
    if invitation.federation != config.federation {
        let (theirs, ours) = (&invitation.federation, &config.federation);
        return Err(Failure::no(format!("{name} is of the federation \"{theirs}\", we are of \"{ours}\""))
            .hint("both must have the same federation in intelmesh.toml"));
    }
    if SealKey::new(invitation.seal).is_err() {
        return Err(Failure::no(
            "the sealing key in the invitation is weak: what is sealed to it, anybody could open",
        )
        .hint("no intelmesh makes such a key: ask the peer, by telephone, what made this invitation"));
    }
    Ok(write::check_peer(&config.paths.peers, &known.peers, name, &invitation.key)?)
}

fn introduce(invitation: &Invitation, no_connect: bool) {
    talk(format!("name         {}", invitation.name));
    talk(format!("federation   {}", invitation.federation));
    talk(format!("key          {}", public_key_text(&invitation.key)));
    talk(invitation.words().behind("fingerprint  "));
    match (invitation.addresses.as_slice(), no_connect) {
        ([], _) => talk("addresses    none: it will connect to us, or be heard of through others"),
        (addresses, false) => talk(format!("addresses    {}", addresses.join(" "))),
        (_, true) => talk("addresses    not used: never dialled"),
    }
    talk(format!("valid until  {}", invitation.expires));
}

pub fn agreed(question: &str, otherwise: &str, verb: &str) -> Result<bool, Failure> {
    talk(question);
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(64)
        .read_line(&mut line)
        .map_err(|error| Failure::could_not(format!("stdin: {error}")))?;
    if line.is_empty() && !io::stdin().is_terminal() {
        return Err(Failure::could_not(format!("{otherwise}: nobody to ask, stdin has ended")).hint(
            match verb {
                "peer add" | "peer verify" => {
                    format!("compare the fingerprint's words with the peer, then: {verb} … --yes")
                }
                _ => format!("say it with --yes: {verb} --yes"),
            },
        ));
    }
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The running node reads `peers/` again now. Without one nothing is lost: it reads them when it starts.
pub fn told(place: &Place) {
    if let Err(failure) = place.ask_if_running(&Request::PeersChanged) {
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

impl<'a> From<&'a PeerFile> for PeerFacts<'a> {
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

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let mut answer = Answer::new();
    let peers: Vec<PeerFacts<'_>> = known.peers.iter().map(PeerFacts::from).collect();
    if json {
        let problems: Vec<String> = known.problems.iter().map(ToString::to_string).collect();
        let facts = serde_json::json!({"peers": peers, "problems": problems});
        answer.object("intelmesh.peers/1", &facts)?;
    } else {
        for peer in &peers {
            let relay = if peer.relay { "relays" } else { "no relay" };
            let addresses =
                if peer.addresses.is_empty() { "not dialled".to_owned() } else { peer.addresses.join(" ") };
            answer.line(format!(
                "{:<16} {:<8} {:<12} {:<9} {addresses}",
                peer.name.as_str(),
                peer.state,
                peer.tlp_max,
                relay
            ))?;
        }
        if peers.is_empty() {
            talk("no peers yet: intelmesh peer add INVITATION");
        }
    }
    answer.flush()?;
    warn(&known);
    Ok(())
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

fn find<'a>(known: &'a PeerFiles, name: &PublisherName) -> Result<&'a PeerFile, Failure> {
    if let Some(held) = known.peer(name) {
        return Ok(held);
    }
    warn(known);
    Err(Refusal::unknown_peer(name).into())
}

/// A peer's file, whether or not what is in it is good.
pub fn file_of(config: &NodeConfig, name: &PublisherName) -> Result<PathBuf, Failure> {
    let file = config.paths.peers.join(format!("{name}.toml"));
    if file.exists() { Ok(file) } else { Err(Refusal::unknown_peer(name).into()) }
}

fn remove(place: &Place, name: &PublisherName) -> Result<(), Failure> {
    let config = place.config()?;
    let kept = write::remove_peer(&file_of(&config, name)?, clock::now().wall)?;
    let how = if kept.is_some() { "its key stays revoked" } else { "" };
    place.audit(&config, What::PeerRemoved, Some(name), how);
    told(place);
    talk(format!("{name} is no peer any more; what was accepted from it stays, and so does its place"));
    if let Some(file) = kept {
        talk(format!("its key was revoked, and stays so: {}", file.display()));
    }
    Ok(())
}

fn explain(place: &Place, peer: PublisherName, id: EventRef, json: bool) -> Result<(), Failure> {
    let went = match place.ask(&Request::PeerExplain { peer, id })? {
        Reply::Explained(went) => went,
        other => return Err(unexpected(&other)),
    };
    let mut answer = Answer::new();
    if json {
        let facts = serde_json::to_value(&*went)
            .map_err(|error| Failure::could_not(format!("bug: {error}; please report")))?;
        answer.object("intelmesh.explain/1", &facts)?;
    } else {
        answer.line(went.line())?;
        if let Some(remedy) = &went.remedy {
            answer.line(format!("to change that: {remedy}"))?;
        }
    }
    answer.flush()
}

/// Shows both fingerprints, and writes down that they were compared.
fn verify(place: &Place, name: &PublisherName, yes: bool) -> Result<(), Failure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let held = find(&known, name)?;
    let (ours, theirs) =
        (invitation::words(&place.keyring(&config)?.public_key()), invitation::words(&held.peer.key));
    talk("Call them at a number that you know from elsewhere, and read all ten words to each other:");
    talk(theirs.behind(&format!("{:<16} ", name.as_str())));
    talk(ours.behind(&format!("{:<16} ", format!("{} (ours)", config.name))));
    if !yes
        && !agreed(
            "Are both the same at their side? [y/N]:",
            &format!("{name} was not verified"),
            "peer verify",
        )?
    {
        return Err(Failure::no(format!("{name} was not verified"))
            .hint("where the words differ, somebody else made that key: intelmesh peer remove, and ask for a new invitation"));
    }
    let (now, who) = (clock::now().wall, audit::who());
    write::set_verified(&file_of(&config, name)?, now, &who)?;
    let how = format!("words compared: {theirs}; ours: {ours}");
    place.audit(&config, What::PeerVerified, Some(name), &how);
    told(place);
    talk(format!("{name} is verified"));
    Ok(())
}

fn pause(place: &Place, name: &PublisherName, paused: bool) -> Result<(), Failure> {
    let config = place.config()?;
    write::set_paused(&file_of(&config, name)?, paused)?;
    place.audit(&config, if paused { What::PeerPaused } else { What::PeerResumed }, Some(name), "");
    told(place);
    talk(format!("{name} is {}", if paused { "paused; its place is kept" } else { "resumed" }));
    Ok(())
}

fn check(place: &Place, name: Option<&PublisherName>, json: bool) -> Result<(), Failure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let asked: Vec<&PeerFile> = match name {
        Some(name) => vec![find(&known, name)?],
        None => known.peers.iter().collect(),
    };
    let mut answer = Answer::new();
    let mut reached_all = true;
    for held in asked {
        let check = reach::check(place, &held.peer.name, &held.addresses);
        let reached = check.addresses.is_empty() || check.connected || check.addresses.iter().any(|at| at.ok);
        reached_all &= reached;
        if json {
            answer.json(&check)?;
            continue;
        }
        if check.addresses.is_empty() {
            answer.line(format!("{}: never dialled: no addresses", check.peer))?;
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
    if reached_all { Ok(()) } else { Err(Failure::silent(NO)) }
}
