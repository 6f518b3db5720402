//! Finds out whether a sender at a TCP door waits for the answer to each event: only then it reads answers. It shows by
//! the events that it sends, since a sender of lines does not say so. Sockets are not known here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// If a sender sends nothing more for this long after its first event, it waits for the answer.
const FIRST_ANSWER_AFTER: Duration = Duration::from_millis(100);

/// One connection.
#[derive(Debug)]
pub(crate) struct SubmitTurns {
    /// True if it is to be found out; otherwise it is known.
    watched: bool,
    read: AtomicU64,
    answered: AtomicU64,
    /// It sends on without answers.
    deaf: CancellationToken,
}

impl SubmitTurns {
    fn new(watched: bool) -> Self {
        Self {
            watched,
            read: AtomicU64::default(),
            answered: AtomicU64::default(),
            deaf: CancellationToken::new(),
        }
    }

    /// Creates the turns of a sender with answers in its protocol.
    pub(crate) fn answered() -> Self {
        Self::new(false)
    }

    /// Creates the turns of a sender that reads no answers.
    pub(crate) fn unanswered() -> Self {
        let turns = Self::new(false);
        turns.deaf.cancel();
        turns
    }

    /// Creates the turns of a sender that may or may not read answers.
    pub(crate) fn unknown() -> Self {
        Self::new(true)
    }

    /// Notes how many events came, and whether a part of one more did.
    pub(crate) fn read(&self, events: u64, is_ahead: bool) {
        let read = self.read.fetch_add(events, Ordering::AcqRel) + events;
        if self.watched && (is_ahead || read > self.answered.load(Ordering::Acquire) + 1) {
            self.deaf.cancel();
        }
    }

    /// Notes that the oldest event has its answer, or needs none.
    pub(crate) fn answered_one(&self) {
        self.answered.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns true if it sends without waiting: events that are not taken now never come again.
    pub(crate) fn waits_for_nothing(&self) -> bool {
        self.deaf.is_cancelled()
    }

    /// Returns true if something was answered before it was known to read no answers.
    pub(crate) fn had_answers(&self) -> bool {
        self.watched && self.answered.load(Ordering::Acquire) > 0
    }

    /// Waits until the next answer may go out; false if there will be none.
    pub(crate) async fn first_answer_due(&self) -> bool {
        if self.watched && self.answered.load(Ordering::Acquire) == 0 {
            let _ = tokio::time::timeout(FIRST_ANSWER_AFTER, self.deaf.cancelled()).await;
        }
        !self.waits_for_nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn senders_that_send_on_get_no_answers() {
        let waits = SubmitTurns::unknown();
        for _ in 0..3 {
            waits.read(1, false);
            assert!(waits.first_answer_due().await);
            waits.answered_one();
        }
        for (events, is_ahead) in [(2, false), (1, true)] {
            let burst = SubmitTurns::unknown();
            burst.read(events, is_ahead);
            assert!(!burst.first_answer_due().await && burst.waits_for_nothing());
        }
        let later = SubmitTurns::unknown();
        later.read(1, false);
        let (due, ()) = tokio::join!(later.first_answer_due(), async { later.read(1, false) });
        assert!(!due, "the second event came before the first answer");
    }

    #[tokio::test]
    async fn what_is_known_of_a_sender_is_not_asked() {
        let frames = SubmitTurns::answered();
        frames.read(9, true);
        assert!(frames.first_answer_due().await && !frames.waits_for_nothing());
        let lines = SubmitTurns::unanswered();
        lines.read(1, false);
        assert!(!lines.first_answer_due().await && lines.waits_for_nothing());
    }
}
