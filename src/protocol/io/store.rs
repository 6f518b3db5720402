//! Orders and questions to the store, and its answers. The store decides nothing.

use std::sync::Arc;

use thiserror::Error;

use super::{JournalReader, Ticket};
use crate::identity::{CoreDigest, EventId, EventKey};
use crate::record::{BrokenEntry, ConsumerName, Entry, JournalEnds, NewRecord};
use crate::time::Timestamp;
use crate::wire::Mark;

/// An answer of the store, or a change on disk.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum StoreInput {
    /// A batch is on disk (`fdatasync` done). Its carriers got consecutive seqs from `first_seq` on, in
    /// their order; `ends` is the journal after it.
    Stored { ticket: Ticket, first_seq: u64, ends: JournalEnds },
    /// Nothing of the batch is in the journal, nor of any that was handed over after it before this answer.
    NotStored { ticket: Ticket, failure: StoreFailure },
    /// The digests in the seen set for the keys asked for, in that order; answers come in the order of the questions.
    /// The set is complete for events created from `floor` on, on disk: it may have risen since the last answer.
    Known { ticket: Ticket, digests: Vec<Option<CoreDigest>>, floor: Timestamp },
    /// The entries that were read, in order. Empty if nothing is left up to the synced end.
    Entries { reader: JournalReader, read: Read },
    /// The stored envelope of an identity, if the journal still holds it.
    Fetched { ticket: Ticket, entry: Option<Arc<Entry>> },
    /// The newest of the marks asked about that agrees with this journal.
    MarksChecked { ticket: Ticket, agrees: Option<Mark> },
    /// Retention removed segments: the journal now begins at `ends.first_seq`. The losses of each consumer are already
    /// counted and on disk.
    Retired { ends: JournalEnds, missing: Vec<(ConsumerName, u64)> },
    /// Entries that cannot be read, and that the seen set lacks for it.
    Broken(Vec<BrokenEntry>),
}

/// An order to the store.
#[derive(Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum StoreOutput {
    /// Append in this order, sync, answer [`StoreInput::Stored`] or [`StoreInput::NotStored`].
    Append { ticket: Ticket, records: Vec<NewRecord> },
    /// The core has heard of the last failure. The store refuses every append that comes between the failure and this:
    /// the core handed it over before it knew, and it may speak of entries that are not in the journal.
    GoOn,
    /// Steady time, for what expires: `None` while the clock is not to be trusted, and nothing may expire.
    Expire { now: Option<Timestamp> },
}

/// A question to the store. Look-ups are answered in the order asked.
#[derive(Debug)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum StoreQuestion {
    /// Ask the seen set. By identity alone.
    LookUp { ticket: Ticket, keys: Vec<EventKey> },
    /// Read what follows `after_seq`, at most `bytes_max` but at least one entry; answered by [`StoreInput::Entries`].
    Read { reader: JournalReader, after_seq: u64, bytes_max: usize },
    /// Find the stored envelope of an identity.
    Fetch { ticket: Ticket, id: EventId },
    /// Which of these marks, newest first, agrees with this journal? One agrees if its seq lies between the floor and
    /// the last entry and its check is the journal's there.
    CheckMarks { ticket: Ticket, marks: Vec<Mark> },
}

/// The result of one read of the journal.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Where the read began: the place asked for, or a later one if retention took the entries there or they are lost.
    pub after: Mark,
    /// How many of the entries before that place, behind the one asked for, this journal should hold and cannot read.
    pub lost: u64,
    /// Those of which the index knows the key, up to a bound.
    pub broken: Vec<BrokenEntry>,
    /// The entries, in order.
    pub entries: Vec<Arc<Entry>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the doc of a variant says what its fields are")]
pub enum StoreFailure {
    #[error("the disk is full")]
    DiskFull,
    /// The store is closing.
    #[error("the node is stopping")]
    Stopping,
}
