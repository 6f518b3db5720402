//! Opens bodies that are sealed for this node when they are handed off, and nowhere else: the journal and the core keep
//! the sealed form. If one cannot be opened, it is counted, logged with its reason, and delays no other event. The
//! private keys stay inside [`SealOpener`].

use std::sync::{Arc, Mutex, PoisonError};

use crate::envelope::{Core, OpenError, OpenedBody, SealOpener};
use crate::limits::OPEN_HERE_MAX;
use crate::record::Entry;
use crate::status::CannotOpen;
use crate::time::Now;

/// State that all doors share.
pub struct EnvelopeOpening {
    opener: Arc<SealOpener>,
    now: fn() -> Now,
    failed: Mutex<FailedOpening>,
}

/// Since the start of the process.
#[derive(Debug, Default)]
struct FailedOpening {
    last: Option<CannotOpen>,
    /// Up to here it was counted: a second consumer meets the same events.
    seq: u64,
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
    pub fn opened(&self) -> Option<&OpenedBody> {
        match self {
            Self::Opened(opened) => Some(opened),
            Self::Plain | Self::Closed(_) => None,
        }
    }
}

impl EnvelopeOpening {
    pub fn new(opener: Arc<SealOpener>, now: fn() -> Now) -> Self {
        Self { opener, now, failed: Mutex::default() }
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
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.seq <= failed.seq {
            return;
        }
        let id = entry.envelope.id();
        let (reason, publisher) = (fault.code(), &id.publisher);
        tracing::warn!(outcome = "cannot open", %id, %publisher, reason, "{fault}");
        failed.seq = entry.seq;
        failed.last = Some(CannotOpen {
            count: failed.last.as_ref().map_or(0, |last| last.count) + 1,
            id: id.to_string(),
            reason: fault.to_string(),
            at: (self.now)().wall,
        });
    }

    /// Returns what status shows; `None` if all that was sealed for this node could be opened.
    pub fn cannot_open(&self) -> Option<CannotOpen> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }
}
