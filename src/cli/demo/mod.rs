//! `demo`: the example of IEP04 with three real nodes on loopback. cert-at publishes, cert-ee relays to cert-pl,
//! cert-pl drops what it has already; a loop through a pipeline is recognised; a node that was killed catches up. It
//! counts, and fails if a count is not what it must be.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use self::nodes::{DemoNode, DemoProcesses, HandedOff};
use super::answer::CommandAnswer;
use super::failure::{CommandFailure, DONE};
use super::stop;
use crate::status::Snapshot;

/// Self-written, in the shape of IntelMQ's own: one flat JSON object a line.
const EVENTS: &str = include_str!("events.jsonl");

/// Events of each scene; together all of [`EVENTS`].
const TO_BOTH: usize = 10;
const BY_RELAY: usize = 5;
const WHILE_AWAY: usize = 6;

pub(crate) fn demo() -> Result<(), CommandFailure> {
    let children = DemoProcesses::default();
    let place = tempfile::Builder::new()
        .prefix("intelmesh-demo-")
        .tempdir()
        .map_err(|error| CommandFailure::could_not(format!("no temporary directory: {error}")))?;
    let (on_signal, made) = (children.clone(), place.path().to_owned());
    stop::on_signal(move || {
        on_signal.kill_all();
        // If it cannot be removed, it is in a directory for temporary files.
        let _ = std::fs::remove_dir_all(made);
        std::process::exit(i32::from(DONE));
    })?;
    let mut story = DemoStory { answer: CommandAnswer::new(), scene: 0 };
    let told = tell(&mut story, place.path(), &children);
    if told.is_err() && children.is_over() {
        // A signal ended it; that is not an error.
        return Ok(());
    }
    children.kill_all();
    match told {
        Ok(()) => Ok(()),
        Err(error) => match error.downcast::<StoryPipe>() {
            Ok(StoryPipe(failure)) => Err(failure),
            Err(error) => {
                let kept = place.keep();
                Err(CommandFailure::no(format!("the demo went wrong: {error:#}"))
                    .hint(format!("the nodes' directories and logs are in {}", kept.display())))
            }
        },
    }
}

/// stdout failed or was closed: not the demo's fault.
#[derive(Debug, thiserror::Error)]
#[error("stdout")]
struct StoryPipe(CommandFailure);

struct DemoStory {
    answer: CommandAnswer,
    scene: usize,
}

impl DemoStory {
    fn scene(&mut self, title: &str) -> Result<()> {
        self.scene += 1;
        self.line("")?;
        self.line(format!("{}. {title}", self.scene))
    }

    fn say(&mut self, text: impl std::fmt::Display) -> Result<()> {
        self.line(format!("   {text}"))
    }

    fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let told = self.answer.line(text).and_then(|()| self.answer.flush());
        told.map_err(|failure| StoryPipe(failure).into())
    }
}

struct DemoMesh {
    at: DemoNode,
    ee: DemoNode,
    pl: DemoNode,
    /// Handed off so far, by node: each id once.
    got: BTreeMap<&'static str, BTreeSet<String>>,
    /// Ids that cert-at's node gave.
    published: BTreeSet<String>,
}

fn tell(story: &mut DemoStory, place: &std::path::Path, children: &DemoProcesses) -> Result<()> {
    story.line("intelmesh demo: the example of IEP04, three nodes on loopback")?;
    let lines: Vec<&str> = EVENTS.lines().collect();
    ensure!(lines.len() == TO_BOTH + BY_RELAY + WHILE_AWAY, "{} events in the demo", lines.len());
    let mut mesh = set_up(story, place, children)?;
    let (first, rest) = lines.split_at(TO_BOTH);
    let (second, third) = rest.split_at(BY_RELAY);
    let ids = publish_to_both(story, &mut mesh, first)?;
    relay(story, &mut mesh, second)?;
    loop_through_a_pipeline(story, &mesh, first[0], &ids[0])?;
    count_before_the_kill(story, &mesh)?;
    catch_up(story, &mut mesh, third)?;
    count(story, &mut mesh, lines.len())
}

