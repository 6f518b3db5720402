//! Functions of filters beside CEL's own. If something can be prepared (a pattern, a list of networks), it is given as
//! a constant, checked and built at load, so that an event costs a look and no more.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use cel::common::types::{CelBool, CelInt, CelList, CelString, CelUInt, Kind};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};
use regex::Regex;

use super::lists::{DomainList, NetworkList, as_number, domain, network};
use crate::limits::FILTER_TEXT_BYTES_MAX;
use crate::time::Timestamp;

type FunctionAnswer<'context, 'call> = Result<CowVal<'context, 'call>, ExecutionError>;

/// A function with everything that it needs, ready to be called with the values that change.
pub(super) enum PreparedCall {
    /// `size`: that of its automaton, in bytes, rounded up.
    Matches {
        pattern: Regex,
        size: u64,
    },
    Cidr(Arc<NetworkList>),
    Asn(Arc<HashSet<u32>>),
    Under(Arc<DomainList>),
    Country(BTreeSet<String>),
    Classified(BTreeSet<String>),
    In(CelList<'static>),
}

/// The fields that a function reads when it is given the whole event: any one of them is enough.
const ADDRESSES: &[&str] = &["source.ip", "destination.ip", "source.network", "destination.network"];
const AS_NUMBERS: &[&str] = &["source.asn", "destination.asn"];
const NAMES: &[&str] = &["source.fqdn", "destination.fqdn", "source.reverse_dns", "destination.reverse_dns"];
const COUNTRIES: &[&str] = &["source.geolocation.cc", "destination.geolocation.cc"];
const CLASSIFICATION: &[&str] = &["classification.type", "classification.taxonomy"];

/// The cost of a pattern: the bytes of a text times those of the automaton, over this, are steps. A pattern of 4 KiB
/// may be looked for in the largest event, one of 64 KiB (`\\w` a few times) in 128 KiB.
const PATTERN_BYTES_A_STEP: u64 = 2 * 1024;

/// The cost of a name: it and all above it are looked for.
const LOOKS_FOR_A_NAME: u64 = 8;

impl PreparedCall {
    /// Puts it into `context` under `name`, to be called with the value alone.
    pub(crate) fn register(self, name: &str, context: &mut Context<'_, '_>) {
        let function: cel_function::Function = Box::new(move |call| self.call(call));
        // Names with `#` cannot clash with others.
        let _ = context.add_function(name, function);
    }

    fn call<'context, 'call>(
        &self,
        call: &FunctionContext<'context, 'call>,
    ) -> FunctionAnswer<'context, 'call> {
        let value = argument(call, 0)?;
        let found = match self {
            Self::Matches { pattern, size } => {
                let text = text(call, value)?;
                // At worst each byte is compared with all of the automaton.
                spend(call, text.len() as u64 * size / PATTERN_BYTES_A_STEP)?;
                pattern.is_match(text)
            }
            Self::In(list) => list.inner().iter().any(|element| element.equals(value)),
            Self::Cidr(networks) => any(call, value, (ADDRESSES, networks.steps()), &|value| {
                let address = text(call, value)?;
                let network = network(address).ok_or_else(|| call.error("this is no address"))?;
                Ok(networks.contain(network))
            })?,
            Self::Asn(numbers) => any(call, value, (AS_NUMBERS, 1), &|value| {
                Ok(numbers.contains(&asn(value).ok_or_else(|| call.error("this is no AS number"))?))
            })?,
            Self::Under(domains) => any(call, value, (NAMES, LOOKS_FOR_A_NAME), &|value| {
                let name = domain(text(call, value)?).ok_or_else(|| call.error("this is no domain name"))?;
                Ok(domains.contain(&name))
            })?,
            Self::Country(codes) => any(call, value, (COUNTRIES, 1), &|value| {
                Ok(codes.contains(&text(call, value)?.to_ascii_uppercase()))
            })?,
            Self::Classified(words) => any(call, value, (CLASSIFICATION, 1), &|value| {
                Ok(words.contains(&text(call, value)?.to_ascii_lowercase()))
            })?,
        };
        Ok(CowVal::owned(CelBool::from(found)))
    }
}

mod cel_function {
    use super::{FunctionAnswer, FunctionContext};

