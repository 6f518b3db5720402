//! Filters: an expression of CEL (docs/FILTERS.md) decides whether one envelope goes on. It is compiled once, and
//! bounded in two ways: by what it can ask, at load, and by its cost on one event. In reading order: `lower` (which
//! allows and prepares), `constant` and `functions` (which can be called), `facts` and `value` (which an expression
//! sees), `lists`, `fault`.
//!
//! Pure: no file is read here. `policy` decides what follows from an answer, and from a failure.

mod constant;
mod facts;
mod fault;
mod functions;
mod lists;
mod literals;
mod lower;
mod names;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, IdedExpr, Value};
use sha2::{Digest as _, Sha256};

pub use facts::{BodyDecoder, FilterFacts};
pub(crate) use fault::FilterFaultKind;
#[cfg(feature = "node")]
pub(crate) use fault::nearest;
pub use fault::{FilterFailure, FilterFault};
pub use lists::{FilterList, FilterLists, ListFault, NoLists};
pub(crate) use names::NamesUsed;

use crate::limits::{FILTER_BYTES_MAX, FILTER_STACK_BYTES};
use facts::{CarriedPart, FilterBudget, FilterRun};
use lower::{Lowered, Lowering};
use value::JsonMembers;

/// CEL's own functions and macros, without optional values.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A compiled filter. Two are equal if they have the same text and lists.
///
/// ```
/// use intelmesh::{Filter, NoLists};
///
/// let filter = Filter::compile(r#"event["source.geolocation.cc"] in ["AT", "EE"]"#, &NoLists)?;
/// assert!(!filter.reads_meta());
/// let fault = Filter::compile("event[", &NoLists).unwrap_err();
/// assert_eq!(fault.line, 1);
/// # Ok::<(), intelmesh::FilterFault>(())
/// ```
pub struct Filter {
    source: String,
    digest: [u8; 32],
    expression: IdedExpr,
    steps: u64,
    functions: Context<'static, 'static>,
    reads_meta: bool,
    /// Carried messages are decoded only for filters that look at their content.
    reads_event: bool,
    /// Without one, it has no answer for content that is carried.
    decoder: Option<BodyDecoder>,
    /// Keys that its text names: a failure may name only these.
    keys: BTreeSet<String>,
    names: NamesUsed,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({:?})", self.source)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Filter {}

impl Filter {
    /// Reads `source`; the lists that it names, and the decoder of carried messages, come from `lists_of`.
    ///
    /// # Errors
    /// The first [`FilterFault`]; the operator's, or the client's.
    pub fn compile(source: &str, lists_of: &dyn FilterLists) -> Result<Self, FilterFault> {
        let fault = |kind| FilterFault { line: 1, column: 1, kind };
        if source.len() > FILTER_BYTES_MAX {
            return Err(fault(FilterFaultKind::TooLong(source.len())));
        }
        if source.trim().is_empty() {
            return Err(fault(FilterFaultKind::Syntax("the filter is empty".to_owned())));
        }
        // The parser recurses with what it reads, deeper than the stacks of our threads allow.
        let lowered = std::thread::scope(|scope| {
            let reading =
                std::thread::Builder::new().name("filter".to_owned()).stack_size(FILTER_STACK_BYTES);
            let reading = reading.spawn_scoped(scope, || read(source, lists_of));
            let reading = reading.map_err(|error| fault(FilterFaultKind::NoThread(error.to_string())))?;
            reading
                .join()
                .unwrap_or_else(|_| Err(fault(FilterFaultKind::Syntax("not understood".to_owned()))))
        })?;
        let Lowered { expression, steps, prepared, lists, reads_meta, reads_event, keys, names } = lowered;
        let mut functions = Context::with_env(Arc::clone(&ENV));
        functions::register_common(&mut functions);
        prepared.into_iter().for_each(|(name, prepared)| prepared.register(&name, &mut functions));
        let digest = digest(source, &lists);
        Ok(Self {
            source: source.to_owned(),
            digest,
            expression,
            steps,
            functions,
            reads_meta,
            reads_event,
            decoder: lists_of.decoder(),
            keys,
            names,
        })
    }

