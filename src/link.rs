//! A typed relation between two events (decisions/0013), and the vocabulary of types. Links are claims of the publisher
//! that signed them; a consumer may ignore them. Which of them count is not decided here.

use crate::identity::EventId;

/// (left, type, right); `left` left out is the event that carries the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The event that the statement is about; `None`: the event that carries the link.
    pub left: Option<EventId>,
    /// The predicate.
    pub relation: Relation,
    /// The other side.
    pub right: LinkTarget,
}

/// The target of a link: an event, or (for `alternate`) an opaque id of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// An event.
    Event(EventId),
    /// A name from outside the mesh.
    Opaque(String),
}

/// The type of a link. The vocabulary is open: an unknown one is kept under its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation(String);

/// One type of the documented vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub name: &'static str,
    /// The statement that it makes about `left` and `right`.
    pub meaning: &'static str,
    /// How it reads from right to left; the same word if the link holds both ways.
    pub inverse: &'static str,
    /// The relationship type of MISP's objects, read from left to right.
    pub misp: &'static str,
    /// The RDF predicate, an IRI, with left as subject and right as object.
    pub predicate: &'static str,
}

/// The prefix of the RDF predicate if no ontology has the type: this and its name.
pub(crate) const PREDICATE_BASE: &str = "urn:intelmesh:relation:";

const fn term(
    name: &'static str,
    inverse: &'static str,
    (misp, predicate): (&'static str, &'static str),
    meaning: &'static str,
) -> Term {
    Term { name, meaning, inverse, misp, predicate }
}

/// The documented vocabulary; docs/LINKS.md has it as a table.
pub const VOCABULARY: [Term; 11] = [
    term(
        "parent",
        "parent of",
        ("child-of", "http://www.w3.org/ns/prov#wasDerivedFrom"),
        "left was made from right, which was handed off, taken apart or enriched; the core's own field",
    ),
    term(
        "derived-from",
        "basis of",
        ("derived-from", "http://purl.org/dc/terms/source"),
        "left rests on right, among other sources",
    ),
    term(
        "same-report",
        "same-report",
        ("related-to", "urn:intelmesh:relation:same-report"),
        "both come from one report, or from one event with lists in it",
    ),
    term(
        "same-incident",
        "same-incident",
        ("related-to", "urn:intelmesh:relation:same-incident"),
        "both belong to one incident",
    ),
    term(
        "related",
        "related",
        ("related-to", "http://purl.org/dc/terms/relation"),
        "both have to do with each other, in a way that is not stated",
    ),
    term(
        "source-of",
        "has source",
        ("related-to", "urn:intelmesh:relation:source-of"),
        "left has one source of the incident in right, which has many sources",
    ),
    term(
        "target-of",
        "has target",
        ("related-to", "urn:intelmesh:relation:target-of"),
        "left has one target of the incident in right, which has many targets",
    ),
    term(
        "replaces",
        "replaced by",
        ("supersedes", "http://purl.org/dc/terms/replaces"),
        "left is a better version of right; counts among one publisher's own events",
    ),
    term(
        "withdraws",
        "withdrawn by",
        ("annotates", "http://purl.org/spar/cito/retracts"),
        "right should not have been published; counts among one publisher's own events",
    ),
    term(
        "alternate",
        "alternate of",
        ("references", "http://purl.org/dc/terms/identifier"),
        "right, any text, names left in another system (`CESNET-RT#2235`)",
    ),
    term(
        "corroborates",
        "corroborated by",
        ("duplicate-of", "http://purl.org/spar/cito/confirms"),
        "left confirms right from its own knowledge; also shown between events with the same content",
    ),
];

impl Term {
    pub fn of(relation: &str) -> Option<&'static Self> {
        VOCABULARY.iter().find(|term| term.name == relation)
    }
}

impl Relation {
    /// Reads 1 to 32 of `a-z`, `0-9` and `-`; `_` reads as `-`.
    pub fn parse(text: &str) -> Option<Self> {
        crate::identity::ProjectName::parse(text).ok().map(|name| Self(name.as_str().to_owned()))
    }

    /// Returns the relation that a core states with its own field.
    pub fn parent() -> Self {
        Self("parent".to_owned())
    }

    /// Returns the relation between two events that have the same content id.
    pub fn corroborates() -> Self {
        Self("corroborates".to_owned())
    }

    /// Returns the relation as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true for those of the documented vocabulary that relate events alone, so that a reader may rely on
    /// finding one. `alternate`, and types not known here, may point at an opaque id.
    pub fn needs_event(&self) -> bool {
        self.as_str() != "alternate" && Term::of(self.as_str()).is_some()
    }

    /// Returns true if it takes a published event back. Such a link counts only from the same publisher.
    pub fn takes_back(&self) -> bool {
        matches!(self.as_str(), "withdraws" | "replaces")
    }

    /// Returns how it reads from right to left.
    pub fn inverse(&self) -> String {
        Term::of(self.as_str()).map_or_else(|| format!("{} of", self.0), |term| term.inverse.to_owned())
    }

    /// Returns the RDF predicate.
    pub fn predicate(&self) -> String {
        Term::of(self.as_str())
            .map_or_else(|| format!("{PREDICATE_BASE}{}", self.0), |term| term.predicate.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_is_a_relation_and_has_a_predicate_of_its_own() {
        for term in VOCABULARY {
            let relation = Relation::parse(term.name).expect("a relation");
            assert_eq!(relation.predicate(), term.predicate);
            let shared = VOCABULARY.iter().filter(|other| other.predicate == term.predicate).count();
            assert_eq!(shared, 1, "{}", term.predicate);
            let own = term.predicate.strip_prefix(PREDICATE_BASE);
            assert!(own.is_none_or(|name| name == term.name), "{}", term.predicate);
        }
        assert_eq!(Relation::parse("made-up").unwrap().predicate(), "urn:intelmesh:relation:made-up");
    }
}
