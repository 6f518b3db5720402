//! Compares the receiver's entries with the consumer's position, and finds those that were lost.

use super::{ConsumerDoor, DoorWork};
use crate::local::deliver::target::{DeliveryTarget, ReceiverError};

/// Entries that the receiver holds of the position's present generation, as far as this door knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holding {
    /// The last entry; `None` before the receiver was asked or handed anything.
    pub upto: Option<u64>,
    /// The first handed entry comes behind this one; `None` if the receiver held something before.
    after: Option<u64>,
}

impl Holding {
    /// Notes that the entry `seq` is about to be handed over.
    pub(crate) fn hands(&mut self, seq: u64) {
        if self.upto.is_none() && self.after.is_none() {
            self.after = Some(seq.saturating_sub(1));
        }
    }
}

impl<R: DeliveryTarget> ConsumerDoor<R> {
    /// Connects, and asks the receiver what it holds. If that is less than it was handed, returns up to which entry.
    pub(super) async fn connect(&mut self, work: &mut DoorWork) -> Result<Option<u64>, ReceiverError> {
        self.receiver.connect().await?;
        let last = self.receiver.last_taken().await?;
        let Some(generation) = work.generation else { return Ok(None) };
        let seq = match last {
            Some(last) if last.generation == generation && self.behind.journal.agrees(last).await => {
                last.mark.seq
            }
            other => {
                let is_older = other.is_some_and(|last| {
                    last.log_id == self.behind.journal.log_id && last.generation < generation
                });
                return Ok(self.lost_all(is_older));
            }
        };
        work.taken = work.taken.max(seq);
        let lost = R::KEEPS_PLACE && self.holding.upto.is_none_or(|held| seq < held);
        self.holding.upto = Some(seq);
        Ok(lost.then_some(seq))
    }

    /// Handles a place that has no entry of this generation. If any was handed over, it is lost: a place of an older
    /// generation proves that all of it is, so this door hands it over again. Without any place a bot may have read it:
    /// it is reported, and not handed over a second time.
    fn lost_all(&mut self, is_older: bool) -> Option<u64> {
        if !R::KEEPS_PLACE || self.holding.upto.take().is_none() {
            return None;
        }
        let after = self.holding.after.filter(|_| is_older);
        if after.is_none() {
            self.holding.after = None;
            self.counters.lost();
        }
        after
    }
}
