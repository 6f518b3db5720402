//! `peer add`: from an invitation, as mail delivers it, to a peer's file. The words of both fingerprints tell whether
//! the invitation is their own: people compare them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{find, say_reached, told};
use crate::audit::{self, AuditedAction};
use crate::cli::answer::{CommandAnswer, talk};
use crate::cli::args::PeerAddArgs;
use crate::cli::asking::{AskSource, agreed};
use crate::cli::failure::CommandFailure;
use crate::cli::invite;
use crate::cli::place::NodeDirectory;
use crate::cli::reach;
use crate::clock;
use crate::config::write::{self, ConfigWrite, NewPeer};
use crate::config::{NodeConfig, PeerFile, PeerFiles, address};
use crate::envelope::SealKey;
use crate::identity::public_key_text;
use crate::invitation::{self, Invitation};
use crate::keyring::{Keyring, seal_key_text};
use crate::policy::Tlp;
use crate::time::Timestamp;

/// The longest mail that is searched for an invitation, in bytes.
const MAIL_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn add(place: &NodeDirectory, args: &PeerAddArgs) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let keyring = place.keyring(&config)?;
    let now = clock::now().wall;
    let (text, from) = read(&args.invitation)?;
    let invitation =
        Invitation::parse(&text, now).map_err(|error| CommandFailure::no(&error).hint(error.hint()))?;
    acceptable(&invitation, &config, &known, &keyring)?;
    let connects = !args.no_connect && !args.publisher_only;
    introduce(&invitation, connects, &config, &keyring);
    let not_added = format!("{} was not added", invitation.name);
    let compares = !args.yes && !args.pending;
    if compares
        && !agreed(
            "Do both read the same ten words, theirs and ours? Then add it [y/N]:",
            from,
            &not_added,
            "peer add",
        )?
    {
        return Err(CommandFailure::no(not_added));
    }
    let new = new_peer(&invitation, args, connects, now);
    let before = known.peer(&new.name).cloned();
    let (file, written) = write::add_peer(&config.paths.peers, &known.peers, &new)?;
    if compares {
        write::set_verified(&file, now, &new.added_by)?;
    }
    let after = place.peers(&config)?;
    talk(done(&file, find(&after, &new.name)?, before.as_ref()));
    let what =
        if written == ConfigWrite::Added { AuditedAction::PeerAdded } else { AuditedAction::PeerMerged };
    let words = if compares { "words compared" } else { "words not compared" };
    place.audit(&config, what, Some(&new.name), &format!("by invitation, {words}: {}", invitation.words()));
    told(place);
    if connects && !args.pending {
        say_reached(&reach::check(place, &new.name, &invitation.addresses));
    }
    next(place, &config, &keyring, find(&after, &new.name)?)?;
    let mut answer = CommandAnswer::new();
    answer.line(file.display())?;
    answer.flush()
}

/// The text that holds the invitation, and who can be asked about it: a line, or what a shell made of several; `-` for
/// stdin; or a file.
fn read(words: &[String]) -> Result<(String, AskSource), CommandFailure> {
    let joined = words.join(" ");
    if joined == "-" {
        return Ok((bounded(io::stdin().lock(), "stdin")?, AskSource::Terminal));
    }
    if let [one] = words
        && let Ok(file) = File::open(one)
    {
        return Ok((bounded(file, one)?, AskSource::Stdin));
    }
    Ok((joined, AskSource::Stdin))
}

