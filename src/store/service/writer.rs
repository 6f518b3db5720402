//! The writer: takes all appends that wait, writes them as one batch with one sync, and answers each. Also
//! retention, because only one thread may append.

use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::{StoreShared, StoreWrite};
use crate::protocol::io::{StoreFailure, StoreInput, Ticket};
use crate::record::{JournalEnds, NewRecord};
use crate::store::engine::{Derived, FlushFault, StoreError};
use crate::store::journal::AppendError;
use crate::store::seen::SeenError;
use crate::time::Timestamp;

/// Without work for this long, the end of the journal is marked as synced.
const QUIET: Duration = Duration::from_secs(1);

/// Appends that one sync serves at most.
const GROUP_MAX: usize = 64;

struct WaitingBatch {
    ticket: Ticket,
    carriers: u64,
}

/// Runs until `Close`, until nobody can send any more, or until the disk fails.
pub(super) fn run(shared: &StoreShared, writes: &Receiver<StoreWrite>, flushes: &SyncSender<()>) {
    let mut writer = StoreWriter { shared, refusing: false, clock: None, waiting: Vec::new() };
    loop {
        let first = match writes.recv_timeout(QUIET) {
            Ok(write) => write,
            Err(RecvTimeoutError::Timeout) => {
                shared.engine().journal.mark_quiet();
                if let Err(error) = writer.settle() {
                    return shared.fail(error);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => StoreWrite::Close,
        };
        let done = match first {
            StoreWrite::Append { ticket, records } => writer.append(ticket, records, writes),
            other => writer.obey(other),
        };
        match done {
            Ok(WriterNext::Go) => {}
            Ok(WriterNext::Stop) => break,
            Err(error) => return shared.fail(error),
        }
        let (due, over) = {
            let engine = shared.engine();
            (engine.flush_is_due(), engine.links.is_over())
        };
        if due {
            // One that waits already is enough.
            let _ = flushes.try_send(());
        }
        if over && let Err(error) = writer.flush() {
            return shared.fail(error);
        }
    }
    let closed = writer.flush().and_then(|_| shared.engine().close());
    if let Err(error) = closed
        && !error.is_full()
    {
        shared.fail(error);
    }
    refuse_all(shared, writes);
}

/// Answers what was handed over after the close.
fn refuse_all(shared: &StoreShared, writes: &Receiver<StoreWrite>) {
    for write in writes.try_iter() {
        if let StoreWrite::Append { ticket, .. } = write {
            shared.answer(StoreInput::NotStored { ticket, failure: StoreFailure::Stopping });
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriterNext {
    Go,
    Stop,
}

struct StoreWriter<'a> {
    shared: &'a StoreShared,
    /// An append failed, and the core has not said that it heard of that (`StoreOutput::GoOn`).
    refusing: bool,
    /// Steady time, as the core last said it.
    clock: Option<Timestamp>,
    /// Threads that wait until the seen set may be asked.
    waiting: Vec<SyncSender<()>>,
}

impl StoreWriter<'_> {
    fn append(
        &mut self,
        ticket: Ticket,
        records: Vec<NewRecord>,
        writes: &Receiver<StoreWrite>,
    ) -> Result<WriterNext, StoreError> {
        let mut group = Vec::new();
        let mut all = Vec::new();
        let mut then = None;
        let mut next = Some(StoreWrite::Append { ticket, records });
        while let Some(write) = next.take() {
            match write {
                StoreWrite::Append { ticket, mut records } => {
                    let carriers =
                        records.iter().filter(|r| matches!(r, NewRecord::Carrier(_))).count() as u64;
                    group.push(WaitingBatch { ticket, carriers });
                    all.append(&mut records);
                }
                other => {
                    then = Some(other);
                    break;
                }
            }
            if group.len() < GROUP_MAX {
                next = writes.try_recv().ok();
            }
        }
        self.write(group, all)?;
        self.retire_by_size()?;
        then.map_or(Ok(WriterNext::Go), |then| self.obey(then))
    }

    /// Obeys all but appends, which are grouped.
    fn obey(&mut self, write: StoreWrite) -> Result<WriterNext, StoreError> {
        match write {
            StoreWrite::Close => return Ok(WriterNext::Stop),
            StoreWrite::GoOn => self.refusing = false,
            StoreWrite::Expire(now) => self.expire(now)?,
            StoreWrite::Keep { bytes, ms } => self.shared.engine().journal.keep(bytes, ms),
            StoreWrite::Remake { of, done } => self.remake(of, done)?,
            StoreWrite::Append { .. } => {}
        }
        Ok(WriterNext::Go)
    }

    fn write(&mut self, group: Vec<WaitingBatch>, records: Vec<NewRecord>) -> Result<(), StoreError> {
        if self.refusing {
            self.refuse_group(group);
            return Ok(());
        }
        match self.write_synced(records) {
            Ok((first_seq, ends)) => {
                self.answer(group, first_seq, ends);
                Ok(())
            }
            Err(StoreError::Full) => {
                self.refusing = true;
                self.refuse_group(group);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn write_synced(&self, records: Vec<NewRecord>) -> Result<(u64, JournalEnds), StoreError> {
        let batch = self.shared.engine().begin(records)?;
        let first_seq = batch.first_seq();
        match batch.write(&*self.shared.disk) {
            Ok(()) => Ok((first_seq, self.shared.engine().commit(batch))),
            Err(AppendError::Full) => {
                self.shared.engine().journal.abandon(&batch)?;
                Err(StoreError::Full)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    fn answer(&self, group: Vec<WaitingBatch>, first_seq: u64, ends: JournalEnds) {
        self.shared.newest.send_if_modified(|newest| {
            let is_newer = *newest < ends.last.seq;
            *newest = ends.last.seq;
            is_newer
        });
        let mut first_seq = first_seq;
        for WaitingBatch { ticket, carriers } in group {
            self.shared.answer(StoreInput::Stored { ticket, first_seq, ends });
            first_seq += carriers;
        }
    }

    fn refuse_group(&self, group: Vec<WaitingBatch>) {
        for WaitingBatch { ticket, .. } in group {
            self.shared.answer(StoreInput::NotStored { ticket, failure: StoreFailure::DiskFull });
        }
    }

    fn expire(&mut self, now: Option<Timestamp>) -> Result<(), StoreError> {
        self.clock = now;
        self.shared.engine().forget()?;
        self.settle()?;
        self.retire(now)
    }

    fn remake(&mut self, of: Derived, done: SyncSender<()>) -> Result<(), StoreError> {
        self.waiting.push(done);
        self.make_again(of)
    }

    /// Makes a part again, when no flush is running: one could write the files that are thrown away.
    fn make_again(&mut self, of: Derived) -> Result<(), StoreError> {
        let one = self.shared.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.engine().remake(of)?;
        drop(one);
        self.settle()
    }

    /// Lets those go on who wait for a seen set that was made again, once its floor is on disk.
    fn settle(&mut self) -> Result<(), StoreError> {
        let (settled, problems, broken) = {
            let mut engine = self.shared.engine();
            (engine.settle()?, engine.take_problems(), engine.take_lacks())
        };
        if !broken.is_empty() {
            self.shared.answer(StoreInput::Broken(broken));
        }
        problems.into_iter().for_each(|problem| self.shared.note_problem(problem));
        if settled {
            for waits in self.waiting.drain(..) {
                let _ = waits.send(());
            }
        }
        Ok(())
    }

    /// Flushes, and makes again a part that is broken. Returns false if there is no room.
    fn flush(&mut self) -> Result<bool, StoreError> {
        match self.shared.flush() {
            Err(FlushFault { of, error: SeenError::Corrupt { .. } }) => self.make_again(of)?,
            Err(fault) if fault.error.is_full() => return Ok(false),
            flushed => flushed?,
        }
        Ok(self.shared.engine().is_settled())
    }

    /// Retires segments when the journal is too large, even if the clock is wrong.
    fn retire_by_size(&mut self) -> Result<(), StoreError> {
        let over = self.shared.engine().journal.is_over_size();
        if over { self.retire(self.clock) } else { Ok(()) }
    }

    fn retire(&mut self, now: Option<Timestamp>) -> Result<(), StoreError> {
        let Some(mut retirement) = self.shared.engine().due(now) else { return Ok(()) };
        let uncovered = self.shared.engine().must_flush_before(&retirement);
        if uncovered && !self.flush()? {
            return Ok(());
        }
        let own = self.shared.engine().own().clone();
        retirement.count(&*self.shared.disk, &own)?;
        let retired = self.shared.engine().retire(retirement);
        match retired {
            Ok(retired) => {
                self.shared.answer(StoreInput::Retired { ends: retired.ends, missing: retired.missing });
                Ok(())
            }
            // It comes back with the next append or Expire.
            Err(AppendError::Full) => Ok(()),
            Err(failed) => Err(failed.into()),
        }
    }
}
