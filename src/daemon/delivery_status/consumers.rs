//! Whether a consumer was handed an event, as far as that can be told from outside: its position is all that is kept.

use super::{DeliverySources, passed_by};
use crate::config::NODE_FILE;
use crate::control::{DeliveryRecord, DeliveryState, ReaderName};
use crate::policy::{self, ConsumerTerms, NotHandedOff};
use crate::protocol::view::ConsumerView;
use crate::record::Entry;
use crate::time::Timestamp;

/// The request of a consumer, and the place of its filter.
type AskedConsumer<'a> = (ConsumerTerms<'a>, String);

/// Returns `None` if the request is unknown here: the consumer reads `run/out.sock`, and is not connected.
fn asked<'a>(at: &'a ConsumerView, sources: &DeliverySources<'a>) -> Option<AskedConsumer<'a>> {
    if let Some(door) = sources.doors.iter().find(|door| door.name == at.name) {
        let line = door.filter_line.map(|line| format!(":{line}")).unwrap_or_default();
        let terms = ConsumerTerms { own: door.own, filter: door.filter.as_deref() };
        return Some((terms, format!("{NODE_FILE}{line}: filter")));
    }
    Some((at.request.as_ref()?.terms(), "the filter of its connection".to_owned()))
}

pub(super) fn consumer(entry: &Entry, at: &ConsumerView, sources: &DeliverySources<'_>) -> DeliveryRecord {
    let passed = at.status.position >= entry.seq;
    let by = passed_by(sources.times.consumers.get(&at.name), entry.seq).filter(|_| passed);
    let asked = asked(at, sources);
    let is_known = asked.is_some();
    let unknown = ConsumerTerms { own: at.own, filter: None };
    let (terms, filter) = asked.unwrap_or_else(|| (unknown, String::new()));
    let core = entry.envelope.core();
    let now = (!passed).then_some(sources.now);
    let held = match policy::hand_off(core, &entry.path, &sources.own, terms, now) {
        Err(why) => Some(held_back(why, &filter, core.expires)),
        Ok(()) if is_known => same_content(entry, terms, sources),
        Ok(()) => None,
    };
    let unknown = "its filter is not known while it is not connected";
    let (state, why, rule) = match held {
        Some((why, rule)) => (DeliveryState::Withheld, Some(why.to_owned()), Some(rule)),
        None if passed => {
            let late = core.expires.filter(|end| *end <= by.unwrap_or(sources.now));
            let late = late.map(|end| {
                format!("it expired at {end}: whether it was handed off before that is not known")
            });
            (DeliveryState::Passed, late.or((!is_known).then(|| unknown.to_owned())), None)
        }
        None => {
            let why = match (is_known, at.status.connected) {
                (false, _) => format!("it is not connected; {unknown}"),
                (true, false) => "it is not connected".to_owned(),
                (true, true) => format!("it is {} behind", at.status.lag_events.unwrap_or_default()),
            };
            (DeliveryState::NotYet, Some(why), None)
        }
    };
    let by = by.filter(|_| state == DeliveryState::Passed);
    DeliveryRecord { why, rule, by, ..DeliveryRecord::new(ReaderName::Consumer(at.name.to_string()), state) }
}

/// Returns the word and the rule that hold the event back from this consumer.
fn held_back(why: NotHandedOff, filter: &str, expires: Option<Timestamp>) -> (&'static str, String) {
    match why {
        NotHandedOff::Own => ("own", "it gets what others publish".to_owned()),
        NotHandedOff::Sealed => ("sealed", "this node is no recipient".to_owned()),
        NotHandedOff::Expired => {
            ("expired", format!("it expired at {}", expires.map(|at| at.to_string()).unwrap_or_default()))
        }
        NotHandedOff::Filter => ("filter", format!("{filter} does not admit it")),
        NotHandedOff::FilterFailed(failure) => ("filter_failed", format!("{filter} fails on it: {failure}")),
    }
}

/// Explains that another event with the same content went instead. If the filter reads more than the content, it may
/// have held that event back, and nothing is claimed.
fn same_content(
    entry: &Entry,
    terms: ConsumerTerms<'_>,
    sources: &DeliverySources<'_>,
) -> Option<(&'static str, String)> {
    if terms.filter.is_some_and(|filter| filter.reads_meta()) {
        return None;
    }
    let mut twins = entry.twins.iter();
    let twin = twins.find(|twin| terms.allows_publisher(&twin.id.publisher, &sources.own))?;
    Some(("same_content", format!("{} has the same content and came before", twin.id)))
}