    pub(crate) type Function = Box<
        dyn for<'context, 'call> Fn(&mut FunctionContext<'context, 'call>) -> FunctionAnswer<'context, 'call>
            + Send
            + Sync,
    >;
}

fn argument<'c, 'call>(
    call: &'c FunctionContext<'_, 'call>,
    at: usize,
) -> Result<&'c (dyn Val + 'call), ExecutionError> {
    let argument =
        call.args.get(at).ok_or_else(|| ExecutionError::invalid_argument_count(at + 1, call.args.len()))?;
    Ok(&**argument)
}

fn text<'c>(call: &FunctionContext<'_, '_>, value: &'c dyn Val) -> Result<&'c str, ExecutionError> {
    let text = value.downcast_ref::<CelString>().map(|text| text.inner());
    text.ok_or_else(|| wrong_kind(call, value))
}

fn wrong_kind(call: &FunctionContext<'_, '_>, value: &dyn Val) -> ExecutionError {
    ExecutionError::no_such_overload(call.name, vec![value.get_type().name().to_owned()])
}

/// Pays for a call that costs more than the size of the event shows.
fn spend(call: &FunctionContext<'_, '_>, steps: u64) -> Result<(), ExecutionError> {
    // A variable that only the run knows: `facts`.
    match steps == 0 || call.ptx.get_variable(format!("@={steps}")).is_some() {
        true => Ok(()),
        false => Err(call.error("it would take too long")),
    }
}

