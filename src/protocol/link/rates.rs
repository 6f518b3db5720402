//! How much of one peer is read and taken. `rate` is enforced by not reading on, and `rate_per_publisher` by asking and
//! taking later. Only this module defines the cost of a frame.

use super::*;
use crate::policy::Receive;
use crate::protocol::publisher_rates::PublisherRates;

#[derive(Debug, Default)]
pub(in crate::protocol) struct Rates {
    all: Option<TokenBucket>,
    pub statements: Option<TokenBucket>,
    pub by_publisher: PublisherRates,
    /// SKIPs that come as often as a sender has to say them cost nothing.
    skip_due: Tick,
    /// Bytes of envelopes between arrival and verdict.
    pub in_hand: usize,
    /// The stream of the receiver waits for `Resume`.
    pub unread: bool,
    /// Frames that were read beyond the rate: the rest of one delivery.
    pub held_up: Vec<WireFrame>,
}

impl Rates {
    pub(crate) fn new(receive: &Receive, now: Tick) -> Self {
        Self {
            all: receive.rate.map(|rate| TokenBucket::new(rate, now)),
            by_publisher: PublisherRates::new(receive.rate_per_publisher),
            ..Self::default()
        }
    }

    /// The peer file says something else.
    pub(crate) fn update(&mut self, was: &Receive, is: &Receive, now: Tick) {
        if was.rate != is.rate {
            self.all = is.rate.map(|rate| TokenBucket::new(rate, now));
        }
        if was.rate_per_publisher != is.rate_per_publisher {
            self.by_publisher = PublisherRates::new(is.rate_per_publisher);
        }
    }

    /// Is `frame` of the kind that costs, and beyond the rate?
    pub(crate) fn holds_up(&mut self, frame: &WireFrame, now: Tick) -> bool {
        let costs = match frame {
            WireFrame::Carrier(_) | WireFrame::Have(_) | WireFrame::KeyStatement(_) => true,
            WireFrame::Skip(_) => now < self.skip_due,
            // A requested entry was paid with its offer.
            _ => false,
        };
        costs && self.wait_ms(now) > 0
    }

    /// An arrival has its verdict: its bytes are no longer in hand.
    pub(crate) fn put_down(&mut self, bytes: usize) {
        self.in_hand = self.in_hand.saturating_sub(bytes);
    }

    pub(crate) fn wait_ms(&mut self, now: Tick) -> u64 {
        self.all.as_mut().map_or(0, |rate| rate.wait_ms(now))
    }

    pub(crate) fn spend(&mut self, now: Tick) {
        if let Some(rate) = &mut self.all {
            rate.spend(1, now);
        }
    }

    pub(crate) fn spend_for_skip(&mut self, now: Tick) {
        if now < self.skip_due {
            self.spend(now);
        }
        self.skip_due = now.plus_ms(SKIP_EVERY_MS);
    }
}
