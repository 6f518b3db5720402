//! The verdict of a peer on one event, in words for its sender's operator (the table of docs/CODES.md).

use crate::wire::{VerdictCode as Code, VerdictNumber};

/// Returns the meaning of a verdict, and the change that would be needed.
pub(crate) fn words(said: VerdictNumber) -> (&'static str, &'static str) {
    let known = WORDS.iter().find(|(known, ..)| VerdictNumber::from(*known) == said);
    match known {
        Some((_, means, remedy)) => (means, remedy),
        None if said.is_deferred() => (LATER, "nothing: they ask again"),
        None => (LATER, "update this program, or ask them"),
    }
}

/// Said of a number that this version has no name for.
const LATER: &str = "a verdict of a newer program than this one";

const WORDS: [(Code, &str, &str); 22] = [
    (Code::InFlight, "it was on its way from another peer", "nothing: they ask again"),
    (Code::Rate, "above rate_per_publisher there", "nothing: they ask again; or agree on more"),
    (Code::Ahead, "dated ahead: owed there until its time", "check clocks"),
    (Code::UnknownKeyStatement, "its publisher's key is not known there yet", "nothing: they ask again"),
    (Code::KeyRevoked, "a revoked key signed it, and it waits for their operator", "they release or drop it"),
    (Code::Malformed, "the bytes are no envelope to them", "report a bug, with event export"),
    (Code::BadSignature, "the signature does not fit the bytes", "report a bug; or somebody forges"),
    (Code::TooOld, "dated before what their seen set is complete for", "check clocks; old events stay out"),
    (Code::TooFarAhead, "dated more than 24 h ahead", "mend the clock of its publisher"),
    (Code::Equivocation, "the same id stands for another event there", "ask its publisher: a copied key?"),
    (Code::ContentIdMismatch, "its content id does not fit its payload", "report a bug at its publisher"),
    (Code::BadBody, "its body is not one clean JSON object", "report a bug at its publisher"),
    (Code::BadPath, "its hop path is too long, or does not end with us", "look for a loop"),
    (Code::Expired, "it had expired when it came", "its publisher can publish it again"),
    (Code::TooLarge, "larger than an envelope may be", "its publisher can split it"),
    (Code::UnknownPublisher, "its publisher has no peer file there", "they add it; it is taken then"),
    (Code::UnknownKey, "signed with a key that is not known there", "they pair again with its publisher"),
    (Code::RelayNotAllowed, "relay = false there, and we are not its publisher", "they decide"),
    (
        Code::TlpNotAllowed,
        "its label may not come by this way",
        "its publisher can share it with them, or seal it",
    ),
    (Code::UnknownVersion, "a newer form of envelope than they know", "they update"),
    (Code::NotWanted, "their `where` in [receive] does not admit it", "they decide"),
    (Code::NameMismatch, "its key is bound to another name there", "compare names: they can add an alias"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_words() {
        for code in Code::ALL {
            assert_ne!(words((*code).into()).0, LATER, "{}", code.as_str());
        }
        for number in [15, 30, 60] {
            assert_eq!(words(VerdictNumber::new(number).unwrap()).0, LATER);
        }
    }
}
