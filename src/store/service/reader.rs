//! Answers questions, one after the other, in the order asked. Two threads run it: one looks up, one reads,
//! so that a slow old segment never holds up what is being decided.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::remake::asked;
use super::{StoreShared, StoreWrite};
use crate::identity::EventId;
use crate::protocol::io::{JournalReader, Read, StoreInput, StoreQuestion};
use crate::record::Entry;
use crate::store::engine::{Derived, StoreError, StoreProblem};
use crate::store::error::JournalError;
use crate::store::journal::{FoundEntries, Search};

/// Retention may take a segment between finding and reading it; then it is found again, at most this often.
const RETRIES_MAX: usize = 8;

/// Runs until nobody asks any more.
pub(super) fn run(
    shared: &StoreShared,
    questions: &Receiver<StoreQuestion>,
    writes: &SyncSender<StoreWrite>,
) {
    for question in questions {
        match answer(shared, question, writes) {
            Ok(Some(input)) => shared.answer(input),
            Ok(None) => {}
            Err(error) => return shared.fail(error),
        }
    }
}

fn answer(
    shared: &StoreShared,
    question: StoreQuestion,
    writes: &SyncSender<StoreWrite>,
) -> Result<Option<StoreInput>, StoreError> {
    Ok(Some(match question {
        StoreQuestion::LookUp { ticket, keys } => {
            let known = asked(shared, writes, Derived::Seen, |engine| {
                let digests = engine.try_look_up(&keys)?;
                Ok(StoreInput::Known { ticket, digests, floor: engine.floor() })
            });
            return known;
        }
        StoreQuestion::Read { reader, after_seq, bytes_max } => {
            let mut read = read(shared, after_seq, bytes_max)?;
            if matches!(reader, JournalReader::Consumer(_)) {
                let marked = asked(shared, writes, Derived::Links, |engine| engine.links.mark(&mut read))?;
                if marked.is_none() {
                    return Ok(None);
                }
            }
            StoreInput::Entries { reader, read }
        }
        StoreQuestion::Fetch { ticket, id } => {
            let entry = or_problem(shared, fetch(shared, &id))?;
            StoreInput::Fetched { ticket, entry: entry.flatten() }
        }
        StoreQuestion::CheckMarks { ticket, marks } => {
            let agrees = or_problem(shared, shared.engine().journal.newest_agreeing(&marks))?;
            StoreInput::MarksChecked { ticket, agrees: agrees.flatten() }
        }
    }))
}

/// Shows damage as a problem, and then goes on as if nothing were there.
fn or_problem<T>(shared: &StoreShared, result: Result<T, JournalError>) -> Result<Option<T>, JournalError> {
    match result {
        Err(error @ JournalError::Damaged { .. }) => {
            shared.note_problem(StoreProblem::DamagedSegment(error.to_string()));
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Returns the stored envelope of an identity.
pub(super) fn fetch(shared: &StoreShared, id: &EventId) -> Result<Option<Arc<Entry>>, JournalError> {
    let search = shared.engine().journal.search_for(id);
    for entry in found(shared, search)? {
        let entry = entry?;
        if entry.as_ref().is_some_and(|entry| entry.envelope.id() == id) {
            return Ok(entry);
        }
    }
    Ok(None)
}

/// Returns the entries that a search finds, without holding the engine while indexes and segments are read. `None` if
/// an entry is broken, or if retention took it meanwhile.
pub(super) fn found(
    shared: &StoreShared,
    search: Search,
) -> Result<impl Iterator<Item = Result<Option<Arc<Entry>>, JournalError>>, JournalError> {
    let seqs = search.run(&*shared.disk)?;
    Ok(seqs.into_iter().map(|seq| {
        let read = read(shared, seq - 1, 0)?;
        if !read.broken.is_empty() {
            shared.answer(StoreInput::Broken(read.broken));
        }
        Ok(read.entries.into_iter().next().filter(|entry| entry.seq == seq))
    }))
}

/// Reads without holding the engine. A damaged entry is passed over, counted, and shown as a problem.
pub(super) fn read(shared: &StoreShared, after_seq: u64, bytes_max: usize) -> Result<Read, JournalError> {
    let mut after = after_seq;
    let mut retries = 0;
    loop {
        let located = {
            let engine = shared.engine();
            match engine.journal.find(after, bytes_max)? {
                FoundEntries::InMemory(read) => return Ok(engine.journal.counted(read, after_seq)),
                FoundEntries::OnDisk(located) => located,
            }
        };
        match located.read(&*shared.disk, bytes_max) {
            Ok(read) => {
                let engine = shared.engine();
                let mut read = engine.journal.counted(read, after_seq);
                engine.journal.add_twins(&mut read)?;
                return Ok(read);
            }
            Err(JournalError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && retries < RETRIES_MAX =>
            {
                retries += 1;
            }
            Err(error @ JournalError::Damaged { .. }) => {
                let passed = shared.engine().journal.pass(&located);
                if passed == located.first_seq() {
                    shared.note_problem(StoreProblem::DamagedSegment(error.to_string()));
                }
                after = passed;
            }
            Err(error) => return Err(error),
        }
    }
}