fn set_up(story: &mut DemoStory, place: &std::path::Path, children: &DemoProcesses) -> Result<DemoMesh> {
    story.scene("Three organisations, three nodes; each trusts the other two by one small file")?;
    let mut mesh = DemoMesh {
        at: DemoNode::init(place, "cert-at", children)?,
        ee: DemoNode::init(place, "cert-ee", children)?,
        pl: DemoNode::init(place, "cert-pl", children)?,
        got: BTreeMap::new(),
        published: BTreeSet::new(),
    };
    for (who, whom) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let nodes = [&mesh.at, &mesh.ee, &mesh.pl];
        let invitation = nodes[whom].call(&["invite"], "")?;
        nodes[who].call(&["peer", "add", "-", "--yes"], &invitation)?;
    }
    for node in [&mut mesh.at, &mut mesh.ee, &mut mesh.pl] {
        node.start()?;
    }
    for node in [&mesh.at, &mesh.ee, &mesh.pl] {
        node.wait_until("both peers up", |status| up(status) == 2)?;
        story.say(format!("{} runs at {}, 2 peers up", node.name, node.address))?;
    }
    Ok(mesh)
}

fn up(status: &Snapshot) -> usize {
    status.peers.iter().filter(|peer| peer.connected && peer.received.position.is_some()).count()
}

fn refused(status: &Snapshot) -> u64 {
    status.peers.iter().map(|peer| peer.received.refused).sum()
}

fn accepted(status: &Snapshot) -> u64 {
    status.peers.iter().map(|peer| peer.received.accepted).sum()
}

impl DemoMesh {
    /// cert-at submits; each line must be answered with a new id.
    fn publish(&mut self, lines: &[&str]) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for answered in self.at.submit(&lines.join("\n"))? {
            let id = answered.id.with_context(|| format!("an error: {:?}", answered.error))?;
            ensure!(!answered.duplicate && self.published.insert(id.clone()), "{id} was there already");
            ids.push(id);
        }
        ensure!(ids.len() == lines.len(), "{} answers to {} lines", ids.len(), lines.len());
        Ok(ids)
    }

    /// The next `count` events of `who`'s pipeline: by cert-at, known ids, none twice.
    fn receive(&mut self, who: &'static str, count: usize) -> Result<Vec<HandedOff>> {
        let node = if who == "cert-ee" { &self.ee } else { &self.pl };
        let events = node.receive(count)?;
        for event in &events {
            let id = &event.meta.uuid.current;
            ensure!(event.meta.publisher == "cert-at" && self.published.contains(id), "{who} got {id}");
            ensure!(self.got.entry(who).or_default().insert(id.clone()), "{who} got {id} twice");
        }
        Ok(events)
    }
}

/// `!cert-at (9), !cert-at!cert-ee (1)`
fn paths(events: &[HandedOff]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        *counts.entry(&event.meta.path).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(path, count)| format!("{path} ({count})")).collect();
    counts.join(", ")
}

fn publish_to_both(story: &mut DemoStory, mesh: &mut DemoMesh, lines: &[&str]) -> Result<Vec<String>> {
    story.scene(&format!("cert-at submits {TO_BOTH} events; both others get each of them once"))?;
    let ids = mesh.publish(lines)?;
    for who in ["cert-ee", "cert-pl"] {
        let events = mesh.receive(who, lines.len())?;
        story.say(format!("{who} hands off {} events, path {}", events.len(), paths(&events)))?;
    }
    let wanted = TO_BOTH as u64;
    for (node, other) in [(&mesh.pl, "cert-ee"), (&mesh.ee, "cert-pl")] {
        let status = node.wait_until("the duplicates are refused", |status| refused(status) >= wanted)?;
        ensure!(accepted(&status) == wanted, "{} accepted {}", node.name, accepted(&status));
        story.say(format!(
            "{other} offers them to {} too: {} duplicate, refused",
            node.name,
            refused(&status)
        ))?;
    }
    Ok(ids)
}

