//! Lines of log that others can cause: one for each name and kind in a while, and then how many there were. Nothing is
//! decided by it.

use std::collections::BTreeMap;

use crate::time::Tick;

/// The same line is logged at most once in this time, per name and kind, in ms.
const LOG_EVERY_MS: u64 = 10_000;
/// Names and kinds that are kept apart; of more only the number of lines is logged.
const KINDS_MAX: usize = 4_096;

/// Lines held back since the last one of a name and kind.
#[derive(Debug)]
struct HeldBack {
    next: Tick,
    count: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    held: BTreeMap<(Box<str>, &'static str), HeldBack>,
    /// Lines of names and kinds for which there was no room.
    beyond: u64,
}

impl LogLimit {
    /// `count` things happened: if a line may be logged now, how many it stands for, those held back before among them.
    pub(crate) fn allow(&mut self, name: &str, kind: &'static str, count: u64, now: Tick) -> Option<u64> {
        let key = (Box::from(name), kind);
        if let Some(held) = self.held.get_mut(&key) {
            held.count = held.count.saturating_add(count);
            if now < held.next {
                return None;
            }
            held.next = now.plus_ms(LOG_EVERY_MS);
            return Some(std::mem::take(&mut held.count));
        }
        if self.held.len() >= KINDS_MAX {
            self.held.retain(|_, held| now < held.next || held.count > 0);
        }
        if self.held.len() >= KINDS_MAX {
            self.beyond += 1;
            return None;
        }
        self.held.insert(key, HeldBack { next: now.plus_ms(LOG_EVERY_MS), count: 0 });
        Some(count)
    }

    /// Returns the lines held back that are now due: name, kind and how many. To be called now and then.
    pub(crate) fn take_due(&mut self, now: Tick) -> Vec<(Box<str>, &'static str, u64)> {
        let mut due = Vec::new();
        self.held.retain(|(name, kind), held| {
            if held.count > 0 && now >= held.next {
                due.push((name.clone(), *kind, std::mem::take(&mut held.count)));
                held.next = now.plus_ms(LOG_EVERY_MS);
            }
            now < held.next
        });
        if self.beyond > 0 {
            due.push((Box::from("others"), "others", std::mem::take(&mut self.beyond)));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_told_with_the_next_line_or_by_itself() {
        let mut limit = LogLimit::default();
        assert_eq!(limit.allow("cert-ee", "missing", 1, Tick(0)), Some(1));
        for _ in 0..20_000 {
            assert_eq!(limit.allow("cert-ee", "missing", 2, Tick(9_999)), None);
        }
        assert_eq!(
            limit.allow("cert-pl", "missing", 1, Tick(9_999)),
            Some(1),
            "another's lines are not held back"
        );
        assert_eq!(limit.allow("cert-ee", "missing", 1, Tick(10_000)), Some(40_001));
        assert_eq!(limit.allow("cert-ee", "missing", 7, Tick(10_001)), None);
        assert_eq!(limit.take_due(Tick(15_000)), []);
        assert_eq!(limit.take_due(Tick(20_000)), [(Box::from("cert-ee"), "missing", 7)]);
        assert_eq!(limit.take_due(Tick(90_000)), []);
        assert!(limit.held.is_empty(), "what is over is forgotten");
    }

    #[test]
    fn names_beyond_the_bound_are_counted_and_not_logged() {
        let mut limit = LogLimit::default();
        for n in 0..KINDS_MAX + 10 {
            limit.allow(&n.to_string(), "feed_down", 1, Tick(0));
        }
        assert_eq!(limit.take_due(Tick(1)), [(Box::from("others"), "others", 10)]);
        assert_eq!(limit.allow("new", "feed_down", 1, Tick(20_000)), Some(1));
    }
}
