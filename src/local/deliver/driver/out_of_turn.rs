//! One entry that the operator has sent through its door again, out of turn.

use super::{ConsumerDoor, PendingWrite};
use crate::local::dead_letter::retry::{DeadLetterRetry, HandedAgain};
use crate::local::deliver::target::{DeliveryTarget, PreparedLine, ReceiverError};

impl<R: DeliveryTarget> ConsumerDoor<R> {
    /// Hands over one entry out of turn, because the operator asked for it. If its outcome is not known, or if the node
    /// stops, it gets no answer, and its line stays in `aside/`.
    pub(crate) async fn hand_again(&mut self, again: DeadLetterRetry) -> Result<(), ReceiverError> {
        let DeadLetterRetry { entry, claim, done } = again;
        if !claim.begin() {
            return Ok(());
        }
        let handed = match self.write(&entry) {
            _ if self.has_expired(entry.envelope.core().expires) => {
                self.counters.expired(entry.envelope.id());
                HandedAgain::Expired
            }
            PendingWrite::Nothing => HandedAgain::Taken,
            PendingWrite::SetAside(record) => {
                if !self.set_aside(&record).await {
                    return Ok(());
                }
                HandedAgain::SetAside
            }
            PendingWrite::Lines(lines) => {
                let prepared =
                    |(line, adapted)| PreparedLine { mark: None, line, adapted, entry: entry.clone() };
                let made: Vec<PreparedLine> = lines.into_iter().map(prepared).collect();
                let (mut left, mut refused) = (made.as_slice(), Vec::new());
                while !left.is_empty() {
                    let taken = match self.hand(left).await {
                        None => return Ok(()),
                        Some(Err(ReceiverError::Refused(why))) => {
                            refused.push(why);
                            1
                        }
                        Some(taken) => taken?,
                    };
                    left = &left[taken.min(left.len())..];
                    if left.len() < made.len() {
                        continue;
                    }
                    claim.leave();
                    if self.behind.stopping.is_cancelled() || !claim.begin() {
                        return Ok(());
                    }
                }
                let adapted = made.iter().filter(|made| made.adapted).count();
                self.counters.handed((made.len() - refused.len()) as u64, adapted as u64);
                if let Some(why) = refused.pop() {
                    if !self.set_aside(&self.record(&entry, "refused_there", why)).await {
                        return Ok(());
                    }
                    HandedAgain::SetAside
                } else {
                    HandedAgain::Taken
                }
            }
        };
        // The requester may have gone.
        let _ = done.send(handed);
        Ok(())
    }
}
