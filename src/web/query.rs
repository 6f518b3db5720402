//! The query of `GET /v1/events` and of `/v1/stats`: every parameter is known, well formed and said once, or the request
//! is refused. A filter is compiled by the reader of the page, because lists are files.

use axum::extract::Query;
use axum::http::Uri;

use super::cursor::StartPlace;
use super::problem::Problem;
use crate::envelope::EventType;
use crate::format::{DeliveryForm, HandOff};
use crate::limits::{PAGE_LINES_MAX, POLL_S_MAX};

/// A request for a page, or for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadQuery {
    pub after: Option<StartPlace>,
    pub limit: usize,
    pub form: DeliveryForm,
    /// CEL, not yet compiled.
    pub filter: Option<String>,
    /// Events or reports alone.
    pub event_type: Option<EventType>,
    /// How long to wait for an event if there is none, in s.
    pub wait_s: u64,
    /// The name under which the hub keeps the position.
    pub consumer: Option<String>,
    /// All parameters but the place: the next page has them as well.
    rest: Vec<(String, String)>,
}

const KNOWN: [&str; 7] = ["after", "limit", "form", "filter", "type", "wait", "consumer"];

impl ReadQuery {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Problem> {
        let pairs = pairs(uri)?;
        known_once(&pairs, &KNOWN)?;
        let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let form = match value("form") {
            None => DeliveryForm::default(),
            Some(text) => {
                DeliveryForm::parse(text).ok_or_else(|| wrong("form", text, "iep04, plain or ail"))?
            }
        };
        let event_type = match value("type") {
            None => None,
            Some("event") => Some(EventType::Event),
            Some("report") => Some(EventType::Report),
            Some(text) => return Err(wrong("type", text, "event or report")),
        };
        let after = value("after").map(|text| {
            let expected = "a cursor of this node, an RFC 3339 time, earliest or now";
            StartPlace::parse(text).ok_or_else(|| wrong("after", text, expected))
        });
        let limit = match number("limit", value("limit"))? {
            None => PAGE_LINES_MAX,
            Some(0) => return Err(wrong("limit", "0", "a number of 1 or more")),
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX).min(PAGE_LINES_MAX),
        };
        Ok(Self {
            after: after.transpose()?,
            limit,
            form,
            filter: value("filter").map(str::to_owned),
            event_type,
            wait_s: number("wait", value("wait"))?.unwrap_or(0).min(POLL_S_MAX),
            consumer: value("consumer").map(str::to_owned),
            rest: pairs.iter().filter(|(name, _)| name != "after").cloned().collect(),
        })
    }

    pub(crate) const fn hand_off(&self) -> HandOff {
        HandOff { form: self.form, format: None, with_type: false }
    }

    /// Returns path and query of the page after this one.
    pub(crate) fn next(&self, cursor: &str) -> String {
        let rest = self.rest.iter().map(|(name, value)| format!("&{name}={}", escaped(value)));
        format!("/v1/events?after={cursor}{}", rest.collect::<String>())
    }
}

/// Returns all parameters of a query, decoded.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
    read.map(|Query(pairs)| pairs)
        .map_err(|_| Problem::bad("the query cannot be read: expected NAME=VALUE&…"))
}

/// Refuses a parameter that is unknown, which would else have no effect, or that is said twice.
pub(super) fn known_once(pairs: &[(String, String)], known: &[&str]) -> Result<(), Problem> {
    for (nth, (name, _)) in pairs.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            return Err(Problem::bad(format!("unknown parameter \"{name:.40}\": known here: {known}")));
        }
        if pairs.iter().take(nth).any(|(before, _)| before == name) {
            return Err(Problem::bad(format!("the parameter \"{name}\" is given twice")));
        }
    }
    Ok(())
}

fn wrong(key: &str, text: &str, expected: &str) -> Problem {
    Problem::bad(format!("invalid {key} \"{text:.80}\": expected {expected}"))
}

fn number(key: &str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if plain => Ok(Some(number)),
        _ => Err(wrong(key, text, "a number of 0 or more")),
    }
}

/// Escapes all but what every reader of a query leaves alone (RFC 3986, unreserved).
fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ReadQuery, Problem> {
        ReadQuery::parse(&format!("/v1/events?{query}").parse().unwrap())
    }

    #[test]
    fn queries_are_read_and_the_next_page_keeps_them() {
        let query =
            parse("limit=5&filter=event%5B%22a%22%5D+%3D%3D+1&form=plain&type=report&wait=30").unwrap();
        assert_eq!((query.limit, query.form, query.wait_s), (5, DeliveryForm::Plain, 30));
        assert_eq!(query.filter.as_deref(), Some("event[\"a\"] == 1"));
        let next = query.next("C");
        assert!(
            next.starts_with("/v1/events?after=C&limit=5&filter=event%5B%22a%22%5D%20%3D%3D%201&form=plain")
        );
        let again = ReadQuery::parse(&next.replace("after=C", "after=earliest").parse().unwrap()).unwrap();
        assert_eq!((again.filter, again.event_type), (query.filter, query.event_type));
        assert_eq!(parse("").unwrap().limit, PAGE_LINES_MAX);
        assert_eq!(parse("limit=100000&wait=100000").unwrap().wait_s, POLL_S_MAX);
    }

    #[test]
    fn whatever_is_not_understood_is_refused() {
        for query in [
            "limit=0",
            "limit=-1",
            "limit=+1",
            "limit=",
            "wait=x",
            "form=xml",
            "type=all",
            "after=yesterday",
            "filer=true",
            "limit=1&limit=2",
            "Limit=1",
        ] {
            let refused = parse(query).expect_err(query);
            assert_eq!((refused.status.as_u16(), refused.code), (400, "bad_request"), "{query}");
        }
    }
}
