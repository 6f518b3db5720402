//! Keys that knocked and were refused, for `status`. If a new peer does not get in, the operator finds its key here.
//! Bounded; the one seen longest ago is forgotten first.

use crate::limits::STRANGERS_MAX;
use crate::time::Timestamp;

/// A key that proved itself and is not in `peers/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// `ed25519:…`, as a peer file would have it.
    pub key: String,
    /// The address from which it came last.
    pub address: String,
    pub count: u64,
    pub last: Timestamp,
}

/// The latest first.
#[derive(Debug, Default)]
pub(super) struct StrangerLog(Vec<Stranger>);

impl StrangerLog {
    pub(crate) fn knocked(&mut self, key: String, address: String, now: Timestamp) {
        let known = self.0.iter().position(|stranger| stranger.key == key);
        let count = known.map_or(0, |at| self.0.remove(at).count);
        self.0.insert(0, Stranger { key, address, count: count + 1, last: now });
        self.0.truncate(STRANGERS_MAX);
    }

    pub(crate) fn list(&self) -> Vec<Stranger> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stranger_seen_longest_ago_is_forgotten_first() {
        let mut strangers = StrangerLog::default();
        strangers.knocked("first".into(), "a".into(), Timestamp(1));
        for n in 0..STRANGERS_MAX - 1 {
            strangers.knocked(n.to_string(), "a".into(), Timestamp(2));
        }
        strangers.knocked("first".into(), "b".into(), Timestamp(3));
        strangers.knocked("new".into(), "a".into(), Timestamp(4));
        let list = strangers.list();
        assert_eq!(list.len(), STRANGERS_MAX);
        let first = Stranger { key: "first".into(), address: "b".into(), count: 2, last: Timestamp(3) };
        assert_eq!(list[1], first);
        assert!(!list.iter().any(|stranger| stranger.key == "0"));
    }
}
