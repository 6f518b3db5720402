//! Events that never reach a receiver: it refuses one of their lines for good, or cannot have them in its form. They
//! are set aside before the position passes them.

use super::{ConsumerDoor, DoorWork};
use crate::envelope::Body;
use crate::local::dead_letter::record::AsideRecord;
use crate::local::deliver::target::{DeliveryTarget, ReceiverError};
use crate::record::Entry;

impl<R: DeliveryTarget> ConsumerDoor<R> {
    pub(super) fn record(&self, entry: &Entry, code: &str, why: String) -> AsideRecord {
        let at = (self.behind.now)().wall;
        let mut record = AsideRecord::new(at, self.counters.name(), code, why);
        record.id = Some(entry.envelope.id().to_string());
        // A sealed body stays so at rest: the journal has it.
        if let Body::Plain(payload) = &entry.envelope.core().body {
            record = record.with_line(payload);
        }
        record
    }

    /// Sets aside the event of the first line, and passes over that line. Returns false if the node stops before.
    pub(super) async fn refused(&mut self, work: &mut DoorWork, why: String) -> Result<bool, ReceiverError> {
        let Some(line) = work.run.first() else { return Ok(true) };
        let record = self.record(&line.entry, "refused_there", why);
        let mark = line.mark;
        if !self.set_aside(&record).await {
            return Ok(false);
        }
        work.run.remove(0);
        if let Some(mark) = mark {
            self.receiver.pass(mark).await?;
            self.holding.upto = Some(mark.mark.seq);
            self.acknowledge(work.id, mark).await;
        }
        Ok(true)
    }
}
