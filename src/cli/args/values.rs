//! Values of flags, each with words of ours for what it is not.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::control::{EventRef, RewindPlace};
use crate::format::foreign::BodyFormat;
use crate::link::Relation;
use crate::policy::Tlp;
use crate::status::HealthCode;
use crate::time::Timestamp;

pub(crate) fn health_code(text: &str) -> Result<HealthCode, String> {
    HealthCode::parse(text).ok_or_else(|| {
        let known: Vec<&str> = HealthCode::ALL.iter().map(|code| code.as_str()).collect();
        format!("expected one of {}", known.join(" "))
    })
}

pub(crate) fn body_format(text: &str) -> Result<BodyFormat, String> {
    BodyFormat::parse(text).ok_or_else(|| "expected intelmq, idea or n6".to_owned())
}

pub(crate) fn label(text: &str) -> Result<Tlp, String> {
    Tlp::parse(text)
        .ok_or_else(|| format!("{text:?} is not a known label: use CLEAR, GREEN, AMBER, AMBER+STRICT or RED"))
}

/// One `--link`: the type, and the other event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkFlag {
    pub relation: Relation,
    pub right: LinkEnd,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    Event(EventRef),
    /// An id of another system.
    Opaque(String),
}

pub(crate) fn link(text: &str) -> Result<LinkFlag, String> {
    let wanted = "expected TYPE=ID, like same-incident=72ddb00c";
    let (relation, right) = text.split_once('=').ok_or(wanted)?;
    let relation = Relation::parse(relation).ok_or(wanted)?;
    let right = match EventRef::parse(right) {
        Ok(full @ EventRef::Full(_)) => LinkEnd::Event(full),
        // Also if it looks like the beginning of a UUID.
        _ if !relation.needs_event() && !right.is_empty() => LinkEnd::Opaque(right.to_owned()),
        Ok(prefix) => LinkEnd::Event(prefix),
        Err(error) => return Err(error.to_string()),
    };
    Ok(LinkFlag { relation, right })
}

/// A number in words of ours: those of the library name no bounds.
pub(crate) fn whole<N>(text: &str, allowed: RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + fmt::Display,
{
    text.parse()
        .ok()
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| format!("expected a whole number from {} to {}", allowed.start(), allowed.end()))
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

pub(crate) fn rewind_place(text: &str) -> Result<RewindPlace, String> {
    if text == "earliest" {
        return Ok(RewindPlace::Earliest);
    }
    if let Ok(seq) = text.parse() {
        return Ok(RewindPlace::Seq(seq));
    }
    let time = Timestamp::parse_rfc3339(text).map(RewindPlace::Time);
    time.ok_or_else(|| "expected a seq, an RFC 3339 time or earliest".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_type_and_an_event_or_an_id_of_another_system() {
        let full = "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b";
        let event = |text| LinkEnd::Event(EventRef::parse(text).unwrap());
        for (text, right) in [
            ("same-incident=72ddb00c".to_owned(), event("72ddb00c")),
            (format!("alternate={full}"), event(full)),
            ("alternate=CESNET-RT#2235".to_owned(), LinkEnd::Opaque("CESNET-RT#2235".to_owned())),
            ("alternate=20261130".to_owned(), LinkEnd::Opaque("20261130".to_owned())),
        ] {
            assert_eq!(link(&text).map(|flag| flag.right), Ok(right), "{text}");
        }
        for text in ["same-incident", "=72ddb00c", "same-incident=x", "alternate=", "Same Incident=72ddb00c"]
        {
            assert!(link(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_none_is_told_in_words_of_ours() {
        assert_eq!(whole("7", 1..=64_u8), Ok(7));
        for text in ["x", "", "-1", "0", "65", "300", "1.5"] {
            assert_eq!(whole(text, 1..=64_u8).unwrap_err(), "expected a whole number from 1 to 64", "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["x", "", "-1", "0", "nan", "inf", "1e300"] {
            assert_eq!(seconds(text).unwrap_err(), "expected a number of seconds above 0", "{text}");
        }
    }
}
