//! The view of one envelope that a filter gets: `event`, the members of its payload, and `meta`, the signed fields
//! beside it and the hop path. Members are read when they are asked for; a sealed body is never looked into.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::value::{JsonMap, JsonMembers, JsonValue};
use crate::envelope::{Body, Core};
use crate::identity::{HopPath, PublisherName};
use crate::limits::FILTER_STEPS_MAX;
use crate::link::{Link, LinkTarget};

/// The members of `meta`. `source`, `expires` and `parent` may be absent.
pub(super) const META: [&str; 15] = [
    "id",
    "publisher",
    "project",
    "source",
    "path",
    "tlp",
    "to",
    "type",
    "format",
    "created",
    "expires",
    "parent",
    "links",
    "ext",
    "sealed",
];

/// Returns the flat events of a body in another format than IntelMQ's; none if it cannot be decoded. The decoders know
/// the filters' callers, so this module cannot name them.
pub type BodyDecoder = fn(&str, &[u8]) -> Arc<[Vec<u8>]>;

/// One envelope, for any number of filters. The payload is read once, by the first that asks for it.
pub struct FilterFacts<'a> {
    meta: MetaFacts<'a>,
    event: OnceLock<Option<JsonMembers<'a>>>,
    for_reader: bool,
}

impl<'a> FilterFacts<'a> {
    /// Takes `path` as it came: it ends with the source, and is empty if the event was submitted here.
    pub fn new(core: &'a Core, path: &'a HopPath) -> Self {
        Self { meta: MetaFacts { core, path }, event: OnceLock::new(), for_reader: false }
    }

    /// Asks for a reader of this node, who gets a message of several events for the sake of one.
    #[must_use]
    pub fn for_reader(self) -> Self {
        Self { for_reader: true, ..self }
    }

    pub(super) fn is_for_reader(&self) -> bool {
        self.for_reader
    }

    /// Returns the decoded events of a carried message, none if it cannot be decoded; `None` for other bodies.
    pub(super) fn carried(&self, decoder: Option<BodyDecoder>) -> Option<Arc<[Vec<u8>]>> {
        let core = self.meta.core;
        let format = core.format.as_str();
        match &core.body {
            Body::Plain(payload) if is_decoded(format) => {
                Some(decoder.map_or_else(Arc::default, |decoder| decoder(format, payload)))
            }
            _ => None,
        }
    }

    fn event(&self) -> Option<&JsonMembers<'a>> {
        let Body::Plain(payload) = &self.meta.core.body else { return None };
        self.event.get_or_init(|| JsonMembers::parse(payload)).as_ref()
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.meta.core.body.is_sealed()
    }

    /// Returns the cost of looking at all of the envelope once, with `bytes` of payload, in steps.
    fn weight(&self, bytes: usize) -> u64 {
        let ext = self.meta.core.ext.as_ref().map_or(0, |ext| ext.len());
        1 + (bytes + ext) as u64 / 1_024
    }
}

/// Steps that one envelope may cost a filter, over all of its events.
pub(super) struct FilterBudget(AtomicU64);

impl FilterBudget {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(FILTER_STEPS_MAX))
    }
}

/// One event of a carried message.
pub(super) struct CarriedPart<'a> {
    pub members: JsonMembers<'a>,
    pub bytes: usize,
}

/// One run of a filter over the facts.
pub(super) struct FilterRun<'f, 'a> {
    facts: &'f FilterFacts<'a>,
    /// One event of a carried message, instead of the body.
    part: Option<&'f CarriedPart<'f>>,
    weight: u64,
    /// Steps that are left; 0 once they were not enough.
    left: &'f AtomicU64,
}

impl<'f, 'a> FilterRun<'f, 'a> {
    pub(crate) fn new(
        facts: &'f FilterFacts<'a>,
        part: Option<&'f CarriedPart<'f>>,
        budget: &'f FilterBudget,
    ) -> Self {
        let bytes = part.map_or_else(|| facts.meta.core.body.bytes().len(), |part| part.bytes);
        Self { facts, part, weight: facts.weight(bytes), left: &budget.0 }
    }

    /// Takes `steps`, each as expensive as the envelope is large. Returns false if they are not left.
    pub(crate) fn spend(&self, steps: u64) -> bool {
        self.spend_plain(steps.saturating_mul(self.weight))
    }

