//! May this go to a local consumer? The core asks before it hands an event off, and `event show` asks to explain. What a
//! consumer had before is known to the core alone.

use super::{Core, Filter, FilterFailure, HopPath, NodeNames, PublisherName, Timestamp, admitted_to_reader};

/// The request of a consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerTerms<'a> {
    /// It also gets the events that this node publishes.
    pub own: bool,
    pub filter: Option<&'a Filter>,
}

impl ConsumerTerms<'_> {
    /// Returns whether it gets events of this publisher.
    pub fn allows_publisher(&self, publisher: &PublisherName, own: &NodeNames) -> bool {
        self.own || !own.has(publisher)
    }
}

/// Why an event is not for a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotHandedOff {
    /// This node published it.
    Own,
    /// It is sealed for others: it cannot be opened here, not even by its publisher.
    Sealed,
    /// Its `expires` has passed.
    Expired,
    /// The consumer's filter does not admit it.
    Filter,
    /// The consumer's filter has no answer for it.
    FilterFailed(FilterFailure),
}

/// May this node hand the envelope of `core` to a local consumer? Nothing expires if `now` is unknown.
///
/// # Errors
/// The first reason against it.
pub(crate) fn hand_off(
    core: &Core,
    path: &HopPath,
    own: &NodeNames,
    to: ConsumerTerms<'_>,
    now: Option<Timestamp>,
) -> Result<(), NotHandedOff> {
    if !to.allows_publisher(&core.id.publisher, own) {
        return Err(NotHandedOff::Own);
    }
    if core.body.is_sealed() && !core.to.iter().any(|name| own.has(name)) {
        return Err(NotHandedOff::Sealed);
    }
    if core.expires.is_some_and(|expires| now.is_some_and(|now| expires <= now)) {
        return Err(NotHandedOff::Expired);
    }
    match admitted_to_reader(to.filter, core, path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(NotHandedOff::Filter),
        Err(failure) => Err(NotHandedOff::FilterFailed(failure)),
    }
}
