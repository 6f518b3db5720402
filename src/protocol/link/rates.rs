//! How much of one peer is read and taken. `rate` is enforced by not reading on, and `rate_per_publisher` by asking and
//! taking later. Only this module defines the cost of a frame.

use std::collections::BTreeMap;

use super::*;
use crate::policy::{Rate, Receive};

/// Entries that one peer may leave owed in a second, also without `rate` in its file. Each costs about 150 bytes.
const OWING_RATE: Rate = Rate { per_second: 200 };

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
    pub fn new(receive: &Receive, now: Tick) -> Self {
        Self {
            all: receive.rate.map(|rate| TokenBucket::new(rate, now)),
            by_publisher: PublisherRates::new(receive.rate_per_publisher),
            ..Self::default()
        }
    }

    /// The peer file says something else.
    pub fn update(&mut self, was: &Receive, is: &Receive, now: Tick) {
        if was.rate != is.rate {
            self.all = is.rate.map(|rate| TokenBucket::new(rate, now));
        }
        if was.rate_per_publisher != is.rate_per_publisher {
            self.by_publisher = PublisherRates::new(is.rate_per_publisher);
        }
    }

    /// Is `frame` of the kind that costs, and beyond the rate?
    pub fn holds_up(&mut self, frame: &WireFrame, now: Tick) -> bool {
        let costs = match frame {
            WireFrame::Carrier(_) | WireFrame::Have(_) | WireFrame::KeyStatement(_) => true,
            WireFrame::Skip(_) => now < self.skip_due,
            // A requested entry was paid with its offer.
            _ => false,
        };
        costs && self.wait_ms(now) > 0
    }

    /// An arrival has its verdict: its bytes are no longer in hand.
    pub fn put_down(&mut self, bytes: usize) {
        self.in_hand = self.in_hand.saturating_sub(bytes);
    }

    pub fn wait_ms(&mut self, now: Tick) -> u64 {
        self.all.as_mut().map_or(0, |rate| rate.wait_ms(now))
    }

    pub fn spend(&mut self, now: Tick) {
        if let Some(rate) = &mut self.all {
            rate.spend(1, now);
        }
    }

    pub fn spend_for_skip(&mut self, now: Tick) {
        if now < self.skip_due {
            self.spend(now);
        }
        self.skip_due = now.plus_ms(SKIP_EVERY_MS);
    }
}

/// `rate_per_publisher`: one bucket for each publisher that came by this peer, under any of its names. A request takes
/// a token first; an entry that is owed for its rate has reserved one.
#[derive(Debug, Default)]
pub struct PublisherRates {
    rate: Option<Rate>,
    /// By present names.
    buckets: BTreeMap<PublisherName, TokenBucket>,
    /// Limits entries that are owed because no answer came. The operator cannot change it.
    owing: Option<TokenBucket>,
}

impl PublisherRates {
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, ..Self::default() }
    }

    /// May one more entry be written down as owed because the peer has not brought it?
    ///
    /// # Errors
    /// How long until one may, in ms.
    pub fn owe(&mut self, now: Tick) -> Result<(), u64> {
        let bucket = self.owing.get_or_insert_with(|| TokenBucket::new(OWING_RATE, now));
        if bucket.take(now) { Ok(()) } else { Err(bucket.wait_ms(now)) }
    }

    /// May one more entry of `publisher` be taken, or asked for, now?
    ///
    /// # Errors
    /// How long until one may, in ms.
    pub fn take(
        &mut self,
        publisher: &PublisherName,
        peer: &PublisherName,
        context: &CoreContext,
        disk: &CoreDisk,
    ) -> Result<(), u64> {
        let Some(rate) = self.rate else { return Ok(()) };
        let (name, now) = (context.trust.present_name(publisher), context.tick());
        if self.buckets.len() >= PEERS_MAX && !self.buckets.contains_key(name) {
            self.buckets.clear();
        }
        let bucket = self.buckets.entry(name.clone()).or_insert_with(|| {
            let mut bucket = TokenBucket::new(rate, now);
            // Those that an earlier bucket gave a time.
            let feed = disk.ledger.feeds.get(peer);
            let owed = |name| feed.map_or(0, |feed| feed.owed.count(VerdictCode::Rate, name));
            bucket.spend(context.trust.names_of(name).map(owed).sum(), now);
            bucket
        });
        if bucket.take(now) { Ok(()) } else { Err(bucket.wait_ms(now)) }
    }

    /// An entry is owed for its rate, and asked for after the wait that [`PublisherRates::take`] named.
    pub fn reserve(&mut self, publisher: &PublisherName, context: &CoreContext) {
        if let Some(bucket) = self.buckets.get_mut(context.trust.present_name(publisher)) {
            bucket.spend(1, context.tick());
        }
    }

    /// Gives a token back when an entry that was owed for its rate came another way, or is gone.
    pub fn give_back(&mut self, publisher: &PublisherName, context: &CoreContext) {
        if let Some(bucket) = self.buckets.get_mut(context.trust.present_name(publisher)) {
            bucket.give_back(context.tick());
        }
    }
}
