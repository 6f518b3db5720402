//! Decides on an envelope that a peer hands over (PROTOCOL.md §6.2). Each stage is a type that consumes the one before
//! by one check, and cheap checks come before expensive ones:
//!
//! | from | by | to |
//! |---|---|---|
//! | [`Received`] | its bytes | [`Decoded`] |
//! | [`Decoded`] | the seen set | [`Unseen`] |
//! | [`Unseen`] | publisher, keys and time | [`Trusted`] |
//! | [`Trusted`] | the workers: signature, body, content id | [`Verified`] |
//! | [`Verified`] | receive policy, other copies, rate | [`Admitted`], for the journal |
//!
//! Look up early, record late: a forged envelope must never block the true one. So nothing is remembered of an
//! envelope that did not verify. `node::arrivals` carries an arrival from stage to stage.

mod batch;
mod in_flight;
pub mod inspect;
mod judge;
pub(crate) mod reject;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;

use crate::envelope::{Envelope, UnverifiedEnvelope, VerifiedEnvelope};
use crate::identity::{CoreDigest, EventId, EventKey, HopPath, PublisherName};
use crate::policy::{self, Peer};
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::protocol::io::StreamId;
use crate::protocol::rules::without;
use crate::time::Timestamp;

pub(crate) use batch::{Intake, RivalComparison, SeenQuestion};
pub use inspect::{ToVerify, inspect};
pub(crate) use reject::{Deferral, Rejection, Retry, Verdict};

/// An entry of a peer's feed, as it came.
#[derive(Clone, Debug)]
pub(crate) struct FeedEntry {
    pub peer: PublisherName,
    pub stream: StreamId,
    /// Of the sender's journal.
    pub seq: u64,
    /// It answers a WANT.
    pub is_answer: bool,
}

/// The end of the way: the verdict on an arrival.
#[derive(Debug)]
pub(crate) struct Concluded {
    pub entry: FeedEntry,
    pub id: EventId,
    pub key: EventKey,
    pub bytes: usize,
    pub verdict: Verdict,
}

impl Concluded {
    fn new(entry: FeedEntry, envelope: &Envelope, verdict: Verdict) -> Box<Self> {
        let (id, key, bytes) = (envelope.id().clone(), envelope.key(), envelope.bytes().len());
        Box::new(Self { entry, id, key, bytes, verdict })
    }
}

/// Why an arrival does not reach the next stage.
#[derive(Debug)]
pub(crate) enum Detour {
    Concluded(Box<Concluded>),
    /// Another core is held under its identity: their contents are compared.
    Rival(Box<Verified>),
    /// Keys that were not tried have come meanwhile.
    Again(Box<Unseen>),
}

impl From<Box<Concluded>> for Detour {
    fn from(concluded: Box<Concluded>) -> Self {
        Self::Concluded(concluded)
    }
}

/// A carrier of a peer.
#[derive(Debug)]
pub(crate) struct Received {
    pub entry: FeedEntry,
    pub path: HopPath,
    pub bytes: Bytes,
}

impl Received {
    pub(crate) fn decode(self) -> Result<Decoded, Rejection> {
        let Self { entry, path, bytes } = self;
        match UnverifiedEnvelope::decode(bytes) {
            Ok(envelope) => Ok(Decoded { entry, path, envelope }),
            Err(fault) => Err(Rejection::Undecodable(fault)),
        }
    }
}

/// A well-formed envelope: its signer may be anybody.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub entry: FeedEntry,
    path: HopPath,
    envelope: UnverifiedEnvelope,
}

impl Decoded {
    pub(crate) fn envelope(&self) -> &Envelope {
        self.envelope.envelope()
    }

    /// The hop path's last entry must be the authenticated peer (decisions/0010).
    pub(crate) fn handed_over_by(self, peer: &Peer) -> Result<Self, Rejection> {
        if self.path.last().is_some_and(|last| peer.has_name(last)) {
            Ok(self)
        } else {
            Err(Rejection::ForeignPath(self.path))
        }
    }

    /// `held` is the digest of what this node holds under its identity.
    pub(crate) fn unseen(self, held: Option<CoreDigest>, disk: &CoreDisk) -> Result<Unseen, Box<Concluded>> {
        let envelope = self.envelope();
        let (publisher, key, digest) = (envelope.publisher(), envelope.key(), envelope.digest());
        match held {
            Some(held) if held == digest => {
                Err(Concluded::new(self.entry, self.envelope.envelope(), Verdict::Refused))
            }
            Some(_) if judge::is_equivocation(publisher, key, digest, disk) => {
                Err(self.rejected(Rejection::Equivocation))
            }
            held => Ok(Unseen { decoded: self, is_rival: held.is_some() }),
        }
    }

    fn rejected(self, why: Rejection) -> Box<Concluded> {
        let envelope = self.envelope.envelope();
        Concluded::new(self.entry, envelope, why.verdict(Some(envelope)))
    }
}

/// This node does not hold it, or holds another core under its identity.
#[derive(Clone, Debug)]
pub(crate) struct Unseen {
    decoded: Decoded,
    is_rival: bool,
}

impl Unseen {
    /// Trust and time, before the signature.
    pub(crate) fn trusted(self, context: &CoreContext, disk: &CoreDisk) -> Result<Trusted, Box<Concluded>> {
        let envelope = self.decoded.envelope();
        let keys = judge::candidate_keys(envelope, context, disk);
        match keys.and_then(|keys| judge::check_time(envelope, context, disk).map(|()| keys)) {
            Ok(keys) => Ok(Trusted { unseen: self, keys }),
            Err(why) => Err(self.decoded.rejected(why)),
        }
    }
}

/// One of these keys must have signed it.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    unseen: Unseen,
    keys: Vec<VerifyingKey>,
}

