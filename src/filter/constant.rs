//! Functions whose last argument is a constant, checked and prepared at load: patterns, networks, names of
//! domains, countries, words of a classification, and lists from files. Everything else is a call as it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use regex::RegexBuilder;

use super::fault::FilterFaultKind;
use super::functions::PreparedCall;
use super::lists::{DOMAIN, FilterList, FilterLists, ListFault, looked_for, network};
use crate::limits::FILTER_PATTERN_BYTES_MAX;

/// The argument to blame, and its fault.
type FilterBlame = (usize, FilterFaultKind);

/// The first size that a pattern is tried to be built in, in bytes; four times as large again and again, up to the most.
const PATTERN_BYTES_LEAST: usize = 1024;

/// Stands for the whole call if no argument alone is to blame.
const THE_CALL: usize = usize::MAX;

/// Prepares a call of `name`; `None` if there is no such function.
pub(super) fn prepare(
    name: &str,
    arguments: &[&IdedExpr],
    lists: &dyn FilterLists,
    used: &mut BTreeMap<String, Arc<FilterList>>,
) -> Option<Result<PreparedCall, FilterBlame>> {
    let (function, wanted) = match name {
        "matches" => ("matches", "a text and a pattern: event[\"source.url\"].matches(\"^https:\")"),
        "cidr" => ("cidr", "an address and networks: cidr(event[\"source.ip\"], \"192.0.2.0/24\")"),
        "cidr_in" => ("cidr_in", "an address and a list: cidr_in(event[\"source.ip\"], \"networks.txt\")"),
        "asn_in" => ("asn_in", "an AS number and a list: asn_in(event[\"source.asn\"], \"asns.txt\")"),
        "under" => ("under", "a name and domains: under(event[\"source.fqdn\"], \"example.at\")"),
        "under_in" => ("under_in", "a name and a list: under_in(event[\"source.fqdn\"], \"domains.txt\")"),
        "country" => ("country", "a country and codes: country(event[\"source.geolocation.cc\"], \"EE\")"),
        "classified" => ("classified", "an event and words: classified(event, \"phishing\")"),
        _ => return None,
    };
    let [_, constant] = arguments else {
        return Some(Err((THE_CALL, FilterFaultKind::Arguments { function, wanted })));
    };
    let Some(texts) = texts(constant) else {
        return Some(Err((1, FilterFaultKind::Arguments { function, wanted })));
    };
    let many = |read: &dyn Fn(&str) -> Option<String>, wanted: &'static str| {
        let read = texts.iter().map(|text| {
            let value = text.chars().take(80).collect();
            read(text).ok_or((1, FilterFaultKind::Constant { function, value, wanted }))
        });
        read.collect::<Result<Vec<_>, FilterBlame>>()
    };
    let mut file = || match texts.as_slice() {
        [name] => listed(function, name, lists, used),
        _ => Err((1, FilterFaultKind::Arguments { function, wanted })),
    };
    let fault = |name: &str| {
        let name = name.to_owned();
        move |fault| (1, FilterFaultKind::List { function, name, fault })
    };
    let first = texts.first().map_or("", String::as_str);
    Some(match function {
        "matches" => match texts.as_slice() {
            [pattern] => matches(pattern),
            _ => Err((1, FilterFaultKind::Arguments { function, wanted })),
        },
        "cidr" => many(&|text| network(text).map(|network| network.to_string()), "network").map(|networks| {
            PreparedCall::Cidr(Arc::new(networks.iter().filter_map(|text| network(text)).collect()))
        }),
        "cidr_in" => file().and_then(|list| list.networks().map(PreparedCall::Cidr).map_err(fault(first))),
        "asn_in" => file().and_then(|list| list.numbers().map(PreparedCall::Asn).map_err(fault(first))),
        "under" => {
            many(&looked_for, DOMAIN).map(|names| PreparedCall::Under(Arc::new(names.into_iter().collect())))
        }
        "under_in" => file().and_then(|list| list.domains().map(PreparedCall::Under).map_err(fault(first))),
        "country" => many(&country, "country code of two letters")
            .map(|codes| PreparedCall::Country(codes.into_iter().collect())),
        _ => Ok(PreparedCall::Classified(
            texts.iter().map(|word| word.to_ascii_lowercase()).collect::<BTreeSet<_>>(),
        )),
    })
}

fn country(text: &str) -> Option<String> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

fn matches(pattern: &str) -> Result<PreparedCall, FilterBlame> {
    let build = |most: usize| {
        RegexBuilder::new(pattern).size_limit(most).dfa_size_limit(FILTER_PATTERN_BYTES_MAX).build()
    };
    // The library tells the size of a pattern only by refusing it.
    let mut size = PATTERN_BYTES_LEAST;
    let built = loop {
        match build(size) {
            Err(regex::Error::CompiledTooBig(_)) if size < FILTER_PATTERN_BYTES_MAX => size *= 4,
            built => break built,
        }
    };
    built.map(|pattern| PreparedCall::Matches { pattern, size: size as u64 }).map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or("").trim_start_matches("error: ").chars().take(200).collect();
        (1, FilterFaultKind::Pattern { function: "matches", why })
    })
}

fn listed(
    function: &'static str,
    name: &str,
    lists: &dyn FilterLists,
    used: &mut BTreeMap<String, Arc<FilterList>>,
) -> Result<Arc<FilterList>, FilterBlame> {
    let fault = |fault| (1, FilterFaultKind::List { function, name: name.chars().take(80).collect(), fault });
    if !is_list_name(name) {
        return Err(fault(ListFault::Unknown));
    }
    let list = lists.list(name).map_err(fault)?;
    used.insert(name.to_owned(), Arc::clone(&list));
    Ok(list)
}

/// Returns true if it is a file's name, and no way out of its directory.
fn is_list_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

/// Returns one string, or a list of strings that is not empty.
fn texts(expr: &IdedExpr) -> Option<Vec<String>> {
    let text = |expr: &IdedExpr| match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    };
    match &expr.expr {
        Expr::List(list) if !list.elements.is_empty() => list.elements.iter().map(text).collect(),
        _ => text(expr).map(|text| vec![text]),
    }
}

/// Returns a list of constants as a value; `None` if something in it is not a constant.
pub(super) fn list(expr: &IdedExpr) -> Option<CelList<'static>> {
    let Expr::List(list) = &expr.expr else { return None };
    let value = |expr: &IdedExpr| -> Option<Box<dyn Val>> {
        let Expr::Literal(literal) = &expr.expr else { return None };
        Some(match literal {
            LiteralValue::Boolean(value) => Box::new(CelBool::from(*value.inner())),
            LiteralValue::Double(value) => Box::new(CelDouble::from(*value.inner())),
            LiteralValue::Int(value) => Box::new(CelInt::from(*value.inner())),
            LiteralValue::UInt(value) => Box::new(CelUInt::from(*value.inner())),
            LiteralValue::Null => Box::new(CelNull),
            LiteralValue::String(value) => Box::new(CelString::from(value.inner().to_owned())),
            LiteralValue::Bytes(_) => return None,
        })
    };
    list.elements.iter().map(value).collect::<Option<Vec<_>>>().map(CelList::from)
}
