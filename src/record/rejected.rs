//! Places of a feed that are read again: before the lowest entry that was rejected for a reason that can be cured, or
//! that was deferred and found no owed place. Each place stands for all such entries above it.

use std::ops::Deref;

use crate::identity::PublisherName;
use crate::limits::PUBLISHER_PLACES_MAX;
#[cfg(any(feature = "node", feature = "sim"))]
use crate::record::CURABLE_REASONS;
use crate::time::Timestamp;
use crate::wire::{Mark, VerdictCode};

/// Reasons for which entries are deferred without an owed place, and one for entries that were lost here.
#[cfg(any(feature = "node", feature = "sim"))]
const DEFERRED_REASONS: usize = 4;

/// Places of one feed: one for each curable reason, and for what is deferred one for each publisher up to a bound,
/// and one for all others.
#[cfg(any(feature = "node", feature = "sim"))]
pub(crate) const REJECTED_PLACES_MAX: usize = CURABLE_REASONS.len() + PUBLISHER_PLACES_MAX + DEFERRED_REASONS;

/// The place from which to read again when the reason is cured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedPlace {
    pub reason: VerdictCode,
    /// The publisher that it is kept for, if it is kept for one.
    pub publisher: Option<PublisherName>,
    /// The place before the lowest such entry.
    pub before: Mark,
    pub cure: RetryCondition,
}

/// The condition that cures the entries above a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCondition {
    /// Another trust list than the one with this digest ([`crate::policy::TrustList::digest`]).
    Trust([u8; 32]),
    /// Time: steady time has reached this.
    At(Timestamp),
}

impl RetryCondition {
    /// Returns the condition for both: the earlier time, or else the trust list that was asked last.
    pub fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (Self::At(_), Self::Trust(_)) => self,
            (Self::Trust(_), _) => later,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedPlaces(Vec<RejectedPlace>);

impl RejectedPlaces {
    /// Remembers a place; of one reason and publisher the lowest is kept.
    pub fn add(&mut self, place: RejectedPlace) {
        match self.merged(place) {
            (Some(at), merged) => self.0[at] = merged,
            (None, place) => self.0.push(place),
        }
    }

    /// Returns true if it would change anything to remember this place.
    pub fn changes(&self, place: &RejectedPlace) -> bool {
        let (at, merged) = self.merged(place.clone());
        at.is_none_or(|at| self.0[at] != merged)
    }

    /// Returns the place as it would be kept, and its index if it is kept already.
    fn merged(&self, mut place: RejectedPlace) -> (Option<usize>, RejectedPlace) {
        place.publisher = place.publisher.and_then(|publisher| self.kept_for(place.reason, &publisher));
        let same = |known: &RejectedPlace| known.reason == place.reason && known.publisher == place.publisher;
        let at = self.0.iter().position(same);
        if let Some(known) = at.and_then(|at| self.0.get(at)) {
            if known.before.seq <= place.before.seq {
                place.before = known.before;
            }
            place.cure = known.cure.and(place.cure);
        }
        (at, place)
    }

    fn find(&mut self, reason: VerdictCode, publisher: Option<&PublisherName>) -> Option<&mut RejectedPlace> {
        self.0.iter_mut().find(|place| place.reason == reason && place.publisher.as_ref() == publisher)
    }

    /// Returns the publisher of the place that stands for entries of `publisher`: `None` if it shares the place of all
    /// that have none of their own.
    pub fn kept_for(&self, reason: VerdictCode, publisher: &PublisherName) -> Option<PublisherName> {
        let own = self.0.iter().filter(|place| place.publisher.is_some());
        let known =
            own.clone().any(|place| place.reason == reason && place.publisher.as_ref() == Some(publisher));
        (known || own.count() < PUBLISHER_PLACES_MAX).then(|| publisher.clone())
    }

