//! `key`: this node's keys, their public halves only; new ones, and the end of one. Private keys stay in `keyring`.

use std::io::Read as _;
use std::path::Path;

use super::answer::{CommandAnswer, print_object, talk};
use super::args::KeyVerb;
use super::asking::confirm;
use super::failure::CommandFailure;
use super::peer::{file_of, told};
use super::place::{NodeDirectory, statement_of};
use crate::audit::AuditedAction;
use crate::clock;
use crate::config::{NodeConfig, write};
use crate::control::ControlRequest;
use crate::envelope::statement::claimed_publisher;
use crate::envelope::{KeyUse, SignedStatement, StatedKey, Statement};
use crate::identity::{KeyId, PublisherName, public_key_text};
use crate::invitation;
use crate::keyring::{Keyring, NODE_KEY_FILE, Rotation, SEAL_KEY_FILE, seal_key_text};
use crate::limits::KEY_STATEMENT_BYTES_MAX;
use crate::terminal::Lines;

/// The beginning of the text that `init` prints for the safe.
const REVOCATION_PREFIX: &str = "intelmesh-revocation:";

pub(crate) fn key(place: &NodeDirectory, verb: &KeyVerb, json: bool) -> Result<(), CommandFailure> {
    match verb {
        KeyVerb::Show => show(place, json),
        KeyVerb::Rotate { compromised, yes } => rotate(place, *compromised, *yes),
        KeyVerb::Revoke { name: Some(name), yes, .. } => revoke_peer(place, name, *yes),
        KeyVerb::Revoke { statement: Some(file), yes, .. } => revoke_by_statement(place, file, *yes),
        KeyVerb::Revoke { yes, .. } => revoke_own(place, *yes),
    }
}

fn show(place: &NodeDirectory, json: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let keyring = place.keyring(&config)?;
    let public = keyring.public_key();
    let (key, seal) = (public_key_text(&public), keyring.seal_public_text());
    let words = invitation::words(&public);
    let (key_file, seal_file) =
        (config.paths.keys.join(NODE_KEY_FILE), config.paths.keys.join(SEAL_KEY_FILE));
    let statement = keyring.statement().map(SignedStatement::statement);
    let mut keys = vec![
        serde_json::json!({"use": "node", "key": key, "file": key_file}),
        serde_json::json!({"use": "seal", "key": seal, "file": seal_file}),
    ];
    if let Some(statement) = statement {
        keys.truncate(1);
        keys.extend(statement.keys.iter().map(stated_json));
    }
    let facts = serde_json::json!({
        "name": config.name,
        "key": key,
        "key_id": KeyId::of(&public).to_string(),
        "words": words.to_string(),
        "seal": seal,
        "serial": statement.map_or(0, |statement| statement.serial),
        "revoked": statement.is_some_and(|statement| statement.revoked),
        "keys": keys,
    });
    print_object(json, "intelmesh.keys/1", &facts, || {
        let mut lines = Lines::default();
        lines.push(&config.name);
        lines.fact("key", &key);
        words.behind("  words      ").into_iter().for_each(|line| lines.push(line));
        lines.fact("key id", KeyId::of(&public));
        lines.fact("file", key_file.display());
        lines.fact("seal", &seal);
        lines.fact("seal file", seal_file.display());
        if let Some(statement) = statement {
            lines.append(&statement_lines(statement, ": REVOKED"));
        }
        lines
    })
}

/// A statement of keys, as this node applies it.
pub(crate) fn statement_lines(statement: &Statement, revoked: &str) -> Lines {
    let mut lines = Lines::default();
    let state = if statement.revoked { revoked } else { "" };
    lines.fact("statement", format!("{}{state}", statement.serial));
    for stated in &statement.keys {
        lines.push(format!("    {:<8} {} {}", stated.usage.as_str(), text_of(stated), validity(stated)));
    }
    lines
}

fn text_of(stated: &StatedKey) -> String {
    match (stated.usage, stated.verifying_key()) {
        (_, Some(key)) => public_key_text(&key),
        (KeyUse::Other(number), None) => {
            format!("{} of use {number}, not known here", data_encoding::BASE64URL_NOPAD.encode(&stated.key))
        }
        (_, None) => seal_key_text(&stated.key),
    }
}

fn validity(stated: &StatedKey) -> String {
    let since = if stated.not_before.0 == 0 { String::new() } else { format!("from {} ", stated.not_before) };
    match stated.not_after {
        Some(end) if stated.compromised => format!("{since}until {end}, COMPROMISED"),
        Some(end) => format!("{since}until {end}"),
        None => format!("{since}in use"),
    }
}

/// The same in JSON.
pub(crate) fn stated_json(stated: &StatedKey) -> serde_json::Value {
    let mut facts = serde_json::json!({"use": stated.usage.as_str(), "key": text_of(stated)});
    if stated.compromised {
        facts["compromised"] = true.into();
    }
    let times =
        [("not_before", Some(stated.not_before).filter(|at| at.0 > 0)), ("not_after", stated.not_after)];
    for (name, at) in times {
        if let Some(at) = at {
            facts[name] = at.to_string().into();
        }
    }
    facts
}

