//! The fate of an entry of a feed; why this node does not take one, and one table from each cause to the verdict that
//! the peer gets and to what follows for the entry (PROTOCOL.md §6). Checks nothing itself.

use crate::envelope::{CodecError, Envelope};
use crate::identity::{CoreDigest, HopPath, PublisherName};
use crate::policy::NotReceived;
use crate::time::Timestamp;
use crate::wire::VerdictCode;

/// The fate of an entry of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// Held already.
    Refused,
    /// Not taken; `detail` is for the log.
    Rejected {
        why: Rejection,
        detail: String,
    },
    /// The sender no longer has it.
    Missing,
}

impl Verdict {
    /// Is it owed from now on?
    pub fn is_deferred(&self) -> bool {
        matches!(self, Self::Rejected { why, .. } if matches!(why.into(), (_, Retry::Later(_))))
    }
}

/// Why an entry is not taken. Only the consequence that [`Retry`] names is remembered. Each is counted and reported
/// once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The bytes of the carrier are not an envelope. The fault of the node that made them, or they are of a later
    /// version.
    Undecodable(CodecError),
    /// The hop path does not end with the peer that sent the carrier. The fault of that peer.
    ForeignPath(HopPath),
    /// No trusted node has the publisher's name, nor had it. No fault: a peer file may be added.
    UnknownPublisher(PublisherName),
    /// The publisher has no such key, or not at the time of the event. No fault: a statement may be on its way.
    UnknownKey,
    /// The key that signed belongs to another publisher. The fault of its signer, or two nodes have one name.
    NameMismatch,
    /// A key of the publisher was named, and none of its keys signed it: somebody forged it.
    BadSignature,
    /// Body or `ext` are not the JSON that is allowed. The fault of the publisher.
    BadBody,
    /// The id is not the one that follows from the content. The fault of the publisher.
    ContentIdMismatch,
    /// Another core was published under this identity, and that is proven. The fault of the publisher.
    Equivocation,
    /// Created before the time from which the seen set is complete. No fault.
    TooOld,
    /// Created later than our time by more than is waited for. The fault of the publisher's clock, or of ours.
    TooFarAhead,
    /// Its `expires` has passed. No fault.
    Expired,
    /// The peer file does not allow it from this peer. No fault: the operator decides.
    NotReceived(NotReceived),
    /// Created later than our time, by little: it is taken when that time has come.
    Ahead(Deferral),
    /// More of this publisher came by this peer than `rate_per_publisher` allows. The fault of the peer or of the
    /// publisher.
    Rate(Deferral),
    /// A key that signed it, or its publisher, was revoked: the operator decides.
    KeyRevoked(Deferral),
}

impl Rejection {
    /// Returns the verdict on an entry that carries, or offers, `envelope`.
    pub fn verdict(self, envelope: Option<&Envelope>) -> Verdict {
        let detail = match (&self, envelope) {
            (Self::Undecodable(fault), _) => fault.to_string(),
            (Self::ForeignPath(path), _) => path.to_string(),
            (Self::UnknownPublisher(publisher), _) => publisher.to_string(),
            (_, Some(envelope)) => format!("{} under key {}", envelope.id(), envelope.key_id()),
            (_, None) => String::new(),
        };
        Verdict::Rejected { why: self, detail }
    }
}

/// The facts with which an entry is owed that is not taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    pub digest: CoreDigest,
    pub publisher: PublisherName,
    pub until: Timestamp,
}

/// The consequence for an entry that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry<'a> {
    /// Nothing: its bytes are what they are.
    Never,
    /// It is read again when the trust list, or the version of this program, changes.
    AfterChange,
    /// It is owed, and asked for again.
    Later(&'a Deferral),
}

