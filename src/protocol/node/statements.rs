//! Key statements (PROTOCOL.md §8): learnt from HELLO and KEY, kept for ever, passed on to every peer.
//! `policy` decides what they mean for keys; entries that a revoked key signed wait, owed, for the operator.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;

use super::*;
use crate::envelope::statement::{StatementError, claimed_publisher};
use crate::envelope::{SignedStatement, StatedKeys};
use crate::identity::IdentityKey;
use crate::limits::STATEMENTS_NEWS_MAX;
use crate::policy::Rate;
use crate::protocol::bucket::TokenBucket;
use crate::record::{Ledger, RejectedPlace, RetryCondition};

/// So many statements of one peer are examined in a second: each may cost a signature check.
pub const STATEMENT_RATE: Rate = Rate { per_second: 50 };

/// So many new statements of one identity key are taken in [`STATEMENTS_WITHIN_MS`]; a revocation always is. Each is
/// kept for ever and goes to everybody, so that who makes them all the time would fill every journal.
const STATEMENTS_MAX: u32 = 8;
const STATEMENTS_WITHIN_MS: u64 = 10 * 60 * 1_000;

/// Statements that were learnt and not yet passed on.
#[derive(Debug, Default)]
pub struct StatementSpread {
    news: BTreeSet<IdentityKey>,
    /// How many of one key were taken since when.
    taken_since: BTreeMap<IdentityKey, (Tick, u32)>,
}

impl StatementSpread {
    /// May one more of `signer` be taken now?
    fn has_turn(&mut self, signer: IdentityKey, now: Tick) -> bool {
        let (since, count) = self.taken_since.entry(signer).or_insert((now, 0));
        if now >= since.plus_ms(STATEMENTS_WITHIN_MS) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= STATEMENTS_MAX
    }
}

impl CoreContext {
    /// A peer showed a statement. Nothing is said against one that is old, or of somebody unknown here. Returns whether
    /// it cost anything to look at.
    pub fn learn(&mut self, bytes: &Bytes, shown_by: &PublisherName, rate: &mut TokenBucket) -> bool {
        let publisher = match claimed_publisher(bytes) {
            Ok(publisher) => Some(publisher),
            // Of a later version (PROTOCOL.md §8). It costs the peer as much as any other.
            Err(StatementError::Version(_)) => return true,
            Err(_) => None,
        };
        let identity = match &publisher {
            Some(publisher) => match self.trust.identity_key(publisher).copied() {
                Some(identity) => Some(identity),
                None => return false,
            },
            None => None,
        };
        let known = identity.and_then(|identity| self.ledger.statements.of(&identity));
        if known.is_some_and(|known| known.all().any(|said| said.bytes() == bytes))
            || self.statements.news.len() >= STATEMENTS_NEWS_MAX
            || !rate.take(self.now.tick)
        {
            return false;
        }
        match publisher.zip(identity) {
            Some((publisher, identity)) => self.examine_statement(bytes, shown_by, &publisher, &identity),
            None => self.refuse_statement(shown_by, "it is no key statement".to_owned()),
        }
        true
    }

    fn examine_statement(
        &mut self,
        bytes: &Bytes,
        shown_by: &PublisherName,
        publisher: &PublisherName,
        identity: &VerifyingKey,
    ) {
        match SignedStatement::verify(bytes, identity) {
            Ok(statement) => {
                let counts = self.ledger.statements.takes(&statement);
                let often = !statement.statement().revoked
                    && counts
                    && !self.statements.has_turn(statement.signer(), self.now.tick);
                if often {
                    let why = format!(
                        "of {publisher}: more than {STATEMENTS_MAX} within ten minutes; heard again later"
                    );
                    return self.refuse_statement(shown_by, why);
                }
                self.take_statement(statement);
            }
            Err(error) => self.refuse_statement(shown_by, format!("of {publisher}: {error}")),
        }
    }

    /// Keeps a verified statement if it counts beside what is known of its signer.
    pub fn take_statement(&mut self, statement: SignedStatement) {
        if !self.ledger.statements.takes(&statement) {
            return;
        }
        let (stated, signer) = (statement.statement(), statement.signer());
        let (publisher, serial, revoked) = (stated.publisher.clone(), stated.serial, stated.revoked);
        self.note(Note::Statement(statement));
        self.statements.news.insert(signer);
        self.tell(Event::KeyStatement { publisher, serial, revoked });
    }

    /// Notes again the statements that could not be stored: they act already, and are written when there is room.
    pub fn note_statements_again(&mut self, lost: &Ledger) {
        for statement in lost.statements.all() {
            if self.ledger.statements.takes(statement) {
                self.note(Note::Statement(statement.clone()));
            }
        }
    }

    fn refuse_statement(&mut self, shown_by: &PublisherName, why: String) {
        self.tell(Event::StatementRefused { peer: shown_by.clone(), why });
    }
}

impl Node {
    /// Applies learnt statements, and sends them to every peer before any carrier that needs them.
    pub(super) fn spread_statements(&mut self) {
        let news = std::mem::take(&mut self.ground.statements.news);
        if news.is_empty() {
            return;
        }
        for link in self.links.values_mut() {
            news.iter().for_each(|signer| link.show_statement(*signer));
        }
        self.on_trust(self.ground.trust.clone());
    }

    /// The operator decides about what revoked keys signed: `key` alone, or all of `publisher`. Says how many.
    pub(super) fn decide_revoked(
        &mut self,
        publisher: &PublisherName,
        key: Option<EventKey>,
        release: bool,
    ) -> usize {
        let trust = &self.ground.trust;
        // Of a peer that is no longer one nothing can be asked for.
        let feeds = self.ground.ledger.feeds.iter().filter(|(peer, _)| self.links.contains_key(*peer));
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
                let steady = self.ground.steady();
                self.ground.note(Note::Released { key: entry.key, at: Some(steady) });
                entry.retry_at = steady;
                self.with_link(&peer, |link, ground| link.owe_again(entry, ground));
            } else {
                self.ground.forget_release(entry.key);
                self.with_link(&peer, |link, ground| link.drop_owed(&entry, ground));
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
        let feeds = self.ground.ledger.feeds.iter();
        let places = feeds.flat_map(|(peer, state)| {
            state.rejected.iter().filter(waits).map(|place| (peer.clone(), place.clone()))
        });
        let cure = RetryCondition::At(self.ground.steady());
        for (peer, place) in places.collect::<Vec<_>>() {
            self.ground.note(Note::Rejected { peer, place: RejectedPlace { cure, ..place } });
        }
    }

    /// Returns the peers with revoked keys, by their own statement or by this node's operator.
    pub fn revoked(&self) -> impl Iterator<Item = &PublisherName> {
        self.ground.trust.peers().filter(|peer| peer.revoked).map(|peer| &peer.name)
    }

    /// Returns the trust list in force: peer files and statements together.
    pub fn trust(&self) -> Arc<TrustList> {
        self.ground.trust.clone()
    }

    /// Returns this node's latest known statement of its own keys.
    pub fn own_statement(&self) -> Option<&SignedStatement> {
        self.ground.ledger.statements.of(self.ground.trust.own_key()).map(StatedKeys::latest)
    }

    /// Returns the statements of every identity trusted now, this node included, but not of their former keys.
    pub fn statements(&self) -> impl Iterator<Item = &StatedKeys> {
        let trust = &self.ground.trust;
        let identities = trust.peers().map(|peer| &peer.key).chain(std::iter::once(trust.own_key()));
        identities.filter_map(|identity| self.ground.ledger.statements.of(identity))
    }
}
