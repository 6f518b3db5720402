//! Counts what crossed on each feed, from outside: when all is quiet, each offered entry has exactly one fate. If the
//! first stream of a feed broke, it is not counted: its entries are offered again.

use std::collections::BTreeMap;

use crate::protocol::io::StreamId;
use crate::wire::WireFrame;

/// Frames that crossed between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCount {
    pushed: u64,
    answered: u64,
    offered: u64,
    wanted: u64,
    gone: u64,
}

impl TrafficCount {
    pub fn count(&mut self, frame: &WireFrame) {
        match frame {
            WireFrame::Carrier(_) => self.pushed += 1,
            WireFrame::Answer(_) => self.answered += 1,
            WireFrame::Have(_) => self.offered += 1,
            WireFrame::Want { .. } => self.wanted += 1,
            WireFrame::Gone { .. } => self.gone += 1,
            _ => {}
        }
    }

    /// Envelopes that crossed a link.
    pub fn envelopes(&self) -> u64 {
        self.pushed + self.answered
    }
}

#[derive(Debug, Default)]
struct FeedCount {
    /// How many streams carried it.
    streams: u32,
    stream: u64,
    offered: u64,
    gone: u64,
    /// The counts of the last ACK: accepted, refused, rejected, owed.
    said: (u64, u64, u64, u64),
}

/// All feeds, by sender and receiver.
#[derive(Debug, Default)]
pub struct FeedCounts(BTreeMap<(usize, usize), FeedCount>);

impl FeedCounts {
    pub fn sends(&mut self, from: usize, to: usize, stream: StreamId, frame: &WireFrame) {
        let receives = stream.0.is_multiple_of(2);
        let feed = self.0.entry(if receives { (to, from) } else { (from, to) }).or_default();
        if feed.stream != stream.0 / 2 || feed.streams == 0 {
            *feed = FeedCount { streams: feed.streams + 1, stream: stream.0 / 2, ..FeedCount::default() };
        }
        match frame {
            WireFrame::Carrier(_) | WireFrame::Have(_) => feed.offered += 1,
            WireFrame::Gone { .. } => feed.gone += 1,
            WireFrame::Ack(ack) => feed.said = (ack.accepted, ack.refused, ack.rejected, u64::from(ack.owed)),
            _ => {}
        }
    }

    /// (5) Returns the first feed (sender, receiver) with an offer that is not accepted, refused, rejected, missing or
    /// owed. An entry that is gone for the sender may have come another way meanwhile, and then has that fate.
    pub fn unaccounted(&self) -> Option<(usize, usize, String)> {
        self.0.iter().find_map(|((sender, receiver), feed)| {
            let FeedCount { streams, offered, gone, said: (accepted, refused, rejected, owed), .. } = *feed;
            let fates = accepted + refused + rejected + owed;
            (streams == 1 && !(fates..=fates + gone).contains(&offered)).then(|| {
                let what = format!(
                    "offered {offered}: accepted {accepted}, refused {refused}, rejected {rejected}, missing {gone}, owed {owed}"
                );
                (*sender, *receiver, what)
            })
        })
    }
}