fn rotate(place: &NodeDirectory, compromised: bool, yes: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let keyring = place.keyring(&config)?;
    let ask =
        "New keys for signing and sealing; the identity key, by which peers know us, stays. Go on [y/N]?";
    confirm(yes, ask, "nothing was rotated", "key rotate")?;
    let known = statement_of(&config, &keyring.public_key());
    let rotation = Rotation { now: clock::now().wall, compromised, known: known.as_ref() };
    let signed = keyring.rotate(&config.paths.keys, &config.name, rotation)?;
    let stated = signed.statement();
    let keys =
        [KeyUse::Sign, KeyUse::Seal].map(|usage| stated.current(usage).map(text_of).unwrap_or_default());
    let why = if compromised { ", the one before is compromised" } else { "" };
    place.audit(
        &config,
        AuditedAction::KeyRotated,
        None,
        &format!("serial {}: {}{why}", stated.serial, keys.join(", ")),
    );
    tell_node(place, "and acts when it starts");
    let mut answer = CommandAnswer::new();
    keys.iter().try_for_each(|key| answer.line(key))?;
    answer.flush()?;
    talk(format!(
        "keys/ has new files: back them up; what the older ones signed stays good (statement {})",
        stated.serial
    ));
    Ok(())
}

fn tell_node(place: &NodeDirectory, otherwise: &str) {
    match place.ask_if_running(&ControlRequest::KeysChanged) {
        Ok(Some(_)) => talk("the running node signs with them now, and tells its peers"),
        Ok(None) => talk(format!("no node runs here: it is written down, {otherwise}")),
        Err(failure) => {
            talk(format!("warning: the running node was not told: {}; restart it", failure.first()))
        }
    }
}

/// Revokes that peer's key: nothing new that it signs is accepted, by any way it comes.
fn revoke_peer(place: &NodeDirectory, name: &PublisherName, yes: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    if *name == config.name {
        return revoke_own(place, yes);
    }
    let file = file_of(&config, name)?;
    let ask = format!("Nothing new that {name} signs will be taken, by whatever way it comes. Go on [y/N]?");
    let no = format!("{name} was not revoked");
    // Without the name it would be the verb that ends our own key.
    confirm(yes, &ask, &no, &format!("key revoke {name}"))?;
    write::set_revoked(&file)?;
    place.audit(&config, AuditedAction::KeyRevoked, Some(name), "by the operator, here alone");
    told(place);
    talk(format!(
        "{name} is revoked here: no connection, and what it signs waits: intelmesh event release|drop {name}"
    ));
    Ok(())
}

/// Ends this node: its identity key revokes itself, and everybody is notified of it.
fn revoke_own(place: &NodeDirectory, yes: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let keyring = place.keyring(&config)?;
    let ask = "This ends our own key for ever, at every node that hears of it. Go on [y/N]?";
    confirm(yes, ask, "nothing was revoked", "key revoke")?;
    let signed = keyring.revocation(&config.name)?;
    end_own(place, &config, &signed)
}

fn end_own(
    place: &NodeDirectory,
    config: &NodeConfig,
    signed: &SignedStatement,
) -> Result<(), CommandFailure> {
    Keyring::put_statement(&config.paths.keys, signed)?;
    place.audit(config, AuditedAction::KeyRevoked, None, "our own, by the operator");
    match place.ask_if_running(&ControlRequest::KeysChanged) {
        Ok(Some(_)) => talk(
            "our key is revoked: the running node tells its peers; leave it running until all have heard",
        ),
        Ok(None) => talk(
            "our key is revoked; no node runs here to tell the peers: bring them the statement that init printed",
        ),
        Err(failure) => talk(format!("warning: the running node was not told: {}", failure.first())),
    }
    talk("hint: make a new node and pair anew: intelmesh init");
    Ok(())
}

/// The statement that `init` printed for the safe, of this node or of a peer.
fn revoke_by_statement(place: &NodeDirectory, file: &Path, yes: bool) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let trust = place.trust()?;
    let bytes = read_statement(file)?;
    let bad = |error: &dyn std::fmt::Display| CommandFailure::no(format!("{}: {error}", file.display()));
    let publisher = claimed_publisher(&bytes).map_err(|error| bad(&error))?;
    let Some(identity) = trust.identity_key(&publisher) else {
        return Err(bad(&format!("a statement of {publisher}, who is no peer")).hint("intelmesh peer list"));
    };
    let signed = SignedStatement::verify(&bytes, identity).map_err(|error| bad(&error))?;
    if !signed.statement().revoked {
        return Err(bad(&format!("a statement of {publisher} that revokes nothing")));
    }
    let ask = format!("This revokes the key of {publisher} for ever. Go on [y/N]?");
    confirm(yes, &ask, "nothing was revoked", &format!("key revoke --statement {}", file.display()))?;
    if publisher == config.name {
        return end_own(place, &config, &signed);
    }
    place.order(&ControlRequest::Statement { cose: data_encoding::BASE64.encode(&bytes) })?;
    place.audit(
        &config,
        AuditedAction::KeyRevoked,
        Some(&publisher),
        "by its own statement, brought by the operator",
    );
    talk(format!("{publisher} is revoked, and every node that we reach hears of it"));
    Ok(())
}

fn read_statement(file: &Path) -> Result<Vec<u8>, CommandFailure> {
    let failed = |error: std::io::Error| CommandFailure::of_file(file, &error);
    let mut text = String::new();
    let most = 4 * KEY_STATEMENT_BYTES_MAX as u64;
    if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file).map_err(failed)?.take(most).read_to_string(&mut text).map_err(failed)?;
    }
    let encoded = text.split_whitespace().find_map(|word| word.strip_prefix(REVOCATION_PREFIX));
    encoded.and_then(|encoded| data_encoding::BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()).ok_or_else(
        || {
            CommandFailure::no(format!(
                "{}: no revocation: one begins with \"{REVOCATION_PREFIX}\"",
                file.display()
            ))
            .hint("the line that intelmesh init printed when the node was made")
        },
    )
}

/// The line for the safe.
pub(crate) fn revocation_line(keyring: &Keyring, name: &PublisherName) -> Result<String, CommandFailure> {
    let signed = keyring.revocation(name)?;
    Ok(format!("{REVOCATION_PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(signed.bytes())))
}
