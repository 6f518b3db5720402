//! Opens bodies that are sealed for this node when they are handed off, and nowhere else: the journal and the core keep
//! the sealed form. If one cannot be opened, or converted for a consumer, it is counted with its reason, and delays no
//! other event. The private keys stay inside [`SealOpener`], and `format` converts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::envelope::{Core, OpenError, OpenedBody, SealOpener};
use crate::format::foreign::NotConverted;
use crate::limits::OPEN_HERE_MAX;
use crate::record::Entry;
use crate::status::EventFailures;
use crate::time::{Now, Timestamp};

/// State that all doors share.
pub(crate) struct EnvelopeOpening {
    opener: Arc<SealOpener>,
    now: fn() -> Now,
    failed: Mutex<FailureCount>,
    /// By consumer.
    unconverted: Mutex<BTreeMap<String, FailureCount>>,
}

/// Since the start of the process.
#[derive(Debug, Default)]
struct FailureCount {
    last: Option<EventFailures>,
    /// Up to here it was counted: a second consumer meets the same events, and a consumer may meet them again.
    seq: u64,
}

impl FailureCount {
    /// Returns false if it was counted already.
    fn note(&mut self, entry: &Entry, reason: String, at: Timestamp) -> bool {
        let is_new = entry.seq > self.seq;
        if is_new {
            self.seq = entry.seq;
            let count = self.last.as_ref().map_or(0, |last| last.count) + 1;
            self.last = Some(EventFailures { count, id: entry.envelope.id().to_string(), reason, at });
        }
        is_new
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry on its way out.
#[derive(Debug)]
pub(crate) enum OutgoingLine {
    Plain,
    Opened(OpenedBody),
    /// Sealed for this node, and cannot be opened.
    Closed(OpenError),
}

impl OutgoingLine {
    pub(crate) fn opened(&self) -> Option<&OpenedBody> {
        match self {
            Self::Opened(opened) => Some(opened),
            Self::Plain | Self::Closed(_) => None,
        }
    }
}

impl EnvelopeOpening {
    pub(crate) fn new(opener: Arc<SealOpener>, now: fn() -> Now) -> Self {
        Self { opener, now, failed: Mutex::default(), unconverted: Mutex::default() }
    }

    /// Opens each of `entries`, in their order. If there are many, a worker does it.
    pub(crate) async fn open_all(self: &Arc<Self>, entries: &[Arc<Entry>]) -> Vec<OutgoingLine> {
        let sealed = entries.iter().filter(|entry| entry.envelope.core().body.is_sealed()).count();
        if sealed > OPEN_HERE_MAX {
            let (shared, entries) = (Arc::clone(self), entries.to_vec());
            let opening =
                tokio::task::spawn_blocking(move || entries.iter().map(|entry| shared.open(entry)).collect());
            if let Ok(opened) = opening.await {
                return opened;
            }
        }
        entries.iter().map(|entry| self.open(entry)).collect()
    }

    pub(crate) fn open(&self, entry: &Entry) -> OutgoingLine {
        if !entry.envelope.core().body.is_sealed() {
            return OutgoingLine::Plain;
        }
        match self.opener.open(&entry.envelope) {
            Ok(opened) => OutgoingLine::Opened(opened),
            Err(fault) => {
                self.count(entry, &fault);
                OutgoingLine::Closed(fault)
            }
        }
    }

    /// Returns the core with the fields that were sealed beside its body put back, if this node may read them.
    pub(crate) fn revealed(&self, entry: &Entry) -> Core {
        let mut core = entry.envelope.core().clone();
        if let Ok(opened) = self.opener.open(&entry.envelope) {
            (core.parent, core.links, core.ext) = (opened.parent, opened.links, opened.ext);
        }
        core
    }

    fn count(&self, entry: &Entry, fault: &OpenError) {
        if locked(&self.failed).note(entry, fault.to_string(), (self.now)().wall) {
            let id = entry.envelope.id();
            let (reason, publisher) = (fault.code(), &id.publisher);
            tracing::warn!(outcome = "cannot open", %id, %publisher, reason, "{fault}");
        }
    }

    /// Counts an event that has no form in the format that this consumer asked for.
    pub(crate) fn note_unconverted(&self, consumer: &str, entry: &Entry, fault: &NotConverted) {
        let mut counts = locked(&self.unconverted);
        let count = counts.entry(consumer.to_owned()).or_default();
        count.note(entry, format!("{}: {}", fault.code, fault.why), (self.now)().wall);
    }

    /// Returns what status shows; `None` if all that was sealed for this node could be opened.
    pub(crate) fn cannot_open(&self) -> Option<EventFailures> {
        locked(&self.failed).last.clone()
    }

    /// Returns the same of events that were not converted, by consumer.
    pub(crate) fn unconverted(&self) -> BTreeMap<String, EventFailures> {
        let counts = locked(&self.unconverted);
        counts.iter().filter_map(|(name, count)| Some((name.clone(), count.last.clone()?))).collect()
    }
}
