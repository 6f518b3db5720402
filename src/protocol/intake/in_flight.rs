//! Tracks which peer is bringing which identity, and which one is asked next (PROTOCOL.md §5.4). Only the order
//! depends on it: if an entry is not brought, the next holder is asked.

use std::collections::BTreeMap;

use crate::identity::{EventKey, PublisherName};
use crate::limits::IN_FLIGHT_EXPIRES_MS;
use crate::protocol::io::StreamId;
use crate::time::Tick;

/// If a peer was asked in vain, it is asked again so much later, in ms, while another holder is known. Or else one that
/// never answers could keep all others from being asked.
const NEXT_TURN_MS: u64 = 2 * IN_FLIGHT_EXPIRES_MS;

/// An identity that somebody is bringing, or was asked for last.
#[derive(Debug)]
struct RequestInFlight {
    peer: PublisherName,
    stream: StreamId,
    until: Tick,
}

#[derive(Debug, Default)]
pub(crate) struct RequestsInFlight(BTreeMap<EventKey, RequestInFlight>);

impl RequestsInFlight {
    /// Returns until when a stream is bringing `key`; `None` if no stream is.
    pub(crate) fn until(&self, key: EventKey, now: Tick) -> Option<Tick> {
        self.0.get(&key).map(|flight| flight.until).filter(|until| *until > now)
    }

    /// Is another stream bringing `key`?
    pub(crate) fn elsewhere(&self, key: EventKey, stream: StreamId, now: Tick) -> bool {
        self.0.get(&key).is_some_and(|flight| flight.stream != stream && flight.until > now)
    }

    pub(crate) fn asked(&mut self, key: EventKey, peer: &PublisherName, stream: StreamId, now: Tick) {
        let until = now.plus_ms(IN_FLIGHT_EXPIRES_MS);
        self.0.insert(key, RequestInFlight { peer: peer.clone(), stream, until });
    }

    /// Returns when `peer` may be asked again; `None` if another peer was asked after it, or if it was long ago.
    pub(super) fn next_turn(&self, key: EventKey, peer: &PublisherName, now: Tick) -> Option<Tick> {
        let flight = self.0.get(&key).filter(|flight| flight.peer == *peer && flight.until <= now)?;
        Some(flight.until.plus_ms(NEXT_TURN_MS)).filter(|turn| *turn > now)
    }

    /// Notes that `stream` brought `key`, or does not have it. If others wait for it, one may have to be asked next.
    pub(super) fn landed(&mut self, key: EventKey, stream: StreamId, waited_for: bool, now: Tick) {
        let Some(flight) = self.0.get_mut(&key).filter(|flight| flight.stream == stream) else { return };
        if waited_for {
            flight.until = flight.until.min(now);
        } else {
            self.0.remove(&key);
        }
    }

    pub(super) fn remove(&mut self, key: EventKey) {
        self.0.remove(&key);
    }

    /// `stream` is gone: nothing comes from it any more.
    pub(crate) fn stream_closed(&mut self, stream: StreamId, now: Tick) {
        for flight in self.0.values_mut().filter(|flight| flight.stream == stream) {
            flight.until = flight.until.min(now);
        }
        self.forget_old(now);
    }

    /// Forgets who was asked long ago.
    pub(crate) fn forget_old(&mut self, now: Tick) {
        self.0.retain(|_, flight| flight.until.plus_ms(NEXT_TURN_MS) > now);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
