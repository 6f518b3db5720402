//! Entries in order with an open fate, and behind them those that the cursor has not passed yet. Others decide their
//! fate; they are only kept here, never more of them than the peer's window allows.

use std::collections::VecDeque;

use crate::identity::{CoreDigest, EventKey, PublisherName};
use crate::time::Tick;
use crate::wire::Mark;

#[derive(Debug)]
pub(super) struct PendingEntry {
    pub mark: Mark,
    pub before: Mark,
    /// The identity of the entry: a verdict on another identity does not apply to it.
    pub key: EventKey,
    pub fate: EntryFate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryFate {
    /// At the seen set or the workers.
    Examined,
    /// Offered and not held: to be asked for, or on its way from another peer.
    Offered {
        digest: CoreDigest,
        publisher: PublisherName,
        since: Tick,
    },
    Done,
    /// No entry: there was nothing for us up to here.
    Skipped,
}

impl EntryFate {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Examined | Self::Offered { .. })
    }
}

#[derive(Debug, Default)]
pub(super) struct PendingEntries {
    entries: VecDeque<PendingEntry>,
    skips: usize,
}

impl PendingEntries {
    /// How many of them count in the window.
    pub(crate) fn carried(&self) -> usize {
        self.entries.len() - self.skips
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &PendingEntry> {
        self.entries.iter().filter(|pending| pending.fate.is_open())
    }

    pub(crate) fn push(&mut self, pending: PendingEntry) {
        self.skips += usize::from(pending.fate == EntryFate::Skipped);
        self.entries.push_back(pending);
    }

    /// Nothing for us up to `to`; one skip behind another is one.
    pub(crate) fn skip(&mut self, before: Mark, to: Mark) {
        match self.entries.back_mut() {
            Some(last) if last.fate == EntryFate::Skipped => last.mark = to,
            _ => self.push(PendingEntry {
                mark: to,
                before,
                key: EventKey::default(),
                fate: EntryFate::Skipped,
            }),
        }
    }

    pub(crate) fn find(&mut self, seq: u64) -> Option<&mut PendingEntry> {
        let at = self.entries.binary_search_by_key(&seq, |pending| pending.mark.seq).ok()?;
        self.entries.get_mut(at)
    }

    /// Takes the decided entries off the front. Returns the place that is reached, if there were any.
    pub(crate) fn take_done(&mut self) -> Option<Mark> {
        let mut to = None;
        while let Some(pending) = self.entries.pop_front_if(|pending| !pending.fate.is_open()) {
            self.skips -= usize::from(pending.fate == EntryFate::Skipped);
            to = Some(pending.mark);
        }
        to
    }
}
