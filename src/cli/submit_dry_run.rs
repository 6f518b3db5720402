//! `submit --dry-run`: the peers that would get each event, sealed or not, and the rule that decides. Nothing is sent,
//! and no node needs to run: the files are enough.

use std::io::{BufRead, BufReader, Read};

use serde_json::json;

use super::answer::CommandAnswer;
use super::failure::{CommandFailure, NO};
use super::labels::LabelColumns;
use super::place::NodeDirectory;
use crate::clock;
use crate::config::{NodeConfig, PeerFiles};
use crate::envelope::Core;
use crate::envelope::content::BodyIdSecret;
use crate::explain::{self, Explanation};
use crate::format::{DoorDefaults, IdInputs, ParsedSubmission, SubmitError, intake};
use crate::identity::HopPath;
use crate::limits::LINE_BYTES_MAX;
use crate::policy::TrustList;

/// Name and number of the JSON form of one line's answer.
const SCHEMA: &str = "intelmesh.dry-run/1";

struct SubmitDryRun {
    config: NodeConfig,
    peers: PeerFiles,
    trust: TrustList,
    door: DoorDefaults,
    secret: BodyIdSecret,
}

/// The event that a line would become, and the keys of its meta that would be kept without any meaning.
struct Tried {
    would: Would,
    unknown: Vec<String>,
}

enum Would {
    /// So many events, all like this one.
    Publish(Box<Core>, usize),
    /// It was handed off before, under this id.
    Return(String),
}

pub(crate) fn trial(
    place: &NodeDirectory,
    input: impl Read,
    labels: &LabelColumns,
    json: bool,
) -> Result<(), CommandFailure> {
    let config = place.config()?;
    let keyring = place.keyring(&config)?;
    let trial = SubmitDryRun {
        peers: place.peers(&config)?,
        trust: place.trust()?.with_own_seal(keyring.seal_key()),
        door: config.doors.at_socket(config.door_defaults()),
        secret: keyring.body_id_secret(),
        config,
    };
    let mut answer = CommandAnswer::new();
    let (mut number, mut refused) = (0u64, false);
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 2;
        let read = input.by_ref().take(most).read_until(b'\n', &mut line);
        read.map_err(|error| CommandFailure::could_not(format!("input: {error}")))?;
        if line.is_empty() {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let would = trial.would(&line, labels);
        refused |= would.is_err();
        trial.say(number, would, json, &mut answer)?;
    }
    answer.flush()?;
    if refused { Err(CommandFailure::silent(NO)) } else { Ok(()) }
}

impl SubmitDryRun {
    fn would(&self, line: &[u8], labels: &LabelColumns) -> Result<Tried, SubmitError> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let labelled = std::str::from_utf8(text).ok().filter(|_| !labels.is_empty());
        let labelled = labelled.map(|text| labels.put_on(text.trim_end_matches('\r')));
        let line = labelled.as_deref().map_or(text, str::as_bytes);
        let made = IdInputs { now: clock::now().wall, random: uuid::Uuid::new_v4(), secret: &self.secret };
        let mut chance = rand::rng();
        let read = intake(line, &self.door)?;
        let unknown = read.unknown_keys().to_vec();
        let would = match read {
            ParsedSubmission::New(draft) => {
                let core = draft.address(&self.trust)?.into_core(&made, &mut chance)?;
                Would::Publish(Box::new(core), 1)
            }
            ParsedSubmission::Exploded(exploded) => {
                let siblings = exploded.address(&self.trust)?.into_cores(&made, &mut chance)?;
                let count = siblings.cores.len();
                let first = siblings.cores.into_iter().next();
                first.map_or_else(
                    || Would::Return(siblings.parent.to_string()),
                    |core| Would::Publish(Box::new(core), count),
                )
            }
            ParsedSubmission::Child(child) => Would::Return(child.of().to_string()),
            ParsedSubmission::Returned(returned) => Would::Return(returned.id.to_string()),
        };
        Ok(Tried { would, unknown })
    }

    fn say(
        &self,
        line: u64,
        tried: Result<Tried, SubmitError>,
        json: bool,
        answer: &mut CommandAnswer,
    ) -> Result<(), CommandFailure> {
        let (would, unknown) = match tried {
            Ok(Tried { would, unknown }) => (Ok(would), unknown),
            Err(error) => (Err(error), Vec::new()),
        };
        match would {
            Err(error) if json => {
                let code = error.code.as_str();
                let facts = json!({"line": line, "error": error.message, "code": code, "hint": error.hint});
                answer.object(SCHEMA, &facts)
            }
            Err(error) => answer.line(format!("line {line}: {} ({})", error.message, error.code)),
            Ok(Would::Return(id)) if json => answer.object(SCHEMA, &json!({"line": line, "returned": id})),
            Ok(Would::Return(id)) => answer
                .line(format!("line {line}: it was handed off before as {id}: nothing is published anew")),
            Ok(Would::Publish(core, events)) => {
                let explained = self.explained(&core);
                let sealed = core.body.is_sealed();
                if json {
                    let facts = json!({
                        "line": line, "events": events, "tlp": core.tlp.as_str(), "sealed": sealed,
                        "to": core.to, "ext": unknown, "peers": explained,
                    });
                    return answer.object(SCHEMA, &facts);
                }
                let seal = if sealed { ", sealed" } else { "" };
                let many = if events == 1 { String::new() } else { format!("{events} events, ") };
                let kept = if unknown.is_empty() {
                    String::new()
                } else {
                    format!(", kept as ext without effect: {}", unknown.join(", "))
                };
                answer.line(format!("line {line}: {many}TLP:{}{seal}{kept}", core.tlp))?;
                explained.iter().try_for_each(|one| said(one, answer))
            }
        }
    }

    fn explained(&self, core: &Core) -> Vec<Explanation> {
        let (path, own, now) = (HopPath::default(), self.config.names(), clock::now().wall);
        let standing = self.peers.peers.iter().map(|file| explain::standing(file, &self.trust));
        standing.map(|file| explain::share(core, &path, &own, &file, now)).collect()
    }
}

/// One peer, for people.
pub(crate) fn said(one: &Explanation, answer: &mut CommandAnswer) -> Result<(), CommandFailure> {
    let reason = one.outcome.reason().map(|reason| format!("{reason}: ")).unwrap_or_default();
    answer.line(format!("  {:<16} {:<9} {reason}{}", one.peer.as_str(), one.outcome.as_str(), one.rule))?;
    match &one.remedy {
        Some(remedy) => answer.line(format!("  {:<16} {:<9} to change that: {remedy}", "", "")),
        None => Ok(()),
    }
}
