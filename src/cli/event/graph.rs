//! A trace for other programs: DOT for Graphviz, N-Triples for readers of RDF (docs/LINKS.md). Every link is there;
//! layout and reasoning are left to those programs.

use std::collections::HashMap;

use oxrdf::vocab::xsd;
use oxrdf::{LiteralRef, NamedNode, NamedNodeRef, TermRef, TripleRef};
use oxttl::NTriplesSerializer;
use petgraph::dot::Dot;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::cli::failure::CommandFailure;
use crate::control::{TraceFacts, TracedEvent};
use crate::link::Relation;

const CREATED: NamedNodeRef<'_> = NamedNodeRef::new_unchecked("http://purl.org/dc/terms/created");
const PUBLISHER: NamedNodeRef<'_> = NamedNodeRef::new_unchecked("http://purl.org/dc/terms/publisher");
const TYPE: NamedNodeRef<'_> = NamedNodeRef::new_unchecked("http://purl.org/dc/terms/type");

/// The IRI of an event is this and its full name.
const EVENT_BASE: &str = "urn:intelmesh:";

/// One digraph; labels are escaped by the writer.
pub(super) fn dot(facts: &TraceFacts) -> String {
    let mut graph: DiGraph<String, String> = DiGraph::new();
    let mut nodes: HashMap<&str, NodeIndex> = HashMap::new();
    for event in &facts.events {
        nodes.insert(&event.id, graph.add_node(label(event)));
    }
    for link in &facts.links {
        let [left, right] = [&link.left, &link.right]
            .map(|end| *nodes.entry(end.as_str()).or_insert_with(|| graph.add_node(printable(end))));
        let void = if link.void { " (counts for nothing)" } else { "" };
        graph.add_edge(left, right, format!("{}{void}", link.relation));
    }
    format!("{}", Dot::new(&graph))
}

fn label(event: &TracedEvent) -> String {
    let mut lines = vec![format!("{} {}", short(&event.id), event.what.as_deref().unwrap_or("not held"))];
    lines.push(event.publisher.to_string());
    lines.extend(event.created.map(|at| at.to_string()));
    lines.extend(event.withdrawn_by.as_ref().map(|_| "withdrawn".to_owned()));
    lines.extend(event.replaced_by.as_ref().map(|_| "replaced".to_owned()));
    lines.join("\n")
}

/// Writes links as triples, and of each event its publisher, time and type. A link that counts for nothing is left out:
/// readers of triples take them for true.
pub(super) fn ntriples(facts: &TraceFacts) -> Result<Vec<u8>, CommandFailure> {
    let bug = |what: &dyn std::fmt::Display| CommandFailure::could_not(format!("bug: {what}; please report"));
    let iri = |text: String| NamedNode::new(text).map_err(|error| bug(&error));
    let mut out = NTriplesSerializer::new().for_writer(Vec::new());
    let mut put = |subject: &NamedNode, predicate: NamedNodeRef<'_>, object: TermRef<'_>| {
        out.serialize_triple(TripleRef::new(subject, predicate, object)).map_err(|error| bug(&error))
    };
    for event in &facts.events {
        let subject = iri(format!("{EVENT_BASE}{}", event.id))?;
        let publisher = LiteralRef::new_simple_literal(event.publisher.as_str());
        put(&subject, PUBLISHER, publisher.into())?;
        if let Some(created) = event.created {
            let created = created.to_string();
            put(&subject, CREATED, LiteralRef::new_typed_literal(&created, xsd::DATE_TIME).into())?;
        }
        if let Some(what) = &event.what {
            put(&subject, TYPE, LiteralRef::new_simple_literal(what).into())?;
        }
    }
    for link in facts.links.iter().filter(|link| !link.void) {
        let Some(relation) = Relation::parse(&link.relation) else { continue };
        let (subject, predicate) = (iri(format!("{EVENT_BASE}{}", link.left))?, iri(relation.predicate())?);
        if link.opaque {
            put(&subject, predicate.as_ref(), LiteralRef::new_simple_literal(&link.right).into())?;
        } else {
            let object = iri(format!("{EVENT_BASE}{}", link.right))?;
            put(&subject, predicate.as_ref(), object.as_ref().into())?;
        }
    }
    Ok(out.finish())
}

/// The first 8 characters of the UUID, with which `event show` finds it.
pub(super) fn short(id: &str) -> &str {
    let uuid = id.rsplit(':').next().unwrap_or(id);
    uuid.get(..8).unwrap_or(uuid)
}

/// Escapes characters that would move a terminal's cursor: an opaque id comes from outside.
pub(super) fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use oxttl::NTriplesParser;

    use super::super::trace::tests::{facts, id};
    use super::*;

    #[test]
    fn triples_read_back_as_the_links_that_count_and_opaque_ids_as_they_were() {
        let text = ntriples(&facts()).ok().unwrap();
        let triples: Vec<_> = NTriplesParser::new().for_slice(&text).map(Result::unwrap).collect();
        let event = |n| format!("<urn:intelmesh:{}>", id("cert-at", n));
        let has = |wanted: String| triples.iter().any(|triple| triple.to_string() == wanted);
        let prov = "<http://www.w3.org/ns/prov#wasDerivedFrom>";
        assert!(has(format!("{} {prov} {}", event(1), event(2))), "{triples:?}");
        let retracts = "http://purl.org/spar/cito/retracts";
        let withdrawals = triples.iter().filter(|triple| triple.predicate.as_str() == retracts);
        assert_eq!(withdrawals.count(), 1, "the claim of another counts for nothing");
        let ticket = triples.iter().find_map(|triple| match &triple.object {
            oxrdf::Term::Literal(text) if triple.predicate.as_str().ends_with("identifier") => {
                Some(text.value())
            }
            _ => None,
        });
        assert_eq!(ticket, Some("RT \"1\"\n<x>\u{1b}[2J"));
    }

    #[test]
    fn labels_of_dot_cannot_leave_their_quotes() {
        let text = dot(&facts());
        assert!(text.starts_with("digraph {\n") && text.ends_with("}\n"), "{text}");
        let opaque = text.lines().find(|line| line.contains("RT ")).unwrap();
        assert!(opaque.contains(r#"label = "RT \"1\"\\n<x>\\u{1b}[2J""#), "{opaque}");
        let edges = text.lines().filter(|line| line.contains(" -> ")).count();
        assert_eq!(edges, facts().links.len());
    }
}
