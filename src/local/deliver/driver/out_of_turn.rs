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
            PendingWrite::Line { line, adapted } => {
                let made = [PreparedLine { mark: None, line, adapted, expires: None }];
                loop {
                    let Some(taken) = self.hand(&made).await else { return Ok(()) };
                    if taken? > 0 {
                        break;
                    }
                    claim.leave();
                    if self.behind.stopping.is_cancelled() || !claim.begin() {
                        return Ok(());
                    }
                }
                self.counters.handed(1, u64::from(adapted));
                HandedAgain::Taken
            }
        };
        // The requester may have gone.
        let _ = done.send(handed);
        Ok(())
    }
}
