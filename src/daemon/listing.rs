//! `event list`: looks through the journal from its newest entry on. It changes nothing, and holds no lock meanwhile.

use crate::config::FileLists;
use crate::control::{ControlRefusal, EventList, LIST_LAST_MAX, LIST_LOOK_MAX, ListedEvent, ListedRange};
use crate::envelope::{Body, SealOpener};
use crate::filter::{Filter, FilterFacts};
use crate::record::Entry;
use crate::store::Store;

/// # Errors
/// A filter that cannot be used, or a journal that cannot be read.
pub(crate) fn list(
    store: &Store,
    opener: &SealOpener,
    lists: &FileLists,
    range: &ListedRange,
) -> Result<EventList, ControlRefusal> {
    let filter = range.filter.as_deref().map(|source| compiled(source, lists)).transpose()?;
    let ends = store.stats().ends;
    let mut list = EventList::default();
    for seq in (ends.first_seq()..=ends.last.seq).rev() {
        if list.events.len() as u64 >= range.last.min(LIST_LAST_MAX) || list.looked_at == LIST_LOOK_MAX {
            list.more = true;
            break;
        }
        list.looked_at += 1;
        let entry = store.entry(seq).map_err(|error| ControlRefusal::could_not(error.to_string()))?;
        // Retention may have taken it meanwhile, and not every entry is an event.
        let Some(entry) = entry else { continue };
        if is_listed(&entry, range, filter.as_ref(), &mut list) {
            list.events.push(listed(&entry, opener));
        }
    }
    list.events.reverse();
    Ok(list)
}

fn compiled(source: &str, lists: &FileLists) -> Result<Filter, ControlRefusal> {
    Filter::compile(source, lists).map_err(|fault| {
        let refusal = ControlRefusal::could_not(format!("--filter:{}:{}: {fault}", fault.line, fault.column));
        match fault.hint() {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    })
}

fn is_listed(entry: &Entry, range: &ListedRange, filter: Option<&Filter>, list: &mut EventList) -> bool {
    let core = entry.envelope.core();
    if range.publisher.as_ref().is_some_and(|publisher| *publisher != core.id.publisher) {
        return false;
    }
    let Some(filter) = filter else { return true };
    match filter.admits(&FilterFacts::new(core, &entry.path).for_reader()) {
        Ok(admitted) => admitted,
        Err(failure) => {
            list.filter_failed.get_or_insert_with(|| (0, failure.to_string())).0 += 1;
            false
        }
    }
}

fn listed(entry: &Entry, opener: &SealOpener) -> ListedEvent {
    match &entry.envelope.core().body {
        Body::Plain(bytes) => ListedEvent::of(entry, Some(bytes)),
        Body::Sealed(_) => {
            let opened = opener.open(&entry.envelope).ok();
            ListedEvent::of(entry, opened.as_ref().map(|opened| opened.payload.as_ref()))
        }
    }
}
