//! `event trace`: the events that an event is linked to, as a tree for people. Each event stands in it once, at the
//! link by which it was reached first; the other forms (`graph`) have every link. It does not say if a claim is true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::graph::{self, printable, short};
use crate::cli::answer::CommandAnswer;
use crate::cli::args::TraceArgs;
use crate::cli::failure::CommandFailure;
use crate::cli::place::{NodeDirectory, ask_for};
use crate::control::{ControlRequest, TraceFacts, TraceOf, TracedEvent, TracedLink};
use crate::link::Relation;
use crate::terminal::Lines;

pub(crate) fn trace(place: &NodeDirectory, args: TraceArgs, json: bool) -> Result<(), CommandFailure> {
    let of = match (args.id, args.alternate) {
        (Some(id), None) => TraceOf::Event(id),
        (None, Some(text)) => TraceOf::Alternate(text),
        _ => return Err(CommandFailure::could_not("either an ID or --alternate is needed")),
    };
    let facts = *ask_for!(place, ControlRequest::EventTrace { of, depth: args.depth }, Trace);
    let mut answer = CommandAnswer::new();
    if json {
        answer.json(&facts)?;
    } else if args.dot {
        answer.lines(&Lines::of_text(&graph::dot(&facts)))?;
    } else if args.ntriples {
        answer.bytes(&graph::ntriples(&facts)?)?;
    } else {
        answer.lines(&Lines::of_text(&TraceTree::of(&facts, args.full).render()))?;
    }
    answer.flush()
}

/// Ways up, by the name that a link has when it is followed from left to right.
const ANCESTRY: [&str; 2] = ["parent", "derived-from"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TraceSection {
    Ancestors,
    Descendants,
    Related,
}

impl TraceSection {
    /// Returns the place of an event that the start reaches by this link.
    fn of(link: &TracedLink, outwards: bool) -> Self {
        match (ANCESTRY.contains(&link.relation.as_str()), outwards) {
            (true, true) => Self::Ancestors,
            (true, false) => Self::Descendants,
            (false, _) => Self::Related,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Ancestors => "ancestors",
            Self::Descendants => "descendants",
            Self::Related => "related",
        }
    }
}

struct TraceTree<'a> {
    facts: &'a TraceFacts,
    events: BTreeMap<&'a str, &'a TracedEvent>,
    /// By the event above: the events that were reached from there, and by which link (`true`: from left to right).
    /// Each stands below one that stood there before it, no matter how the links go.
    below: BTreeMap<&'a str, Vec<(&'a str, &'a TracedLink, bool)>>,
    /// Links by which something was reached.
    drawn: usize,
    full: bool,
}

impl<'a> TraceTree<'a> {
    fn of(facts: &'a TraceFacts, full: bool) -> Self {
        let events = facts.events.iter().map(|event| (event.id.as_str(), event)).collect();
        let mut met = BTreeSet::from([facts.of.as_str()]);
        let mut below: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        let mut drawn = 0;
        for link in &facts.links {
            let (left, right) = (link.left.as_str(), link.right.as_str());
            match (met.contains(left), met.contains(right)) {
                (true, true) => continue,
                (true, false) => below.entry(left).or_default().push((right, link, true)),
                (false, true) => below.entry(right).or_default().push((left, link, false)),
                (false, false) => {
                    // Said by an event of the tree about two others, or about another and itself.
                    let by = link.by.as_deref().filter(|by| met.contains(by)).unwrap_or(&facts.of);
                    below.entry(by).or_default().push((left, link, false));
                    if left != right {
                        below.entry(left).or_default().push((right, link, true));
                    }
                }
            }
            met.extend([left, right]);
            drawn += 1;
        }
        Self { facts, events, below, drawn, full }
    }

    fn render(&self) -> String {
        let mut out = format!("{}\n", self.named(&self.facts.of));
        let mut sections: BTreeMap<TraceSection, Vec<_>> = BTreeMap::new();
        for reached @ (_, link, outwards) in self.below.get(self.facts.of.as_str()).into_iter().flatten() {
            sections.entry(TraceSection::of(link, *outwards)).or_default().push(reached);
        }
        for (section, reached) in sections {
            let _ = writeln!(out, "{}", section.title());
            for (id, link, outwards) in reached {
                self.put(&mut out, id, link, *outwards);
            }
        }
        if self.facts.links.is_empty() {
            out.push_str("no links\n");
        }
        if let Some(more @ 1..) = self.facts.links.len().checked_sub(self.drawn) {
            let _ = writeln!(out, "and {more} more {} between these: --json", plural("link", more));
        }
        if !self.facts.cut.is_empty() {
            let _ = writeln!(out, "there is more: cut by {}", self.facts.cut.join(", "));
        }
        out
    }

