//! Records what one connection was handed, so that an acknowledgement means nothing beyond it, and `ack_lines` finds
//! its seq. The core keeps the position of a consumer.

use std::collections::VecDeque;

use super::request::AckRequest;
use crate::limits::UNACKED_RUNS_MAX;

/// A run of lines of this connection with consecutive seqs.
#[derive(Clone, Copy, Debug)]
struct DeliveredRun {
    first_line: u64,
    first_seq: u64,
    entries: u64,
    /// Lines of each entry.
    lines_each: u64,
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryMarks {
    last_seq: u64,
    /// The last seq without a line, behind the last line.
    passed: u64,
    acked: u64,
    lines: u64,
    /// Oldest first; only those that are not acknowledged.
    runs: VecDeque<DeliveredRun>,
    /// Lines are to be remembered: the form has no `seq`.
    counts_lines: bool,
}

impl DeliveryMarks {
    pub(crate) fn new(counts_lines: bool) -> Self {
        Self { counts_lines, ..Self::default() }
    }

    /// Adds the lines of the entry `seq`, at least one.
    pub(crate) fn push(&mut self, seq: u64, lines: u64) {
        self.last_seq = seq;
        let first_line = self.lines + 1;
        self.lines += lines;
        if !self.counts_lines {
            return;
        }
        match self.runs.back_mut() {
            Some(run) if run.first_seq + run.entries == seq && run.lines_each == lines => run.entries += 1,
            _ => self.runs.push_back(DeliveredRun {
                first_line,
                first_seq: seq,
                entries: 1,
                lines_each: lines.max(1),
            }),
        }
    }

    /// Passes over the entry `seq`, which has no line that could be acknowledged. It is done with once all before it
    /// is; if that is so already, the seq is returned.
    pub(crate) fn pass(&mut self, seq: u64) -> Option<u64> {
        self.passed = seq;
        (self.acked >= self.last_seq).then_some(seq)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.runs.len() >= UNACKED_RUNS_MAX
    }

    /// Returns the seq up to which `ack` acknowledges; `None` if that is nothing new.
    pub(crate) fn acked(&mut self, ack: AckRequest) -> Option<u64> {
        let seq = match ack {
            AckRequest::Seq(seq) => Some(seq.min(self.last_seq)),
            AckRequest::Lines(lines) => self.seq_of_line(lines.min(self.lines)),
        };
        let seq = seq.filter(|seq| *seq > 0)?;
        self.acked = self.acked.max(seq);
        while let Some(run) = self.runs.front_mut() {
            let done = (seq + 1).saturating_sub(run.first_seq).min(run.entries);
            run.first_line += done * run.lines_each;
            run.first_seq += done;
            run.entries -= done;
            if run.entries > 0 {
                break;
            }
            self.runs.pop_front();
        }
        if seq >= self.last_seq { Some(seq.max(self.passed)) } else { Some(seq) }
    }

    /// Returns the last entry with all of its lines up to `line`.
    fn seq_of_line(&self, line: u64) -> Option<u64> {
        let at = self.runs.partition_point(|run| run.first_line <= line).checked_sub(1)?;
        let run = self.runs.get(at)?;
        match ((line - run.first_line + 1) / run.lines_each).min(run.entries) {
            0 => {
                let before = self.runs.get(at.checked_sub(1)?)?;
                Some(before.first_seq + before.entries - 1)
            }
            entries => Some(run.first_seq + entries - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_find_their_seqs_and_nothing_counts_beyond_what_was_handed() {
        let mut handed = DeliveryMarks::new(true);
        assert_eq!(handed.acked(AckRequest::Lines(1)), None);
        assert_eq!(handed.acked(AckRequest::Seq(9)), None);
        for seq in [3, 4, 5, 9, 10, 20] {
            handed.push(seq, 1);
        }
        assert_eq!(handed.acked(AckRequest::Lines(2)), Some(4));
        assert_eq!(handed.acked(AckRequest::Lines(1)), None, "it is acknowledged already");
        assert_eq!(handed.acked(AckRequest::Lines(4)), Some(9));
        handed.push(21, 1);
        assert_eq!(handed.acked(AckRequest::Lines(6)), Some(20));
        assert_eq!(handed.acked(AckRequest::Lines(600)), Some(21));
        handed.push(40, 1);
        assert_eq!(handed.acked(AckRequest::Seq(u64::MAX)), Some(40));
        assert!(handed.runs.is_empty());
    }

    #[test]
    fn an_ack_of_a_seq_between_two_lines_counts_for_those_below() {
        let mut handed = DeliveryMarks::new(true);
        for seq in [3, 9] {
            handed.push(seq, 1);
        }
        assert_eq!(handed.acked(AckRequest::Seq(5)), Some(5));
        assert_eq!(handed.acked(AckRequest::Lines(2)), Some(9));
    }

    #[test]
    fn what_had_no_line_is_done_with_once_all_before_it_is() {
        let mut handed = DeliveryMarks::new(true);
        assert_eq!(handed.pass(2), Some(2), "nothing was handed before");
        handed.push(3, 1);
        assert_eq!(handed.pass(4), None);
        assert_eq!(handed.pass(5), None);
        assert_eq!(handed.acked(AckRequest::Lines(1)), Some(5));
        assert_eq!(handed.pass(6), Some(6));
        handed.push(7, 1);
        handed.push(8, 1);
        assert_eq!(handed.pass(9), None);
        assert_eq!(handed.acked(AckRequest::Seq(7)), Some(7));
        assert_eq!(handed.acked(AckRequest::Seq(9)), Some(9));
    }

    #[test]
    fn forms_with_a_seq_remember_no_lines() {
        let mut handed = DeliveryMarks::new(false);
        (1..10).for_each(|seq| handed.push(2 * seq, 1));
        assert!(handed.runs.is_empty());
        assert_eq!(handed.acked(AckRequest::Seq(4)), Some(4));
    }

    /// A message that became several events is done with when all of them are.
    #[test]
    fn an_entry_of_several_lines_is_acknowledged_with_its_last() {
        let mut handed = DeliveryMarks::new(true);
        for (seq, lines) in [(3, 1), (4, 3), (5, 3), (6, 1)] {
            handed.push(seq, lines);
        }
        let acks = [(1, Some(3)), (2, None), (3, None), (4, Some(4)), (6, None), (7, Some(5)), (8, Some(6))];
        for (lines, seq) in acks {
            assert_eq!(handed.acked(AckRequest::Lines(lines)), seq, "{lines}");
        }
        let mut handed = DeliveryMarks::new(true);
        handed.push(9, 3);
        assert_eq!(handed.acked(AckRequest::Lines(2)), None);
        assert_eq!(handed.acked(AckRequest::Lines(3)), Some(9));
    }
}
