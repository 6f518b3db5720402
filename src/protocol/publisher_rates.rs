//! How much of each publisher is asked for and taken from one peer: `rate_per_publisher`. Entries beyond it are owed.

use std::collections::BTreeMap;

use crate::identity::PublisherName;
use crate::limits::PEERS_MAX;
use crate::policy::Rate;
use crate::protocol::bucket::TokenBucket;
use crate::protocol::context::{CoreContext, CoreDisk};
use crate::time::Tick;
use crate::wire::VerdictCode;

/// Entries that one peer may leave owed in a second, also without `rate` in its file. Each costs about 150 bytes.
const OWING_RATE: Rate = Rate { per_second: 200 };

/// `rate_per_publisher`: one bucket for each publisher that came by this peer, under any of its names. A request takes
/// a token first; an entry that is owed for its rate has reserved one.
#[derive(Debug, Default)]
pub(crate) struct PublisherRates {
    rate: Option<Rate>,
    /// By present names.
    buckets: BTreeMap<PublisherName, TokenBucket>,
    /// Limits entries that are owed because no answer came. The operator cannot change it.
    owing: Option<TokenBucket>,
}

impl PublisherRates {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { rate, ..Self::default() }
    }

    /// May one more entry be written down as owed because the peer has not brought it?
    ///
    /// # Errors
    /// How long until one may, in ms.
    pub(crate) fn owe(&mut self, now: Tick) -> Result<(), u64> {
        let bucket = self.owing.get_or_insert_with(|| TokenBucket::new(OWING_RATE, now));
        if bucket.take(now) { Ok(()) } else { Err(bucket.wait_ms(now)) }
    }

    /// May one more entry of `publisher` be taken, or asked for, now?
    ///
    /// # Errors
    /// How long until one may, in ms.
    pub(crate) fn take(
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
    pub(crate) fn reserve(&mut self, publisher: &PublisherName, context: &CoreContext) {
        if let Some(bucket) = self.buckets.get_mut(context.trust.present_name(publisher)) {
            bucket.spend(1, context.tick());
        }
    }

    /// Gives a token back when an entry that was owed for its rate came another way, or is gone.
    pub(crate) fn give_back(&mut self, publisher: &PublisherName, context: &CoreContext) {
        if let Some(bucket) = self.buckets.get_mut(context.trust.present_name(publisher)) {
            bucket.give_back(context.tick());
        }
    }
}
