//! Counts of the entries that one peer was given, as far as the peer says so itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::{self, Peer, WithheldReason};
use crate::protocol::context::CoreContext;
use crate::protocol::failing::FilterFailures;
use crate::protocol::sent::SentExceptions;
use crate::record::Entry;
use crate::wire::{AckFrame, VerdictCode, VerdictNumber};

/// A count that a peer says is believed up to here, so that sums of a few stay sums.
const COUNT_MAX: u64 = u64::MAX >> 8;

/// Counts of the entries that this node gave to one peer since it started (CONTRACT.md §6.3).
#[derive(Clone, Debug, Default)]
pub(crate) struct SentTally {
    pub accepted: u64,
    pub refused: u64,
    pub rejected: u64,
    /// How many entries the peer owes itself now.
    pub deferred: u64,
    pub withheld: BTreeMap<WithheldReason, u64>,
    /// The filter of `[share]`.
    pub failing: FilterFailures,
    /// Of the rejected ones, those that the peer's own policy does not want: its filter, or that it does not trust
    /// their publisher. Nothing is wrong with them, and nothing can be done about them here.
    pub not_wanted: u64,
    /// Each entry is counted as withheld once: up to here they were.
    withheld_through: u64,
    /// The last place that the peer acknowledged since the start; kept when the feed ends.
    pub acked: Option<u64>,
    /// The last verdict of the peer that was a rejection.
    pub last_rejection: Option<(u64, VerdictNumber)>,
    /// Entries that it lacks, though its feed passed them. Shared with the view, which is made every second.
    pub exceptions: Arc<SentExceptions>,
}

impl SentTally {
    pub(super) fn withhold(
        &mut self,
        entry: &Entry,
        reason: WithheldReason,
        peer: &Peer,
        context: &CoreContext,
    ) {
        if reason == WithheldReason::Expired {
            self.expired(entry.seq);
        }
        if entry.seq <= self.withheld_through {
            return;
        }
        *self.withheld.entry(reason).or_default() += 1;
        self.withheld_through = entry.seq;
        if reason == WithheldReason::FilterFailed
            && let Some(failure) =
                policy::failure(peer.share.filter.as_ref(), entry.envelope.core(), &entry.path)
        {
            self.failing.note(failure, context.now.wall);
        }
    }

    /// Adds the counts of an ACK; `before` holds the counts of the one before it.
    pub(super) fn acknowledged(&mut self, ack: &AckFrame, before: (u64, u64, u64)) {
        let (accepted, refused, rejected) = before;
        let more = |sum: &mut u64, said: u64, before: u64| {
            // What a peer says of itself may be anything.
            *sum = sum.saturating_add(said.saturating_sub(before)).min(COUNT_MAX);
        };
        more(&mut self.accepted, ack.accepted, accepted);
        more(&mut self.refused, ack.refused, refused);
        // Each is named by a verdict, and those by entries that were named to the peer.
        let named = rejected.saturating_add(ack.verdicts.len() as u64);
        more(&mut self.rejected, ack.rejected.min(named), rejected);
        self.deferred = u64::from(ack.owed);
        self.acked = Some(ack.seq);
        let policies = [VerdictCode::NotWanted, VerdictCode::UnknownPublisher, VerdictCode::RelayNotAllowed];
        let unwanted = |said: &VerdictNumber| said.known().is_some_and(|code| policies.contains(&code));
        self.not_wanted += ack.verdicts.iter().filter(|(_, said)| unwanted(said)).count() as u64;
        let fault = |said: &VerdictNumber| !said.is_deferred() && !unwanted(said);
        if let Some(last) = ack.verdicts.iter().rev().find(|(_, said)| fault(said)) {
            self.last_rejection = Some(*last);
        }
    }
}