fn relay(story: &mut DemoStory, mesh: &mut DemoMesh, lines: &[&str]) -> Result<()> {
    story.scene("The line between cert-at and cert-pl is cut; cert-ee forwards to cert-pl")?;
    mesh.at.call(&["peer", "pause", "cert-pl"], "")?;
    mesh.pl.call(&["peer", "pause", "cert-at"], "")?;
    let cut = |status: &Snapshot| status.peers.iter().filter(|peer| peer.connected).count() == 1;
    mesh.pl.wait_until("cert-at is paused", cut)?;
    mesh.at.wait_until("cert-pl is paused", cut)?;
    mesh.publish(lines)?;
    for (who, path) in [("cert-ee", "!cert-at"), ("cert-pl", "!cert-at!cert-ee")] {
        let events = mesh.receive(who, lines.len())?;
        story.say(format!("{who} hands off {} events, path {}", events.len(), paths(&events)))?;
        ensure!(events.iter().all(|event| event.meta.path == path), "{who}: not all came by {path}");
    }
    let before = refused(&mesh.pl.status()?);
    mesh.pl.call(&["peer", "resume", "cert-at"], "")?;
    mesh.at.call(&["peer", "resume", "cert-pl"], "")?;
    let wanted = before + BY_RELAY as u64;
    let status = mesh.pl.wait_until("what came by relay is refused", |status| refused(status) >= wanted)?;
    story.say(format!(
        "the line is back, cert-at offers its {BY_RELAY} itself: {} duplicate, refused",
        refused(&status) - before
    ))
}

/// Handles an event from the collector as IntelMQ's output would do it (decisions/0014).
fn loop_through_a_pipeline(story: &mut DemoStory, mesh: &DemoMesh, line: &str, id: &str) -> Result<()> {
    story.scene("A bot of cert-ee enriches an event of cert-at, and submits it again")?;
    let event = line.strip_suffix('}').context("no event")?;
    let marks = format!("\"extra.intelmesh.uuid\":\"{id}\",\"extra.intelmesh.publisher\":\"cert-at\"");
    let enriched = format!("{event},\"source.reverse_dns\":\"host.example.net\",{marks}}}");
    let answers = mesh.ee.submit(&enriched)?;
    let answer = answers.first().context("no answer")?;
    ensure!(answers.len() == 1 && answer.duplicate, "it was taken as new: {answer:?}");
    ensure!(answer.id.as_deref() == Some(id), "it was answered as {:?}", answer.id);
    story.say(format!("loop: {id} was handed to this pipeline before;"))?;
    story.say("answered as duplicate, nothing is published")
}

fn count_before_the_kill(story: &mut DemoStory, mesh: &DemoMesh) -> Result<()> {
    story.scene("What the nodes counted")?;
    let wanted = (TO_BOTH + BY_RELAY) as u64;
    for node in [&mesh.ee, &mesh.pl] {
        let status = node.wait_until("every offer is settled", settled)?;
        ensure!(accepted(&status) == wanted, "{} accepted {}, not {wanted}", node.name, accepted(&status));
        for peer in &status.peers {
            let feed = &peer.received;
            story.say(format!(
                "{} from {}: offered {:>2}, accepted {:>2}, refused {:>2}",
                node.name, peer.name, feed.offered, feed.accepted, feed.refused
            ))?;
        }
    }
    Ok(())
}

/// Returns whether all events that were offered are accounted for, at rest (CONTRACT.md §6.3).
fn settled(status: &Snapshot) -> bool {
    status.peers.iter().all(|peer| {
        let feed = &peer.received;
        feed.owed == 0 && feed.offered == feed.accepted + feed.refused + feed.rejected + feed.missing
    })
}

fn catch_up(story: &mut DemoStory, mesh: &mut DemoMesh, lines: &[&str]) -> Result<()> {
    story.scene("cert-pl is killed (SIGKILL); cert-at goes on; cert-pl comes back")?;
    mesh.pl.kill()?;
    mesh.publish(lines)?;
    let events = mesh.receive("cert-ee", lines.len())?;
    story.say(format!("while it is away, cert-ee hands off {} events", events.len()))?;
    mesh.pl.start()?;
    let events = mesh.receive("cert-pl", lines.len())?;
    story.say(format!("cert-pl is back and catches up: {} events, path {}", events.len(), paths(&events)))
}

fn count(story: &mut DemoStory, mesh: &mut DemoMesh, published: usize) -> Result<()> {
    story.scene("The sum")?;
    for node in [&mesh.ee, &mesh.pl] {
        let got = mesh.got.get(node.name).map_or(0, BTreeSet::len);
        let more = node.receive_rest()?;
        ensure!(got == published && more == 0, "{} got {got} and {more} more, not {published}", node.name);
        story.say(format!(
            "submitted {published}, handed off at {} {got}: none lost, none twice",
            node.name
        ))?;
    }
    let back = mesh.at.receive_rest()?;
    ensure!(back == 0, "cert-at got {back} of its own events back");
    story.say("cert-at got none of its own back")?;
    story.line("")?;
    story.line("ok: nothing lost, nothing twice, nothing looped")
}
