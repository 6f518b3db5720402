//! Why one peer lacks entries that its feed has passed, for a while: its answers on single entries, and expired ones.
//! Decides nothing: for `event show`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::EXCEPTIONS_PER_PEER_MAX;
use crate::protocol::sender::SentTally;
use crate::wire::{AckFrame, VerdictNumber};

/// Why a peer has not an entry that its feed has passed, other than for a rule that can be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentException {
    /// Not sent: its `expires` had passed.
    Expired,
    Rejected(VerdictNumber),
    /// The peer will ask for it again.
    Deferred(VerdictNumber),
    /// It was deferred, and the peer owes itself nothing any more: taken since, come another way, or dropped.
    NotOwed(VerdictNumber),
}

/// The newest exceptions of one peer, since this node started.
#[derive(Clone, Debug, Default)]
pub struct SentExceptions {
    by_seq: BTreeMap<u64, SentException>,
    /// Up to here, nothing is known of entries that are not in `by_seq`.
    known_after: u64,
}

impl SentExceptions {
    /// Returns why the peer lacks the entry, as far as that is known.
    pub fn of(&self, seq: u64) -> Option<SentException> {
        self.by_seq.get(&seq).copied()
    }

    /// Is an entry that is no exception known to be none?
    pub const fn knows(&self, seq: u64) -> bool {
        seq > self.known_after
    }

    fn put(&mut self, seq: u64, what: SentException) {
        self.by_seq.insert(seq, what);
        if self.by_seq.len() > EXCEPTIONS_PER_PEER_MAX
            && let Some((oldest, _)) = self.by_seq.pop_first()
        {
            self.known_after = self.known_after.max(oldest);
        }
    }

    /// Resumes the feed behind `at`, where everything is decided again. If a stream broke before the peer answered,
    /// nothing is known of those entries, as after a restart of this node.
    fn resumed(&mut self, at: u64, acked: Option<u64>) {
        self.by_seq.retain(|seq, _| *seq <= at);
        let told = acked.is_some_and(|acked| at <= acked);
        self.known_after = if told { self.known_after.min(at) } else { at };
    }

    fn owes_nothing(&mut self) {
        for what in self.by_seq.values_mut() {
            if let SentException::Deferred(said) = *what {
                *what = SentException::NotOwed(said);
            }
        }
    }

    fn waits(&self) -> bool {
        self.by_seq.values().any(|what| matches!(what, SentException::Deferred(_)))
    }
}

impl SentTally {
    /// It was not sent: it had expired.
    pub(super) fn expired(&mut self, seq: u64) {
        Arc::make_mut(&mut self.exceptions).put(seq, SentException::Expired);
    }

    /// Takes the verdicts of an ACK on single entries up to `position`, and notes if nothing is owed any more.
    pub(super) fn hear(&mut self, ack: &AckFrame, position: u64) {
        let told = ack.verdicts.iter().filter(|(seq, _)| *seq <= position);
        for (seq, said) in told {
            let what = if said.is_deferred() {
                SentException::Deferred(*said)
            } else {
                SentException::Rejected(*said)
            };
            Arc::make_mut(&mut self.exceptions).put(*seq, what);
        }
        if ack.owed == 0 && self.exceptions.waits() {
            Arc::make_mut(&mut self.exceptions).owes_nothing();
        }
    }

    /// The peer asked for it again and was answered: it has it, unless another verdict follows.
    pub(super) fn answered(&mut self, seq: u64) {
        if self.exceptions.of(seq).is_some() {
            Arc::make_mut(&mut self.exceptions).by_seq.remove(&seq);
        }
    }

    pub(super) fn resumed(&mut self, at: u64) {
        let acked = self.acked;
        Arc::make_mut(&mut self.exceptions).resumed(at, acked);
        // What was acknowledged above is sent again.
        self.acked = acked.map(|acked| acked.min(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::VerdictCode;

    fn ack(seq: u64, owed: u32, verdicts: &[(u64, VerdictCode)]) -> AckFrame {
        let verdicts = verdicts.iter().map(|(seq, code)| (*seq, (*code).into())).collect();
        AckFrame { seq, owed, verdicts, ..AckFrame::default() }
    }

    #[test]
    fn what_a_peer_did_not_take_is_remembered_until_it_is_taken_or_sent_again() {
        let mut tally = SentTally::default();
        tally.resumed(10);
        tally.acked = Some(20);
        tally.hear(
            &ack(
                20,
                2,
                &[(12, VerdictCode::NotWanted), (13, VerdictCode::KeyRevoked), (14, VerdictCode::Rate)],
            ),
            20,
        );
        tally.hear(&ack(20, 2, &[(u64::MAX, VerdictCode::Malformed)]), 20);
        let of = |tally: &SentTally, seq| tally.exceptions.of(seq);
        assert_eq!(of(&tally, 12), Some(SentException::Rejected(VerdictCode::NotWanted.into())));
        assert_eq!(of(&tally, 13), Some(SentException::Deferred(VerdictCode::KeyRevoked.into())));
        assert_eq!(of(&tally, u64::MAX), None, "of what was never sent nothing is believed");
        assert!(tally.exceptions.knows(11) && !tally.exceptions.knows(10), "not what was before the start");

        tally.answered(14);
        assert_eq!(of(&tally, 14), None, "asked for again, and sent");
        tally.hear(&ack(20, 0, &[]), 20);
        assert_eq!(of(&tally, 13), Some(SentException::NotOwed(VerdictCode::KeyRevoked.into())));
        assert_eq!(
            of(&tally, 12),
            Some(SentException::Rejected(VerdictCode::NotWanted.into())),
            "that does not cure it"
        );

        tally.resumed(12);
        assert_eq!(
            (of(&tally, 12), of(&tally, 13)),
            (Some(SentException::Rejected(VerdictCode::NotWanted.into())), None)
        );
        assert_eq!(tally.acked, Some(12), "what lies above is decided again");
        tally.resumed(30);
        assert!(!tally.exceptions.knows(30), "what the peer made of it was said to nobody");
    }

    #[test]
    fn of_too_many_exceptions_the_oldest_are_forgotten_and_that_is_known() {
        let mut tally = SentTally::default();
        tally.resumed(0);
        let most = EXCEPTIONS_PER_PEER_MAX as u64;
        for seq in 1..=most + 1 {
            tally.hear(&ack(seq, 0, &[(seq, VerdictCode::UnknownPublisher)]), seq);
        }
        assert_eq!(tally.exceptions.of(1), None);
        assert!(!tally.exceptions.knows(1) && tally.exceptions.knows(2));
    }
}
