//! Passes key statements on to every peer, and applies them (PROTOCOL.md §8). Entries that a revoked key signed wait,
//! owed, for the operator.

use std::collections::BTreeSet;

use super::*;
use crate::envelope::{SignedStatement, StatedKeys};
use crate::identity::EventKey;
use crate::record::{RejectedPlace, RetryCondition};
use crate::wire::VerdictCode;

impl Node {
    /// Notes again the statements that could not be stored: they act already, and are written when there is room.
    pub(super) fn note_statements_again(&mut self, lost: &Ledger) {
        for statement in lost.statements.all() {
            if self.core.disk.ledger.statements.takes(statement) {
                self.core.note(Note::Statement(statement.clone()));
            }
        }
    }

    /// Applies learnt statements, and sends them to every peer before any carrier that needs them.
    pub(super) fn spread_statements(&mut self) {
        let news = std::mem::take(&mut self.core.traffic.statements.news);
        if news.is_empty() {
            return;
        }
        for link in self.links.values_mut() {
            news.iter().for_each(|signer| link.show_statement(*signer));
        }
        self.on_trust(self.core.context.trust.clone());
    }

    /// The operator decides about what revoked keys signed: `key` alone, or all of `publisher`. Says how many.
    pub(super) fn decide_revoked(
        &mut self,
        publisher: &PublisherName,
        key: Option<EventKey>,
        release: bool,
    ) -> usize {
        let trust = &self.core.context.trust;
        // Of a peer that is no longer one nothing can be asked for.
        let feeds = self.core.disk.ledger.feeds.iter().filter(|(peer, _)| self.links.contains_key(*peer));
        let owed = feeds.flat_map(|(peer, state)| {
            let of_them = state.owed.values().filter(|owed| {
                owed.reason == VerdictCode::KeyRevoked
                    && trust.present_name(&owed.publisher) == trust.present_name(publisher)
                    && key.is_none_or(|key| owed.key == key)
            });
            of_them.map(|owed| (peer.clone(), owed.clone()))
        });
        let owed: Vec<_> = owed.collect();
        let mut identities = BTreeSet::new();
        for (peer, mut entry) in owed {
            identities.insert(entry.key);
            if release {
                let steady = self.core.context.steady();
                self.core.note(Note::Released { key: entry.key, at: Some(steady) });
                entry.retry_at = steady;
                self.with_link(&peer, |link, core| link.owe_again(entry, core));
            } else {
                self.core.forget_release(entry.key);
                self.with_link(&peer, |link, core| link.drop_owed(&entry, core));
            }
        }
        self.read_revoked_again(publisher);
        identities.len()
    }

    /// Reads entries again that found no owed place beside those decided on: now there is room.
    fn read_revoked_again(&mut self, publisher: &PublisherName) {
        let waits = |place: &&RejectedPlace| {
            place.reason == VerdictCode::KeyRevoked
                && place.publisher.as_ref().is_none_or(|of| of == publisher)
        };
        let feeds = self.core.disk.ledger.feeds.iter();
        let places = feeds.flat_map(|(peer, state)| {
            state.rejected.iter().filter(waits).map(|place| (peer.clone(), place.clone()))
        });
        let cure = RetryCondition::At(self.core.context.steady());
        for (peer, place) in places.collect::<Vec<_>>() {
            self.core.note(Note::Rejected { peer, place: RejectedPlace { cure, ..place } });
        }
    }

    /// Returns the peers with revoked keys, by their own statement or by this node's operator.
    pub fn revoked(&self) -> impl Iterator<Item = &PublisherName> {
        self.core.context.trust.peers().filter(|peer| peer.revoked).map(|peer| &peer.name)
    }

    /// Returns the trust list in force: peer files and statements together.
    pub fn trust(&self) -> Arc<TrustList> {
        self.core.context.trust.clone()
    }

    /// Returns this node's latest known statement of its own keys.
    pub fn own_statement(&self) -> Option<&SignedStatement> {
        self.core.disk.ledger.statements.of(self.core.context.trust.own_key()).map(StatedKeys::latest)
    }

    /// Returns the statements of every identity trusted now, this node included, but not of their former keys.
    pub fn statements(&self) -> impl Iterator<Item = &StatedKeys> {
        let trust = &self.core.context.trust;
        let identities = trust.peers().map(|peer| &peer.key).chain(std::iter::once(trust.own_key()));
        identities.filter_map(|identity| self.core.disk.ledger.statements.of(identity))
    }
}
