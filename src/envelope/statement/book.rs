//! Keeps the latest statement of each identity key, for ever. Statements are kept by key and not by name: one of an
//! older key does not bind a newer key of that name, and it applies under every name of its own key.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;

use super::{SignedStatement, StatedKey};
use crate::identity::IdentityKey;

/// The statements of one identity key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedKeys {
    latest: SignedStatement,
    /// Beside a revocation: the statement before it. It names the keys that signed the events that now wait.
    before: Option<SignedStatement>,
}

impl StatedKeys {
    /// Returns the statement that counts.
    pub fn latest(&self) -> &SignedStatement {
        &self.latest
    }

    /// Returns the statement before a revocation, if it was received.
    pub fn before(&self) -> Option<&SignedStatement> {
        self.before.as_ref()
    }

    /// Returns all statements, in the order in which they were made.
    pub fn all(&self) -> impl Iterator<Item = &SignedStatement> {
        self.before.iter().chain(std::iter::once(&self.latest))
    }

    /// The keys of this publisher. A revocation names none: they are those of before.
    pub fn keys(&self) -> &[StatedKey] {
        let latest = &self.latest.statement().keys;
        match &self.before {
            Some(before) if latest.is_empty() => &before.statement().keys,
            _ => latest,
        }
    }

    /// Would it change with `statement`, of the same signer?
    fn takes(&self, statement: &SignedStatement) -> bool {
        self.is_late_before(statement) || statement.replaces(Some(&self.latest))
    }

    /// Returns whether `statement` is from before a revocation that arrived first. Only the first such statement is
    /// kept, or else somebody with a stolen key could replace the keys that are known.
    fn is_late_before(&self, statement: &SignedStatement) -> bool {
        self.latest.statement().revoked && self.before.is_none() && !statement.statement().revoked
    }
}

/// The statements of all identity keys, by all 32 bytes of those keys. A statement under another key that only has the
/// same id is never found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementBook {
    by_signer: BTreeMap<IdentityKey, StatedKeys>,
}

impl StatementBook {
    /// Returns the statements of `identity`.
    pub fn of(&self, identity: &VerifyingKey) -> Option<&StatedKeys> {
        self.by_signer.get(&IdentityKey::of(identity))
    }

    /// The same by the key's bytes.
    pub fn of_signer(&self, signer: IdentityKey) -> Option<&StatedKeys> {
        self.by_signer.get(&signer)
    }

    /// Returns the statement that counts of each of them.
    pub fn latest(&self) -> impl Iterator<Item = &SignedStatement> {
        self.by_signer.values().map(StatedKeys::latest)
    }

    /// Every statement that is kept; taken in this order they make the same book.
    pub fn all(&self) -> impl Iterator<Item = &SignedStatement> {
        self.by_signer.values().flat_map(StatedKeys::all)
    }

    /// Returns whether `statement`, which was verified, says something new that counts.
    pub fn takes(&self, statement: &SignedStatement) -> bool {
        self.by_signer.get(&statement.signer()).is_none_or(|known| known.takes(statement))
    }

    /// Keeps `statement`, which was verified, if it counts.
    pub fn take(&mut self, statement: SignedStatement) {
        let signer = statement.signer();
        let Some(known) = self.by_signer.get_mut(&signer) else {
            self.by_signer.insert(signer, StatedKeys { latest: statement, before: None });
            return;
        };
        if known.is_late_before(&statement) {
            known.before = Some(statement);
        } else if statement.replaces(Some(&known.latest)) {
            let revoked = statement.statement().revoked;
            let older = std::mem::replace(&mut known.latest, statement);
            known.before = revoked.then_some(older);
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::envelope::{KeyUse, Statement};
    use crate::identity::PublisherName;
    use crate::time::Timestamp;

    fn identity(of: u8) -> SigningKey {
        crate::fixture::key(of)
    }

    fn signed(of: u8, name: &str, serial: u64, revoked: bool) -> SignedStatement {
        let key = identity(of).verifying_key().to_bytes();
        let stated = StatedKey {
            usage: KeyUse::Sign,
            key,
            not_before: Timestamp(0),
            not_after: None,
            compromised: false,
        };
        let keys = if revoked { Vec::new() } else { vec![stated] };
        let publisher = PublisherName::parse(name).unwrap();
        SignedStatement::sign(Statement { publisher, serial, keys, revoked }, &identity(of)).unwrap()
    }

    fn book(statements: &[&SignedStatement]) -> StatementBook {
        let mut book = StatementBook::default();
        statements.iter().for_each(|statement| book.take((*statement).clone()));
        book
    }

    #[test]
    fn what_counts_does_not_depend_on_the_order_in_which_it_is_heard() {
        let (older, newer) = (signed(1, "cert-at", 5, false), signed(1, "austria", 6, false));
        let (last, other) = (signed(1, "cert-at", u64::MAX, true), signed(2, "cert-at", 1, false));
        let whole = book(&[&older, &newer, &last, &other]);
        assert_eq!(whole, book(&[&other, &newer, &older, &last]), "an older one counts for nothing");
        assert_eq!(whole, book(&[&last, &newer, &other, &older]), "a revocation that came first");
        let of = |of: u8| whole.of(&identity(of).verifying_key()).unwrap();
        assert_eq!((of(1).latest(), of(1).before()), (&last, Some(&newer)));
        assert_eq!(of(1).keys(), newer.statement().keys);
        assert_eq!((of(2).latest(), of(2).before()), (&other, None), "another key under the same name");
        assert!(!whole.takes(&signed(1, "cert-at", 9, false)) && !whole.takes(&last));
        assert_eq!(book(&whole.all().collect::<Vec<_>>()), whole);
    }
}