    /// Takes `cost` as it is.
    fn spend_plain(&self, cost: u64) -> bool {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(cost);
        self.left.store(left, Ordering::Relaxed);
        left > 0
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// Bodies of other formats are of their own shape, which a filter does not see.
fn is_decoded(format: &str) -> bool {
    matches!(format, "idea" | "n6" | "misp")
}

static TRUE: std::sync::LazyLock<cel::common::types::CelBool> = std::sync::LazyLock::new(|| true.into());

impl VariableResolver for FilterRun<'_, '_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match name {
            "event" => match self.part {
                Some(part) => Some(CowVal::Borrowed(&part.members as &dyn Val)),
                None => self.facts.event().map(|event| CowVal::Borrowed(event as &dyn Val)),
            },
            "meta" => Some(CowVal::Borrowed(&self.facts.meta)),
            // `lower` puts such a name before each round of a loop, and expensive functions ask for one.
            _ => {
                let steps = name.strip_prefix('@')?;
                let paid = match steps.strip_prefix('=') {
                    Some(cost) => self.spend_plain(cost.parse().ok()?),
                    None => self.spend(steps.parse().ok()?),
                };
                paid.then(|| CowVal::Borrowed(&*TRUE as &dyn Val))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct MetaFacts<'a> {
    core: &'a Core,
    path: &'a HopPath,
}

impl fmt::Debug for MetaFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("meta")
    }
}

impl<'a> MetaFacts<'a> {
    fn member(&self, key: &str) -> Option<JsonValue<'a>> {
        let core = self.core;
        let owned = |text: String| JsonValue::Text(CelString::from(text));
        Some(match key {
            "id" => owned(core.id.to_string()),
            "publisher" => JsonValue::text(core.id.publisher.as_str()),
            "project" => JsonValue::text(core.id.project.as_str()),
            "source" => JsonValue::text(self.path.last()?.as_str()),
            "path" => names(self.path.hops().iter()),
            "tlp" => JsonValue::text(core.tlp.as_str()),
            "to" => names(core.to.iter()),
            "type" => JsonValue::text(core.event_type.as_str()),
            "format" => JsonValue::text(core.format.as_str()),
            "created" => owned(core.created.to_string()),
            "expires" => owned(core.expires?.to_string()),
            "parent" => owned(core.parent.as_ref()?.to_string()),
            "links" => JsonValue::List(core.links.iter().map(link).collect()),
            "sealed" => JsonValue::Bool(core.body.is_sealed().into()),
            _ => return None,
        })
    }

    fn ext(&self) -> JsonMembers<'a> {
        self.core.ext.as_ref().and_then(|ext| JsonMembers::parse(ext)).unwrap_or_else(JsonMembers::empty)
    }
}

fn names<'a>(names: impl Iterator<Item = &'a PublisherName>) -> JsonValue<'a> {
    JsonValue::List(names.map(|name| JsonValue::text(name.as_str())).collect())
}

fn link(link: &Link) -> JsonValue<'_> {
    let text =
        |name: &'static str, value: String| (CelString::from(name), JsonValue::Text(CelString::from(value)));
    let right = match &link.right {
        LinkTarget::Event(id) => id.to_string(),
        LinkTarget::Opaque(opaque) => opaque.clone(),
    };
    let relation = (CelString::from("type"), JsonValue::text(link.relation.as_str()));
    let left = link.left.as_ref().map(|left| text("left", left.to_string()));
    JsonValue::Map([relation, text("right", right)].into_iter().chain(left).collect::<JsonMap<'_>>())
}

static MAP: Type = MAP_TYPE;

impl Val for MetaFacts<'_> {
    fn get_type(&self) -> &Type {
        &MAP
    }
    fn cel_type() -> &'static Type {
        &MAP
    }
    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }
    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Container for MetaFacts<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        match self.get(key) {
            Ok(_) => Ok(true),
            Err(ExecutionError::NoSuchKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Indexer for MetaFacts<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(key) = key.downcast_ref::<CelString>() else {
            let got = key.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "string".to_owned() });
        };
        if key.inner() == "ext" {
            return Ok(CowVal::owned(self.ext()));
        }
        let member = self.member(key.inner());
        member
            .map(JsonValue::into_cow)
            .ok_or_else(|| ExecutionError::no_such_key(&format!("meta.{:.80}", key.inner())))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}