impl<'a> From<&'a Rejection> for (VerdictCode, Retry<'a>) {
    fn from(why: &'a Rejection) -> Self {
        match why {
            Rejection::Undecodable(CodecError::TooLarge(_)) => (VerdictCode::TooLarge, Retry::Never),
            Rejection::Undecodable(CodecError::UnknownVersion(_) | CodecError::Algorithm(_)) => {
                (VerdictCode::UnknownVersion, Retry::AfterChange)
            }
            Rejection::Undecodable(_) => (VerdictCode::Malformed, Retry::Never),
            Rejection::ForeignPath(_) => (VerdictCode::BadPath, Retry::Never),
            Rejection::UnknownPublisher(_) => (VerdictCode::UnknownPublisher, Retry::AfterChange),
            Rejection::UnknownKey => (VerdictCode::UnknownKey, Retry::AfterChange),
            Rejection::NameMismatch => (VerdictCode::NameMismatch, Retry::AfterChange),
            Rejection::BadSignature => (VerdictCode::BadSignature, Retry::Never),
            Rejection::BadBody => (VerdictCode::BadBody, Retry::Never),
            Rejection::ContentIdMismatch => (VerdictCode::ContentIdMismatch, Retry::Never),
            Rejection::Equivocation => (VerdictCode::Equivocation, Retry::Never),
            Rejection::TooOld => (VerdictCode::TooOld, Retry::Never),
            Rejection::TooFarAhead => (VerdictCode::TooFarAhead, Retry::Never),
            Rejection::Expired => (VerdictCode::Expired, Retry::Never),
            Rejection::NotReceived(NotReceived::Relay) => (VerdictCode::RelayNotAllowed, Retry::AfterChange),
            Rejection::NotReceived(NotReceived::Tlp) => (VerdictCode::TlpNotAllowed, Retry::AfterChange),
            Rejection::NotReceived(NotReceived::Filter | NotReceived::FilterFailed(_)) => {
                (VerdictCode::NotWanted, Retry::AfterChange)
            }
            Rejection::Ahead(deferral) => (VerdictCode::Ahead, Retry::Later(deferral)),
            Rejection::Rate(deferral) => (VerdictCode::Rate, Retry::Later(deferral)),
            Rejection::KeyRevoked(deferral) => (VerdictCode::KeyRevoked, Retry::Later(deferral)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterFailure;

    fn every_rejection() -> Vec<Rejection> {
        let publisher = PublisherName::parse("cert-ee").unwrap();
        let deferral =
            Deferral { digest: CoreDigest([2; 32]), publisher: publisher.clone(), until: Timestamp(7) };
        vec![
            Rejection::Undecodable(CodecError::TooLarge(9)),
            Rejection::Undecodable(CodecError::UnknownVersion(9)),
            Rejection::Undecodable(CodecError::Algorithm(9)),
            Rejection::Undecodable(CodecError::NotACore),
            Rejection::ForeignPath(HopPath::default()),
            Rejection::UnknownPublisher(publisher.clone()),
            Rejection::UnknownKey,
            Rejection::NameMismatch,
            Rejection::BadSignature,
            Rejection::BadBody,
            Rejection::ContentIdMismatch,
            Rejection::Equivocation,
            Rejection::TooOld,
            Rejection::TooFarAhead,
            Rejection::Expired,
            Rejection::NotReceived(NotReceived::Relay),
            Rejection::NotReceived(NotReceived::Tlp),
            Rejection::NotReceived(NotReceived::Filter),
            Rejection::NotReceived(NotReceived::FilterFailed(FilterFailure::Sealed)),
            Rejection::Ahead(deferral.clone()),
            Rejection::Rate(deferral.clone()),
            Rejection::KeyRevoked(deferral),
        ]
    }

    /// A peer of a later version understands a number by its range (PROTOCOL.md §6): it must say what is done here.
    #[test]
    fn retries_agree_with_ranges_of_verdicts() {
        let every = every_rejection();
        for why in &every {
            let (code, retry) = why.into();
            assert_eq!(code.is_deferred(), matches!(retry, Retry::Later(_)), "{why:?}");
            assert_eq!(code.is_curable(), retry == Retry::AfterChange, "{why:?}");
        }
        let given = |code: VerdictCode| every.iter().any(|why| <(VerdictCode, Retry)>::from(why).0 == code);
        let never: Vec<_> = VerdictCode::ALL.iter().filter(|code| !given(**code)).collect();
        // One is for entries that were asked for in vain, the other for nodes of an earlier draft.
        assert_eq!(never, [&VerdictCode::InFlight, &VerdictCode::UnknownKeyStatement]);
    }
}
