//! Answers to WANT: the entry if seq and key agree and policy still allows it, else GONE. Each costs one read of about
//! what is asked for, and one that names another key than the entry's costs its sender time. Which entries may be
//! shared is decided elsewhere.

use super::*;
use crate::policy::Rate;
use crate::protocol::bucket::TokenBucket;

/// So many WANTs with a key that the entry does not have are answered in a second: a WANT of 30 bytes makes us read an
/// envelope, and only the right key makes the peer pay for it. Honest ones come after this journal was put back.
const MISTAKES_RATE: Rate = Rate { per_second: 10 };

/// Bytes that are read for each WANT of an entry close behind the first: most entries are smaller.
const NEIGHBOUR_BYTES: usize = 32 * 1024;
/// So close behind the first, in seqs; at most [`READ_BYTES`] are read together.
const NEIGHBOURS_MAX: u64 = (READ_BYTES / NEIGHBOUR_BYTES) as u64;

#[derive(Debug)]
pub(super) struct PendingWants {
    queue: VecDeque<(u64, EventKey)>,
    /// The entries that were read last for them.
    cache: BTreeMap<u64, Arc<Entry>>,
    mistakes: TokenBucket,
    /// Nothing is answered before: too many named another key.
    put_off: Option<Tick>,
}

impl PendingWants {
    pub(crate) fn new(now: Tick) -> Self {
        let mistakes = TokenBucket::new(MISTAKES_RATE, now);
        Self { queue: VecDeque::new(), cache: BTreeMap::new(), mistakes, put_off: None }
    }

    pub(crate) fn are_open(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When the next one is answered, if that is put off.
    pub(crate) fn wait_until(&self) -> Option<Tick> {
        self.put_off.filter(|_| self.are_open())
    }

    /// How many bytes to read for the first one and those that ask for entries close behind it: one entry for it
    /// alone.
    fn bytes_for_first(&self, seq: u64) -> usize {
        let close = seq + 1..seq + NEIGHBOURS_MAX;
        let asked = self.queue.iter().take(OWED_PER_FEED_MAX).filter(|(other, _)| close.contains(other));
        asked.take(NEIGHBOURS_MAX as usize).count() * NEIGHBOUR_BYTES
    }
}

impl FeedSender {
    pub(crate) fn on_want(&mut self, seq: u64, key: EventKey) -> Result<(), FeedFault> {
        let SenderPhase::Live(live) = &self.phase else { return Err(before_subscribe("WANT")) };
        if seq == 0 || seq > live.position.seq {
            let detail = format!("WANT of seq {seq}; this stream has reached {}", live.position.seq);
            return Err(FeedFault::out_of_turn(detail));
        }
        if self.wants.queue.len() >= OWED_PER_FEED_MAX {
            return Err(FeedFault::out_of_turn(format!("more than {OWED_PER_FEED_MAX} open WANTs")));
        }
        self.wants.queue.push_back((seq, key));
        Ok(())
    }

    /// Handles the read for the front WANT: if the read did not bring the entry, it is gone.
    pub(super) fn on_wanted_entries(&mut self, read: Read, context: &CoreContext, traffic: &mut Traffic) {
        self.wants.cache = read.entries.into_iter().map(|entry| (entry.seq, entry)).collect();
        if let Some((seq, _)) = self.wants.queue.front().copied()
            && !self.wants.cache.contains_key(&seq)
        {
            self.wants.queue.pop_front();
            self.say_gone(seq, context, traffic);
        }
    }

    fn say_gone(&mut self, seq: u64, context: &CoreContext, traffic: &mut Traffic) {
        without!(context, Gone => return);
        self.pipe.send(WireFrame::Gone { seq }, context, traffic);
    }

    pub(super) fn answer_wants(
        &mut self,
        peer: &Peer,
        tally: &mut SentTally,
        context: &CoreContext,
        traffic: &mut Traffic,
    ) {
        let now = context.tick();
        while let Some((seq, key)) = self.wants.queue.front().copied() {
            self.wants.put_off.take_if(|until| *until <= now);
            if !self.pipe.has_room() || self.wants.put_off.is_some() {
                return;
            }
            let entry = match self.wants.cache.get(&seq) {
                Some(entry) => entry.clone(),
                None if self.reading.is_some() => return,
                None => {
                    return self.read(ReadPurpose::Want, seq - 1, self.wants.bytes_for_first(seq), traffic);
                }
            };
            self.wants.queue.pop_front();
            let same = entry.envelope.key() == key;
            if is_allowed(&entry, key, peer, context) {
                tally.answered(seq);
                self.pipe.send(WireFrame::Answer(carrier(&entry, context.own_name())), context, traffic);
                continue;
            }
            if !same {
                self.wants.mistakes.spend(1, now);
                self.wants.put_off = Some(now.plus_ms(self.wants.mistakes.wait_ms(now)));
            }
            self.say_gone(seq, context, traffic);
        }
        self.wants.cache.clear();
    }
}

/// May the peer get `entry`, for which it named `key`? The share policy may have changed since it was offered.
fn is_allowed(entry: &Entry, key: EventKey, peer: &Peer, context: &CoreContext) -> bool {
    without!(context, WantKey => return true);
    entry.envelope.key() == key && shared(entry, peer, context).is_ok()
}