impl Trusted {
    fn to_verify(&self) -> ToVerify {
        (self.unseen.decoded.envelope.clone(), self.keys.clone())
    }

    /// `result` is that of the workers. The signer is judged after the signature: see `judge::check_signer`.
    pub(crate) fn verified(
        self,
        result: Result<VerifiedEnvelope, Rejection>,
        context: &CoreContext,
        disk: &CoreDisk,
    ) -> Result<Verified, Detour> {
        let Self { unseen, keys } = self;
        let unverified = unseen.decoded.envelope();
        let signed = match result {
            Ok(envelope) => judge::check_signer(&envelope, context, disk).map(|()| envelope),
            Err(Rejection::BadSignature) if judge::has_other_keys(unverified, &keys, context, disk) => {
                return Err(Detour::Again(Box::new(unseen)));
            }
            Err(Rejection::BadSignature) => Err(judge::judge_unsigned(unverified, &keys, context)),
            Err(why) => Err(why),
        };
        match signed {
            Ok(envelope) => {
                let Unseen { decoded: Decoded { entry, path, .. }, is_rival } = unseen;
                Ok(Verified { entry, path, envelope, is_rival })
            }
            Err(why) => Err(unseen.decoded.rejected(why).into()),
        }
    }
}

/// Its publisher signed it.
#[derive(Debug)]
pub(crate) struct Verified {
    entry: FeedEntry,
    path: HopPath,
    pub envelope: VerifiedEnvelope,
    is_rival: bool,
}

impl Verified {
    pub(crate) fn entry(&self) -> &FeedEntry {
        &self.entry
    }

    /// `source` is the peer that handed it over, and `take_rate` takes a place in the rate of a publisher, or returns
    /// the wait in ms. A requested envelope has paid for its place already.
    pub(crate) fn admitted(
        self,
        source: &Peer,
        take_rate: impl FnOnce(&PublisherName) -> Result<(), u64>,
        context: &CoreContext,
        intake: &Intake,
    ) -> Result<Admitted, Detour> {
        let envelope = self.envelope.envelope();
        let (key, digest, publisher) = (envelope.key(), envelope.digest(), envelope.publisher());
        if let Err(why) = policy::receive(envelope.core(), &self.path, context.trust.own_names(), source) {
            return Err(self.rejected(Rejection::NotReceived(why)).into());
        }
        // Asked again after the signature: another copy may have come meanwhile.
        match intake.fresh(key).map(|fresh| fresh.digest()) {
            Some(fresh) if fresh == digest => return Err(self.concluded(Verdict::Refused).into()),
            None if !self.is_rival => {}
            _ => return Err(Detour::Rival(Box::new(self))),
        }
        if !self.entry.is_answer
            && let Err(wait) = take_rate(publisher)
        {
            let until = context.steady().plus_ms(wait);
            let deferral = Deferral { digest, publisher: publisher.clone(), until };
            return Err(self.rejected(Rejection::Rate(deferral)).into());
        }
        let Self { entry, path, envelope, .. } = self;
        Ok(Admitted { entry, path, envelope })
    }

    pub(crate) fn concluded(self, verdict: Verdict) -> Box<Concluded> {
        Concluded::new(self.entry, self.envelope.envelope(), verdict)
    }

    pub(crate) fn rejected(self, why: Rejection) -> Box<Concluded> {
        let verdict = why.verdict(Some(self.envelope.envelope()));
        self.concluded(verdict)
    }
}

/// It is taken: for the journal.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub entry: FeedEntry,
    pub path: HopPath,
    pub envelope: VerifiedEnvelope,
}

impl Admitted {
    pub(crate) fn accepted(self) -> Box<Concluded> {
        Concluded::new(self.entry, self.envelope.envelope(), Verdict::Accepted)
    }
}

/// An entry that a peer offers.
#[derive(Clone, Debug)]
pub(crate) struct EnvelopeOffer {
    pub entry: FeedEntry,
    pub key: EventKey,
    pub digest: CoreDigest,
    pub publisher: PublisherName,
    /// As the peer says: it is not signed.
    pub created: Timestamp,
}

impl EnvelopeOffer {
    /// Is it to be asked for? `held` is the digest of what this node holds under its identity.
    ///
    /// # Errors
    /// The verdict on the entry, without its envelope.
    pub(crate) fn wanted(
        &self,
        held: Option<CoreDigest>,
        source: &Peer,
        context: &CoreContext,
        disk: &CoreDisk,
    ) -> Result<(), Verdict> {
        let Self { key, digest, publisher, .. } = self;
        match held {
            Some(held) if held == *digest => return Err(Verdict::Refused),
            Some(_) if judge::is_equivocation(publisher, *key, *digest, disk) => {
                return Err(Rejection::Equivocation.verdict(None));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if !context.trust.publisher(publisher) {
            return Err(Rejection::UnknownPublisher(publisher.clone()).verdict(None));
        }
        without!(context, OwnTrusted => if context.is_own(publisher) {
            return Err(Rejection::UnknownPublisher(publisher.clone()).verdict(None));
        });
        if let Err(why) = policy::receive_offer(publisher, context.trust.own_names(), source) {
            return Err(Rejection::NotReceived(why).verdict(None));
        }
        let deferral = |until| Deferral { digest: *digest, publisher: publisher.clone(), until };
        if context.trust.is_revoked(publisher) && !disk.is_released(*key) {
            return Err(Rejection::KeyRevoked(deferral(judge::decided_by(context))).verdict(None));
        }
        // By the date that the peer says: nothing else requires the envelope now, and the signed date is judged later.
        match judge::ahead_until(self.created, context) {
            Some(until) => Err(Rejection::Ahead(deferral(until)).verdict(None)),
            None => Ok(()),
        }
    }
}