/// Tests one value; of a list any element, each for so many steps; of the whole event any of the fields that it has. As
/// with `||`, one that is true is enough, even if another one fails.
fn any(
    call: &FunctionContext<'_, '_>,
    value: &dyn Val,
    (fields, steps): (&[&'static str], u64),
    test: &dyn Fn(&dyn Val) -> Result<bool, ExecutionError>,
) -> Result<bool, ExecutionError> {
    let mut failed = None;
    let mut is_one = |tested: Result<bool, ExecutionError>| {
        tested.unwrap_or_else(|error| {
            failed.get_or_insert(error);
            false
        })
    };
    let found = match value.get_type().kind() {
        Kind::List => {
            let list = value.as_iterable().ok_or_else(|| wrong_kind(call, value))?;
            let count = value.as_sizer().map_or(0, |sizer| *sizer.size().inner());
            spend(call, steps.saturating_mul(count.unsigned_abs()))?;
            let mut elements = list.iter();
            let mut found = false;
            while let Some(element) = elements.next() {
                found = is_one(test(element));
                if found {
                    break;
                }
            }
            found
        }
        Kind::Map => {
            let event = value.as_indexer().ok_or_else(|| wrong_kind(call, value))?;
            fields.iter().any(|field| match event.get(&CelString::from(*field)) {
                Ok(value) => is_one(test(&*value)),
                Err(ExecutionError::NoSuchKey(_)) => false,
                Err(error) => is_one(Err(error)),
            })
        }
        _ => is_one(test(value)),
    };
    match failed {
        Some(error) if !found => Err(error),
        _ => Ok(found),
    }
}

fn asn(value: &dyn Val) -> Option<u32> {
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return u32::try_from(*number.inner()).ok();
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return u32::try_from(*number.inner()).ok();
    }
    as_number(value.downcast_ref::<CelString>()?.inner())
}

/// Registers the functions that need no preparing.
pub(super) fn register_common(context: &mut Context<'_, '_>) {
    let common: [(&str, cel_function::Function); 5] = [
        ("field", Box::new(|call| field(call))),
        ("lower", Box::new(|call| lower(call))),
        ("time", Box::new(|call| time(call))),
        ("@add", Box::new(|call| add(call))),
        ("@scalar", Box::new(|call| scalar(call))),
    ];
    for (name, function) in common {
        // None of these is CEL's own.
        let _ = context.add_function(name, function);
    }
}

/// Implements `field(map, key, default)`.
fn field<'context, 'call>(call: &FunctionContext<'context, 'call>) -> FunctionAnswer<'context, 'call> {
    let (map, key) = (argument(call, 0)?, argument(call, 1)?);
    let default = call.args.get(2).ok_or_else(|| ExecutionError::invalid_argument_count(3, 2))?;
    text(call, key)?;
    let map = map.as_indexer().ok_or_else(|| wrong_kind(call, map))?;
    match map.get(key) {
        Ok(value) => Ok(CowVal::Owned(value.into_owned())),
        Err(ExecutionError::NoSuchKey(_)) => Ok(default.clone()),
        Err(error) => Err(error),
    }
}

fn lower<'context, 'call>(call: &FunctionContext<'context, 'call>) -> FunctionAnswer<'context, 'call> {
    Ok(CowVal::owned(CelString::from(text(call, argument(call, 0)?)?.to_lowercase())))
}

/// Milliseconds since 1970 of an RFC 3339 time.
fn time<'context, 'call>(call: &FunctionContext<'context, 'call>) -> FunctionAnswer<'context, 'call> {
    let at = Timestamp::parse_rfc3339(text(call, argument(call, 0)?)?);
    let at = at
        .and_then(|at| i64::try_from(at.0).ok())
        .ok_or_else(|| call.error("this is no time with its offset"))?;
    Ok(CowVal::owned(CelInt::from(at)))
}

/// Implements `+` of numbers, and of short texts: nothing grows without bound.
fn add<'context, 'call>(call: &FunctionContext<'context, 'call>) -> FunctionAnswer<'context, 'call> {
    let (left, right) = (argument(call, 0)?, argument(call, 1)?);
    if let (Some(left), Some(right)) = (left.downcast_ref::<CelString>(), right.downcast_ref::<CelString>()) {
        if left.len() + right.len() > FILTER_TEXT_BYTES_MAX {
            return Err(call.error("the text becomes too long"));
        }
        return Ok(CowVal::owned(CelString::from(format!("{}{}", left.inner(), right.inner()))));
    }
    let kinds = || {
        let kinds = [left, right].map(|value| value.get_type().name().to_owned());
        ExecutionError::no_such_overload("_+_", kinds.to_vec())
    };
    let is_number =
        |value: &dyn Val| matches!(value.get_type().kind(), Kind::Int | Kind::UInt | Kind::Double);
    if !is_number(left) || !is_number(right) {
        return Err(kinds());
    }
    let sum = left.as_adder().ok_or_else(kinds)?.add(right)?;
    Ok(CowVal::Owned(clone_number(&*sum).ok_or_else(kinds)?))
}

fn clone_number(value: &dyn Val) -> Option<Box<dyn Val>> {
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Some(Box::new(CelInt::from(*number.inner())));
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return Some(Box::new(CelUInt::from(*number.inner())));
    }
    let number = value.downcast_ref::<cel::common::types::CelDouble>()?;
    Some(Box::new(cel::common::types::CelDouble::from(*number.inner())))
}

/// Returns an element of a list that is written in a filter, if it is not a list or map itself.
fn scalar<'context, 'call>(call: &FunctionContext<'context, 'call>) -> FunctionAnswer<'context, 'call> {
    let value = argument(call, 0)?;
    match value.get_type().kind() {
        Kind::List | Kind::Map => {
            Err(ExecutionError::no_such_overload("[…]", vec![value.get_type().name().to_owned()]))
        }
        _ => Ok(call.args[0].clone()),
    }
}