    /// Returns the text of the filter.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the digest of its content: its text, and the lists that it reads.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Names of IntelMQ that its text uses.
    pub fn names(&self) -> &NamesUsed {
        &self.names
    }

    /// Returns true if it looks at anything beside the payload.
    pub fn reads_meta(&self) -> bool {
        self.reads_meta
    }

    /// Checks whether it lets this envelope through. A carried message of several events goes to a peer if all of them
    /// go through, because none may get where it was not to go; a reader gets it if any of them does.
    ///
    /// # Errors
    /// [`FilterFailure`] if it has no answer for this envelope. Callers take it for a no, and count it.
    pub fn admits(&self, facts: &FilterFacts<'_>) -> Result<bool, FilterFailure> {
        let carried = if self.reads_event { facts.carried(self.decoder) } else { None };
        let budget = FilterBudget::new();
        let Some(carried) = carried else {
            return self.admits_event(FilterRun::new(facts, None, &budget), facts);
        };
        if carried.is_empty() {
            return Err(FilterFailure::Unreadable);
        }
        let decides = facts.is_for_reader();
        for event in carried.iter() {
            let members = JsonMembers::parse(event).ok_or(FilterFailure::Unreadable)?;
            let part = CarriedPart { members, bytes: event.len() };
            if self.admits_event(FilterRun::new(facts, Some(&part), &budget), facts)? == decides {
                return Ok(decides);
            }
        }
        Ok(!decides)
    }

    fn admits_event(&self, run: FilterRun<'_, '_>, facts: &FilterFacts<'_>) -> Result<bool, FilterFailure> {
        if !run.spend(self.steps) {
            return Err(FilterFailure::TooDear);
        }
        let mut scope = self.functions.new_inner_scope();
        scope.set_variable_resolver(&run);
        // Not `resolve_val`, which is compiled here again: without optimisation it takes far more of the stack.
        let answer = Value::resolve(&self.expression, &scope);
        // A loop that was cut short may have been passed over by `||`: its answer would be none.
        if run.is_spent() {
            return Err(FilterFailure::TooDear);
        }
        match answer {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(answer) => Err(FilterFailure::NotBoolean(answer.type_of().to_string())),
            // A list or map of the event.
            Err(cel::ExecutionError::UnexpectedType { got, want }) if want.contains("representable") => {
                Err(FilterFailure::NotBoolean(got))
            }
            Err(cel::ExecutionError::UndeclaredReference(_)) if facts.is_sealed() => {
                Err(FilterFailure::Sealed)
            }
            Err(cel::ExecutionError::UndeclaredReference(_)) => Err(FilterFailure::Unreadable),
            Err(error) => Err(FilterFailure::of(error, &self.keys)),
        }
    }
}

fn digest(source: &str, lists: &BTreeMap<String, Arc<FilterList>>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"intelmesh/filter/1");
    hash.update((source.len() as u64).to_be_bytes());
    hash.update(source);
    for (name, list) in lists {
        hash.update(name);
        hash.update(b"\0");
        hash.update(list.digest());
    }
    hash.finalize().into()
}

fn read(source: &str, lists: &dyn FilterLists) -> Result<Lowered, FilterFault> {
    let program = ENV.compile(source).map_err(|errors| {
        // Later faults follow from the text that the parser could not read.
        let follows = |text: &str| text.starts_with("Incomplete");
        let first = errors.errors.iter().min_by_key(|error| (follows(&error.msg), error.pos));
        let (line, column) = first.map_or((1, 1), |error| error.pos);
        let place = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
        let (line, column) = (place(line), place(column));
        let said = first.map_or("not understood", |error| error.msg.as_str());
        FilterFault { line, column, kind: FilterFaultKind::syntax(said, word_before(source, line, column)) }
    })?;
    Lowering::new(source, program.source_info(), lists).run(program.expression())
}

/// Returns the word before a place: it often explains text that the parser could not read.
fn word_before(source: &str, line: usize, column: usize) -> &str {
    let line = source.lines().nth(line - 1).unwrap_or("");
    let end = line.char_indices().nth(column - 1).map_or(line.len(), |(at, _)| at);
    let before = line[..end].trim_end();
    before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("")
}

#[cfg(test)]
mod tests;