    /// One event and what is below it.
    fn put(&self, out: &mut String, id: &'a str, link: &TracedLink, outwards: bool) {
        let mut open = vec![(id, link, outwards, 1)];
        while let Some((id, link, outwards, depth)) = open.pop() {
            let indent = "  ".repeat(depth);
            let void = if link.void { " [not its publisher's: counts for nothing]" } else { "" };
            let _ = writeln!(out, "{indent}{} {}{void}", self.phrases(id, link, outwards), self.named(id));
            let reached = self.below.get(id).into_iter().flatten().rev();
            open.extend(reached.map(|(id, link, outwards)| (*id, *link, *outwards, depth + 1)));
        }
    }

    /// All that relates the two, in the direction of the tree.
    fn phrases(&self, id: &str, first: &TracedLink, outwards: bool) -> String {
        let above = if outwards { &first.left } else { &first.right };
        let mut phrases: Vec<String> = Vec::new();
        for link in &self.facts.links {
            let phrase = if link.left == *above && link.right == id {
                link.relation.clone()
            } else if link.right == *above && link.left == id {
                Relation::parse(&link.relation).map_or_else(String::new, |relation| relation.inverse())
            } else {
                continue;
            };
            if !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        phrases.join(", ")
    }

    fn named(&self, id: &str) -> String {
        let Some(event) = self.events.get(id) else { return printable(id) };
        let name = if self.full { event.id.as_str() } else { short(&event.id) };
        let mut line = name.to_owned();
        line.extend(event.what.iter().map(|what| format!(" {what}")));
        let _ = write!(line, " {}", event.publisher);
        line.extend(event.created.iter().map(|at| format!(" {at}")));
        let takes = [("withdrawn", &event.withdrawn_by), ("replaced", &event.replaced_by)];
        for (mark, by) in takes {
            line.extend(
                by.iter().map(|by| format!(" [{mark} by {}]", if self.full { by } else { short(by) })),
            );
        }
        if !event.held {
            line.push_str(" [not held]");
        }
        line
    }
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::identity::PublisherName;
    use crate::time::Timestamp;

    pub fn id(publisher: &str, n: u8) -> String {
        format!("{publisher}:intelmq:{n:08x}-0000-4000-8000-000000000000")
    }

    pub fn event(publisher: &str, n: u8) -> TracedEvent {
        TracedEvent {
            id: id(publisher, n),
            publisher: PublisherName::parse(publisher).unwrap(),
            distance: 0,
            held: true,
            seq: Some(n.into()),
            created: Some(Timestamp(1_795_514_400_000)),
            tlp: Some("GREEN".to_owned()),
            what: Some("scanner".to_owned()),
            withdrawn_by: None,
            replaced_by: None,
        }
    }

    pub fn link(left: &str, relation: &str, right: &str) -> TracedLink {
        let opaque = !right.contains(":intelmq:");
        TracedLink {
            left: left.to_owned(),
            relation: relation.to_owned(),
            right: right.to_owned(),
            opaque,
            by: None,
            void: false,
        }
    }

    /// 1 with parent 2 of parent 3, child 4, withdrawn by 5, a ticket, and a claim of cert-ee's.
    pub fn facts() -> TraceFacts {
        let at = |n| id("cert-at", n);
        let mut events: Vec<TracedEvent> = (1..=5).map(|n| event("cert-at", n)).collect();
        events.push(event("cert-ee", 6));
        events[0].withdrawn_by = Some(at(5));
        events[2] = TracedEvent { held: false, created: None, what: None, seq: None, ..events[2].clone() };
        TraceFacts {
            schema: crate::control::TRACE_SCHEMA.to_owned(),
            of: at(1),
            events,
            links: vec![
                link(&at(1), "parent", &at(2)),
                link(&at(1), "alternate", "RT \"1\"\n<x>\u{1b}[2J"),
                link(&at(4), "parent", &at(1)),
                link(&at(5), "withdraws", &at(1)),
                TracedLink { void: true, ..link(&id("cert-ee", 6), "withdraws", &at(1)) },
                link(&at(4), "derived-from", &at(1)),
                link(&at(2), "parent", &at(3)),
                link(&at(4), "same-report", &at(5)),
            ],
            cut: vec!["depth".to_owned()],
        }
    }

    #[test]
    fn a_tree_has_each_event_once_under_the_link_that_reached_it_and_says_what_was_cut() {
        let expected = "\
00000001 scanner cert-at 2026-11-24T10:00:00.000Z [withdrawn by 00000005]
ancestors
  parent 00000002 scanner cert-at 2026-11-24T10:00:00.000Z
    parent 00000003 cert-at [not held]
descendants
  parent of, basis of 00000004 scanner cert-at 2026-11-24T10:00:00.000Z
related
  alternate RT \"1\"\\n<x>\\u{1b}[2J
  withdrawn by 00000005 scanner cert-at 2026-11-24T10:00:00.000Z
  withdrawn by 00000006 scanner cert-ee 2026-11-24T10:00:00.000Z [not its publisher's: counts for nothing]
and 2 more links between these: --json
there is more: cut by depth
";
        let facts = facts();
        assert_eq!(TraceTree::of(&facts, false).render(), expected);
        let full = TraceTree::of(&facts, true).render();
        assert!(full.contains(&format!("[withdrawn by {}]", id("cert-at", 5))), "{full}");
    }

    #[test]
    fn an_event_without_links_says_so() {
        let facts = TraceFacts { links: Vec::new(), cut: Vec::new(), ..facts() };
        let tree = TraceTree::of(&facts, false).render();
        assert!(tree.ends_with("]\nno links\n"), "{tree}");
    }

    #[test]
    fn a_claim_of_the_start_about_two_others_is_shown_below_it() {
        let (one, two, three) = (id("cert-at", 1), id("cert-at", 2), id("cert-at", 3));
        let claim = TracedLink { by: Some(one.clone()), ..link(&two, "related", &three) };
        let events = (1..=3).map(|n| event("cert-at", n)).collect();
        let facts = TraceFacts { of: one, events, links: vec![claim], ..facts() };
        let tree = TraceTree::of(&facts, false).render();
        assert!(tree.contains("\n    related 00000003"), "{tree}");
    }

    #[test]
    fn a_claim_that_relates_an_event_to_itself_ends_the_tree() {
        let (one, two) = (id("cert-at", 1), id("cert-ee", 2));
        let itself = TracedLink { by: Some(one.clone()), ..link(&two, "related", &two) };
        let named_like_it = TracedLink { opaque: true, ..link(&one, "alternate", &one) };
        let events = vec![event("cert-at", 1), event("cert-ee", 2)];
        let facts = TraceFacts { of: one, events, links: vec![itself, named_like_it], ..facts() };
        let expected = "\
00000001 scanner cert-at 2026-11-24T10:00:00.000Z
related
  related 00000002 scanner cert-ee 2026-11-24T10:00:00.000Z
and 1 more link between these: --json
there is more: cut by depth
";
        assert_eq!(TraceTree::of(&facts, false).render(), expected);
    }

    proptest::proptest! {
        #[test]
        fn whatever_links_say_each_place_stands_in_the_tree_once(
            said in proptest::collection::vec((0u8..6, 0u8..6, proptest::option::of(0u8..6)), 0..24),
        ) {
            let relations = ["parent", "related", "alternate", "withdraws"];
            let links = said.iter().enumerate().map(|(nth, (left, right, by))| TracedLink {
                by: by.map(|by| id("cert-at", by)),
                ..link(&id("cert-at", *left), relations[nth % 4], &id("cert-at", *right))
            });
            let facts = TraceFacts { of: id("cert-at", 0), events: Vec::new(), links: links.collect(), ..facts() };
            let tree = TraceTree::of(&facts, true).render();
            let named = |n: u8| tree.lines().filter(|line| line.ends_with(&id("cert-at", n))).count();
            for n in 0..6 {
                let met = n == 0 || said.iter().any(|(left, right, _)| *left == n || *right == n);
                proptest::prop_assert_eq!(named(n), usize::from(met), "{}", tree);
            }
        }
    }
}
