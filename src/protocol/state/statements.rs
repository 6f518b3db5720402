//! Key statements that peers show (PROTOCOL.md §8): learnt from HELLO and KEY, and kept for ever. They are passed on
//! and applied elsewhere (`node::statements`); `policy` decides what they mean for keys.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::CoreState;
use crate::envelope::SignedStatement;
use crate::envelope::statement::{StatementError, claimed_publisher};
use crate::identity::{IdentityKey, PublisherName};
use crate::limits::STATEMENTS_NEWS_MAX;
use crate::policy::Rate;
use crate::protocol::bucket::TokenBucket;
use crate::protocol::io::Event;
use crate::record::Note;
use crate::time::Tick;

/// So many statements of one peer are examined in a second: each may cost a signature check.
pub(crate) const STATEMENT_RATE: Rate = Rate { per_second: 50 };

/// So many new statements of one identity key are taken in [`STATEMENTS_WITHIN_MS`]; a revocation always is. Each is
/// kept for ever and goes to everybody, so that who makes them all the time would fill every journal.
const STATEMENTS_MAX: u32 = 8;
const STATEMENTS_WITHIN_MS: u64 = 10 * 60 * 1_000;

/// Statements that were learnt and not yet passed on.
#[derive(Debug, Default)]
pub(crate) struct StatementSpread {
    pub news: BTreeSet<IdentityKey>,
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

impl CoreState {
    /// A peer showed a statement. Nothing is said against one that is old, or of somebody unknown here. Returns whether
    /// it cost anything to look at.
    pub(crate) fn learn(&mut self, bytes: &Bytes, shown_by: &PublisherName, rate: &mut TokenBucket) -> bool {
        let publisher = match claimed_publisher(bytes) {
            Ok(publisher) => Some(publisher),
            // Of a later version (PROTOCOL.md §8). It costs the peer as much as any other.
            Err(StatementError::Version(_)) => return true,
            Err(_) => None,
        };
        let identity = match &publisher {
            Some(publisher) => match self.context.trust.identity_key(publisher) {
                Some(identity) => Some(identity),
                None => return false,
            },
            None => None,
        };
        let known = identity.and_then(|identity| self.disk.ledger.statements.of(identity));
        if known.is_some_and(|known| known.all().any(|said| said.bytes() == bytes))
            || self.traffic.statements.news.len() >= STATEMENTS_NEWS_MAX
            || !rate.take(self.context.tick())
        {
            return false;
        }
        let verified = match (&publisher, identity) {
            (Some(publisher), Some(identity)) => {
                let verified = SignedStatement::verify(bytes, identity);
                verified.map_err(|error| format!("of {publisher}: {error}"))
            }
            _ => Err("it is no key statement".to_owned()),
        };
        match verified.and_then(|statement| self.has_turn(statement)) {
            Ok(statement) => self.take_statement(statement),
            Err(why) => self.traffic.tell(Event::StatementRefused { peer: shown_by.clone(), why }),
        }
        true
    }

    /// Is `statement` one of not too many new ones of its signer?
    fn has_turn(&mut self, statement: SignedStatement) -> Result<SignedStatement, String> {
        let stated = statement.statement();
        let counts = !stated.revoked && self.disk.ledger.statements.takes(&statement);
        if counts && !self.traffic.statements.has_turn(statement.signer(), self.context.tick()) {
            let publisher = &stated.publisher;
            return Err(format!(
                "of {publisher}: more than {STATEMENTS_MAX} within ten minutes; heard again later"
            ));
        }
        Ok(statement)
    }

    /// Keeps a verified statement if it counts beside what is known of its signer.
    pub(crate) fn take_statement(&mut self, statement: SignedStatement) {
        let Self { context, disk, traffic } = self;
        if !disk.ledger.statements.takes(&statement) {
            return;
        }
        let (stated, signer) = (statement.statement(), statement.signer());
        let (publisher, serial, revoked) = (stated.publisher.clone(), stated.serial, stated.revoked);
        disk.note(Note::Statement(statement), context.tick());
        traffic.statements.news.insert(signer);
        traffic.tell(Event::KeyStatement { publisher, serial, revoked });
    }
}
