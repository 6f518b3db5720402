//! Whether a consumer was handed an event, as far as that can be told from outside: its position is all that is
//! kept, and what the core asks before it hands something off is asked here again.

use std::sync::Arc;

use super::{DeliverySources, passed_by};
use crate::config::NODE_FILE;
use crate::control::DeliveryRecord;
use crate::filter::{Filter, FilterFacts};
use crate::protocol::view::ConsumerView;
use crate::record::Entry;

/// The request of a consumer, and the place of its rule.
struct AskedConsumer<'a> {
    own: bool,
    filter: Option<&'a Arc<Filter>>,
    rule: String,
}

/// Returns `None` if the request is unknown here: the consumer reads `run/out.sock`, and is not connected.
fn asked<'a>(at: &'a ConsumerView, sources: &DeliverySources<'a>) -> Option<AskedConsumer<'a>> {
    if let Some(door) = sources.doors.iter().find(|door| door.name == at.name) {
        let line = door.filter_line.map(|line| format!(":{line}")).unwrap_or_default();
        let rule = format!("{NODE_FILE}{line}: filter");
        return Some(AskedConsumer { own: door.own, filter: door.filter.as_ref(), rule });
    }
    let request = at.request.as_ref()?;
    let rule = "the filter of its connection".to_owned();
    Some(AskedConsumer { own: request.own, filter: request.filter.as_ref(), rule })
}

pub(super) fn consumer(entry: &Entry, at: &ConsumerView, sources: &DeliverySources<'_>) -> DeliveryRecord {
    let passed = at.position.seq >= entry.seq;
    let by = passed_by(sources.times.consumers.get(&at.name), entry.seq).filter(|_| passed);
    let asked = asked(at, sources);
    let mut went = DeliveryRecord { consumer: Some(at.name.to_string()), ..DeliveryRecord::default() };
    let own = asked.as_ref().map_or(at.position.own, |asked| asked.own);
    let held = held_back(entry, own, sources)
        .or_else(|| asked.as_ref().and_then(|asked| filtered(entry, asked)))
        .or_else(|| same_content(entry, own, asked.as_ref(), sources));
    let expires = entry.envelope.core().expires;
    let unknown = asked.is_none().then_some("its filter is not known while it is not connected");
    let (state, why, rule) = match (held, passed) {
        (Some((why, rule)), _) => ("withheld", Some(why.to_owned()), Some(rule)),
        (None, true) => {
            let late = expires.filter(|end| *end <= by.unwrap_or(sources.now));
            let late = late.map(|end| {
                format!("it expired at {end}: whether it was handed off before that is not known")
            });
            ("passed", late.or(unknown.map(str::to_owned)), None)
        }
        (None, false) => match (expires.filter(|end| *end <= sources.now), unknown) {
            (Some(end), _) => ("withheld", Some("expired".to_owned()), Some(format!("it expired at {end}"))),
            (None, Some(unknown)) => ("not_yet", Some(format!("it is not connected; {unknown}")), None),
            (None, None) if !at.connected() => ("not_yet", Some("it is not connected".to_owned()), None),
            (None, None) => ("not_yet", Some(format!("it is {} behind", at.lag_events)), None),
        },
    };
    (went.state, went.why, went.rule) = (state.to_owned(), why, rule);
    went.by = by.filter(|_| went.state == "passed");
    went
}

/// Returns a reason that holds the event back from any consumer.
fn held_back(entry: &Entry, own: bool, sources: &DeliverySources<'_>) -> Option<(&'static str, String)> {
    let core = entry.envelope.core();
    if sources.own.has(entry.envelope.publisher()) && !own {
        return Some(("own", "it gets what others publish".to_owned()));
    }
    if core.body.is_sealed() && !core.to.iter().any(|name| sources.own.has(name)) {
        return Some(("sealed", "this node is no recipient".to_owned()));
    }
    None
}

fn filtered(entry: &Entry, asked: &AskedConsumer<'_>) -> Option<(&'static str, String)> {
    let filter = asked.filter?;
    match filter.admits(&FilterFacts::new(entry.envelope.core(), &entry.path)) {
        Ok(true) => None,
        Ok(false) => Some(("filter", format!("{} does not admit it", asked.rule))),
        Err(failure) => Some(("filter_failed", format!("{} fails on it: {failure}", asked.rule))),
    }
}

/// Explains that another event with the same content went instead. If the filter reads more than the content, it may
/// have held that event back, and nothing is claimed.
fn same_content(
    entry: &Entry,
    own: bool,
    asked: Option<&AskedConsumer<'_>>,
    sources: &DeliverySources<'_>,
) -> Option<(&'static str, String)> {
    if asked.is_none_or(|asked| asked.filter.is_some_and(|filter| filter.reads_meta())) {
        return None;
    }
    let twin = entry.twins.iter().find(|twin| own || !sources.own.has(&twin.id.publisher))?;
    Some(("same_content", format!("{} has the same content and came before", twin.id)))
}
