//! `peer diff`: the settings in which two agreements differ. What a changed file would share or hold back of real events
//! is `peer check --dry-run`'s.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::find;
use crate::cli::answer::print_object;
use crate::cli::failure::{COULD_NOT, CliFault, CommandFailure, NO};
use crate::cli::place::NodeDirectory;
use crate::config::{ConfigProblem, FileLists, NodeConfig, PeerFile, PeerFiles};
use crate::filter::NoLists;
use crate::identity::{PublisherName, public_key_text};
use crate::policy::Rate;
use crate::terminal::Lines;

const SCHEMA: &str = "intelmesh.peer-diff/1";

/// The answer.
#[derive(Debug, Serialize)]
struct PeerDifferences {
    left: String,
    right: String,
    differences: Vec<SettingDifference>,
}

/// `None` is a setting that the file does not have, and that has no default.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SettingDifference {
    setting: &'static str,
    left: Option<String>,
    right: Option<String>,
}

/// # Errors
/// Exit 1 if they differ, as `diff` has it.
pub(crate) fn diff(
    place: &NodeDirectory,
    left: &str,
    right: Option<&str>,
    json: bool,
) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let known = place.peers(&config)?;
    let (left, left_name) = side(left, &config, &known)?;
    let (right, right_name) = match right {
        Some(right) => side(right, &config, &known)?,
        None => (defaults_of(&left)?, "the defaults".to_owned()),
    };
    let answer =
        PeerDifferences { left: left_name, right: right_name, differences: differences(&left, &right) };
    print_object(json, SCHEMA, &answer, || render(&answer))?;
    if answer.differences.is_empty() { Ok(()) } else { Err(CommandFailure::silent(NO)) }
}

/// A peer by its name, or a file by its path: `cert-ee`, `new/cert-ee.toml`.
fn side(text: &str, config: &NodeConfig, known: &PeerFiles) -> Result<(PeerFile, String), CommandFailure> {
    if let Ok(name) = PublisherName::parse(text) {
        let held = find(known, &name)?;
        return Ok((held.clone(), held.file.display().to_string()));
    }
    let file = Path::new(text);
    let content = std::fs::read_to_string(file).map_err(|error| CommandFailure::of_file(file, &error))?;
    let parsed = PeerFile::parse_with(file, &content, &FileLists::new(&config.paths.lists));
    Ok((parsed.map_err(|problems| refused(&problems))?, text.to_owned()))
}

/// The same peer, with nothing about what may go to it and come from it.
fn defaults_of(peer: &PeerFile) -> Result<PeerFile, CommandFailure> {
    let text = format!("key = \"{}\"\n", public_key_text(&peer.peer.key));
    let mut defaults =
        PeerFile::parse_with(&peer.file, &text, &NoLists).map_err(|problems| refused(&problems))?;
    defaults.peer.seal = peer.peer.seal;
    defaults.peer.aliases.clone_from(&peer.peer.aliases);
    defaults.addresses.clone_from(&peer.addresses);
    defaults.care.contact.clone_from(&peer.care.contact);
    Ok(defaults)
}

fn refused(problems: &[ConfigProblem]) -> CommandFailure {
    let fault = |problem: &ConfigProblem| CliFault { what: problem.to_string(), hint: problem.hint() };
    CommandFailure::many(COULD_NOT, problems.iter().map(fault).collect())
}

/// Who they are differs between any two peers, and is compared only under one name.
fn differences(left: &PeerFile, right: &PeerFile) -> Vec<SettingDifference> {
    let same_peer = left.peer.name == right.peer.name;
    let mut differences = Vec::new();
    for (identity, settings) in [(true, identity as Settings), (false, agreement as Settings)] {
        if identity && !same_peer {
            continue;
        }
        for ((setting, left), (_, right)) in settings(left).into_iter().zip(settings(right)) {
            if left != right {
                differences.push(SettingDifference { setting, left, right });
            }
        }
    }
    differences
}

type Settings = fn(&PeerFile) -> Vec<(&'static str, Option<String>)>;

fn identity(file: &PeerFile) -> Vec<(&'static str, Option<String>)> {
    let names = |names: &[PublisherName]| names.iter().map(PublisherName::to_string).collect::<Vec<_>>();
    vec![
        ("key", Some(public_key_text(&file.peer.key))),
        ("seal", file.peer.seal.map(|key| key.to_string())),
        ("addresses", list(&file.addresses)),
        ("aliases", list(&names(&file.peer.aliases))),
        ("contact", file.care.contact.clone()),
    ]
}

fn agreement(file: &PeerFile) -> Vec<(&'static str, Option<String>)> {
    let (peer, flag) = (&file.peer, |holds: bool| Some(holds.to_string()));
    let rate = |rate: Option<Rate>| rate.map(|rate| format!("{}/s", rate.per_second));
    let filters: BTreeMap<_, _> = file.filters().collect();
    let filter = |section| filters.get(section).map(|text: &&str| (*text).to_owned());
    let ignored: Vec<String> = file.ignore.iter().map(PublisherName::to_string).collect();
    vec![
        ("publisher_only", flag(peer.publisher_only)),
        ("paused", flag(peer.paused)),
        ("pending", flag(file.pairing.pending)),
        ("revoked", flag(peer.revoked)),
        ("verified", flag(file.pairing.verified)),
        ("expect_every", file.care.expect_every_s.map(|seconds| format!("{seconds}s"))),
        ("share.tlp_max", Some(peer.share.tlp_max.to_string())),
        ("share.seal", flag(peer.share.seal)),
        ("share.where", filter("share")),
        ("receive.relay", flag(peer.receive.relay)),
        ("receive.ignore", list(&ignored)),
        ("receive.rate", rate(peer.receive.rate)),
        ("receive.rate_per_publisher", rate(peer.receive.rate_per_publisher)),
        ("receive.where", filter("receive")),
    ]
}

fn list(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

fn render(answer: &PeerDifferences) -> Lines {
    let mut lines = Lines::default();
    if answer.differences.is_empty() {
        lines.push(format!("{} and {} are the same", answer.left, answer.right));
        return lines;
    }
    lines.push(format!("- {}", answer.left));
    lines.push(format!("+ {}", answer.right));
    for SettingDifference { setting, left, right } in &answer.differences {
        lines.push(setting);
        lines.push(format!("  - {}", left.as_deref().unwrap_or("none")));
        lines.push(format!("  + {}", right.as_deref().unwrap_or("none")));
    }
    lines
}