    /// Moves a place to `next` when the feed was read again from it, or removes it.
    pub fn read_again(
        &mut self,
        reason: VerdictCode,
        publisher: Option<&PublisherName>,
        next: Option<(Mark, RetryCondition)>,
    ) {
        match (self.find(reason, publisher), next) {
            (Some(known), Some((before, cure))) => (known.before, known.cure) = (before, cure),
            (Some(_), None) => {
                self.0.retain(|place| place.reason != reason || place.publisher.as_ref() != publisher);
            }
            (None, _) => {}
        }
    }

    /// Keeps what lies below `seq`: entries above it come again in order.
    pub fn cut_from(&mut self, seq: u64) {
        self.0.retain(|place| place.before.seq < seq);
    }
}

impl Deref for RejectedPlaces {
    type Target = [RejectedPlace];

    fn deref(&self) -> &[RejectedPlace] {
        &self.0
    }
}

impl FromIterator<RejectedPlace> for RejectedPlaces {
    fn from_iter<T: IntoIterator<Item = RejectedPlace>>(places: T) -> Self {
        Self(places.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Check;

    fn place(seq: u64, publisher: Option<&str>, cure: RetryCondition) -> RejectedPlace {
        let (reason, publisher) = match publisher {
            Some(publisher) => (VerdictCode::Rate, Some(PublisherName::parse(publisher).unwrap())),
            None => (VerdictCode::NotWanted, None),
        };
        RejectedPlace { reason, publisher, before: Mark { seq, check: Check::START }, cure }
    }

    #[test]
    fn only_what_lies_lower_or_comes_sooner_changes_a_place() {
        let mut places = RejectedPlaces::default();
        let at = |ms| RetryCondition::At(Timestamp(ms));
        let adds = [
            (place(9, None, RetryCondition::Trust([1; 32])), true),
            (place(10, None, RetryCondition::Trust([1; 32])), false),
            (place(8, None, RetryCondition::Trust([1; 32])), true),
            (place(10, None, RetryCondition::Trust([2; 32])), true),
            (place(9, Some("a"), at(50)), true),
            (place(9, Some("b"), at(50)), true),
            (place(30, Some("a"), at(60)), false),
            (place(30, Some("a"), at(40)), true),
        ];
        for (place, changes) in adds {
            assert_eq!(places.changes(&place), changes, "{place:?}");
            places.add(place);
        }
        let kept = [
            place(8, None, RetryCondition::Trust([2; 32])),
            place(9, Some("a"), at(40)),
            place(9, Some("b"), at(50)),
        ];
        assert_eq!(places[..], kept);
    }

    #[test]
    fn beyond_the_bound_publishers_share_one_place() {
        let mut places = RejectedPlaces::default();
        for nth in 0..1_000 {
            places.add(place(1_000 - nth, Some(&format!("p{nth}")), RetryCondition::At(Timestamp(nth))));
        }
        assert_eq!(places.len(), PUBLISHER_PLACES_MAX + 1);
        let shared = places.iter().find(|place| place.publisher.is_none()).unwrap();
        assert_eq!(
            (shared.before.seq, shared.cure),
            (1, RetryCondition::At(Timestamp(PUBLISHER_PLACES_MAX as u64)))
        );
    }

    #[test]
    fn a_place_that_was_read_again_moves_or_goes() {
        let mut places = RejectedPlaces::default();
        places.add(place(3, Some("a"), RetryCondition::At(Timestamp(1))));
        let publisher = PublisherName::parse("a").unwrap();
        let next = (Mark { seq: 7, check: Check::START }, RetryCondition::At(Timestamp(9)));
        places.read_again(VerdictCode::Rate, Some(&publisher), Some(next));
        assert_eq!(places[..], [place(7, Some("a"), RetryCondition::At(Timestamp(9)))]);
        places.read_again(VerdictCode::Rate, None, None);
        assert_eq!(places.len(), 1, "another place");
        places.read_again(VerdictCode::Rate, Some(&publisher), None);
        assert_eq!(places.len(), 0);
    }
}
