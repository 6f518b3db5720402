//! The cursor of a client: a place in one journal, as text that is opaque to the client (`LOGID.SEQ.CHECK`). The check
//! tells a restored journal from the one that the cursor is of, even if both have the same id and seq.

use std::fmt;

use crate::identity::{Check, LogId};
use crate::record::JournalEnds;
use crate::time::Timestamp;
use crate::wire::Mark;

/// A place that this node once gave to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub log_id: LogId,
    pub seq: u64,
    /// `None` if the client wrote `LOGID.SEQ` alone.
    pub check: Option<Check>,
}

impl Cursor {
    pub(crate) const fn at(log_id: LogId, mark: Mark) -> Self {
        Self { log_id, seq: mark.seq, check: Some(mark.check) }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let log_id = LogId(bytes_of(parts.next()?)?);
        let seq = parts.next()?;
        let plain = seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = seq.parse().ok().filter(|_| plain)?;
        let check = match parts.next() {
            Some(check) => Some(Check(bytes_of(check)?)),
            None => None,
        };
        parts.next().is_none().then_some(Self { log_id, seq, check })
    }
}

fn bytes_of(hex: &str) -> Option<[u8; 16]> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8; 16]| data_encoding::HEXLOWER.encode(bytes);
        write!(f, "{}.{}", hex(&self.log_id.0), self.seq)?;
        self.check.map_or(Ok(()), |check| write!(f, ".{}", hex(&check.0)))
    }
}

/// The value of `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartPlace {
    Earliest,
    Now,
    /// The first event stored at or after this time.
    Time(Timestamp),
    Cursor(Cursor),
}

impl StartPlace {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "earliest" => Some(Self::Earliest),
            "now" => Some(Self::Now),
            // A `+` of a query that nobody escaped arrives as a blank.
            _ => match Timestamp::parse_rfc3339(&text.replace(' ', "+")) {
                Some(time) => Some(Self::Time(time)),
                None => Cursor::parse(text).map(Self::Cursor),
            },
        }
    }
}

/// Returns the oldest cursor from which nothing is missing.
pub(super) fn oldest(ends: &JournalEnds) -> String {
    Cursor::at(ends.log_id, ends.floor).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_wrote() {
        let cursor = Cursor::at(LogId([7; 16]), Mark { seq: 42, check: Check([9; 16]) });
        assert_eq!(StartPlace::parse(&cursor.to_string()), Some(StartPlace::Cursor(cursor)));
        let short = Cursor { check: None, ..cursor };
        assert_eq!(short.to_string(), format!("{}.42", "07".repeat(16)));
        assert_eq!(StartPlace::parse(&short.to_string()), Some(StartPlace::Cursor(short)));
    }

    #[test]
    fn places_are_read_and_anything_else_is_refused() {
        let log = "07".repeat(16);
        for (text, want) in [
            ("earliest".to_owned(), true),
            ("now".to_owned(), true),
            ("1970-01-01T00:00:01Z".to_owned(), true),
            ("1970-01-01T00:00:01 00:00".to_owned(), true),
            (String::new(), false),
            ("yesterday".to_owned(), false),
            ("17".to_owned(), false),
            (format!("{log}.-1"), false),
            (format!("{log}.+1"), false),
            (format!("{log}."), false),
            (format!("{log}.1.zz"), false),
            (format!("{log}.1.{log}.1"), false),
            (format!("{log}.99999999999999999999"), false),
        ] {
            assert_eq!(StartPlace::parse(&text).is_some(), want, "{text}");
        }
    }
}