/// Reads a mail up to a bound. It need not be in UTF-8: other bytes are not part of an invitation.
fn bounded(input: impl io::Read, name: &str) -> Result<String, CommandFailure> {
    let mut bytes = Vec::new();
    let read = input.take(MAIL_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| CommandFailure::of_file(Path::new(name), &error))?;
    if bytes.len() as u64 > MAIL_BYTES_MAX {
        return Err(CommandFailure::no(format!("{name} is longer than 1 MiB"))
            .hint("give the part with the invitation"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Ours, of another federation, a known name with another key, a key that is revoked or weak, or an address that cannot
/// be used: the answer is no, and nothing is changed.
fn acceptable(
    invitation: &Invitation,
    config: &NodeConfig,
    known: &PeerFiles,
    keyring: &Keyring,
) -> Result<(), CommandFailure> {
    let name = &invitation.name;
    if invitation.key == keyring.public_key() {
        return Err(
            CommandFailure::no("this is our own invitation").hint("send it to the peer, and add theirs here")
        );
    }
    if *name == config.name {
        return Err(CommandFailure::no(format!("\"{name}\" is our own name, with another key"))
            .hint("one name is one node: one of the two must be made with another --name"));
    }
    if invitation.federation != config.federation {
        let (theirs, ours) = (&invitation.federation, &config.federation);
        return Err(CommandFailure::no(format!(
            "{name} is of the federation \"{theirs}\", we are of \"{ours}\""
        ))
        .hint("both must have the same federation in intelmesh.toml"));
    }
    if SealKey::new(invitation.seal).is_err() {
        return Err(CommandFailure::no(
            "the sealing key in the invitation is weak: what is sealed to it, anybody could open",
        )
        .hint("no intelmesh makes such a key: ask the peer, by telephone, what made this invitation"));
    }
    let fault = |text: &String| match address::parse(text) {
        None => Some((text.clone(), address::WANTED)),
        Some(address) => address::is_wildcard(&address).then(|| (text.clone(), address::DIALLED)),
    };
    if let Some((bad, wanted)) = invitation.addresses.iter().find_map(fault) {
        return Err(CommandFailure::no(format!(
            "the invitation has an address that cannot be used: \"{bad}\" is not {wanted}"
        ))
        .hint(format!("ask {name} to correct advertise = … and to invite again")));
    }
    Ok(write::check_peer(&config.paths.peers, &known.peers, name, &invitation.key)?)
}

fn introduce(invitation: &Invitation, connects: bool, config: &NodeConfig, keyring: &Keyring) {
    talk(format!("name         {}", invitation.name));
    talk(format!("federation   {}", invitation.federation));
    talk(format!("key          {}", public_key_text(&invitation.key)));
    invitation.words().behind("their words  ").into_iter().for_each(talk);
    let [first, second] = invitation::words(&keyring.public_key()).behind("our words    ");
    talk(first);
    talk(format!("{second} ({})", config.name));
    match (invitation.addresses.as_slice(), connects) {
        ([], _) => talk("addresses    none: it will connect to us, or be heard of through others"),
        (addresses, true) => talk(format!("addresses    {}", addresses.join(" "))),
        (_, false) => talk("addresses    not used: never dialled"),
    }
    talk(format!("valid until  {}", invitation.expires));
}

fn new_peer(invitation: &Invitation, args: &PeerAddArgs, connects: bool, now: Timestamp) -> NewPeer {
    NewPeer {
        name: invitation.name.clone(),
        key: invitation.key,
        seal: Some(seal_key_text(&invitation.seal)),
        addresses: if connects { invitation.addresses.clone() } else { Vec::new() },
        publisher_only: args.publisher_only,
        tlp_max: args.tlp_max,
        relay: args.no_relay.then_some(false),
        added: now,
        added_by: audit::who(),
        pending: args.pending,
    }
}

/// Describes the file that was written: of a known peer, only the differences.
fn done(file: &Path, is: &PeerFile, was: Option<&PeerFile>) -> String {
    let (name, shown) = (&is.peer.name, file.display());
    let terms = terms(is);
    let Some(was) = was else {
        let told: Vec<String> = terms[..2].iter().map(|(key, value)| format!("{key} = {value}")).collect();
        return format!("{name} added in {shown}; {}", told.join(", "));
    };
    let changed: Vec<String> = self::terms(was)
        .into_iter()
        .zip(&terms)
        .filter(|(before, now)| before != *now)
        .map(|((key, before), (_, now))| format!("{key} = {now} (was {before})"))
        .collect();
    let changed = if changed.is_empty() { "nothing is new".to_owned() } else { changed.join(", ") };
    format!("{name} known already: merged in {shown}; {changed}")
}

/// The terms that `peer add` may set, as the file has them.
fn terms(file: &PeerFile) -> [(&'static str, String); 6] {
    let peer = &file.peer;
    let quoted = |label: Tlp| format!("\"{}\"", label.as_str());
    [
        ("tlp_max", quoted(peer.share.tlp_max)),
        ("relay", peer.receive.relay.to_string()),
        ("addresses", format!("[{}]", file.addresses.join(", "))),
        ("publisher_only", file.peer.publisher_only.to_string()),
        ("seal", peer.seal.map_or_else(|| "none".to_owned(), |key| key.to_string())),
        ("pending", file.pairing.pending.to_string()),
    ]
}

/// Describes the next steps: a pairing has two sides, and words that are compared.
fn next(
    place: &NodeDirectory,
    config: &NodeConfig,
    keyring: &Keyring,
    added: &PeerFile,
) -> Result<(), CommandFailure> {
    let name = &added.peer.name;
    if added.pairing.pending {
        talk(format!("{name} is pending: nothing is exchanged before intelmesh peer verify {name}"));
    } else if !added.pairing.verified {
        talk(format!("next: compare the words with {name} on the phone: intelmesh peer verify {name}"));
    }
    if added.addresses.is_empty() && !added.peer.publisher_only && config.invited_at().is_empty() {
        talk(format!(
            "warning: neither of you can reach the other: {name} has no address here, and our invitations have none"
        ));
        talk("hint: one of both must open a port, and name it: advertise = […] in intelmesh.toml");
    }
    talk(format!("next: send {name} our invitation, if it has not added us yet:"));
    talk(invite::line(config, keyring)?);
    talk(format!("then: intelmesh status -C {}", place.dir().display()));
    Ok(())
}
