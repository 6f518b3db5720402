//! One field of a receiver: its kind, its length and its pattern, and the check of a value for it.

use regex::Regex;

use super::kind::FieldKind;
use super::value::{FieldValue, SanitizedValue};
use crate::limits::HARMONIZATION_PATTERN_BYTES_MAX;

/// The values that a field takes.
#[derive(Clone, Debug)]
pub(super) struct IntelmqField {
    pub kind: FieldKind,
    /// Characters of the value as Python writes it.
    pub length: Option<usize>,
    pub pattern: Option<FieldPattern>,
    /// A field of a report is also one of the event that a parser makes of it.
    pub also: Option<Box<IntelmqField>>,
}

/// A pattern of `harmonization.conf`; those of IntelMQ itself need no engine.
#[derive(Clone, Debug)]
pub(super) enum FieldPattern {
    /// `^[ -~]+$`
    Printable,
    /// `^.*[^\.]$`
    NoDotAtEnd,
    /// `^[a-zA-Z0-9]{2}$`
    TwoLettersOrDigits,
    /// `^[A-F0-9./]+$`
    HashDigits,
    /// Groups of 8, 4, 4, 4 and 12 of `a-z0-9`.
    LikeUuid,
    OneOf(&'static [&'static str]),
    Regex(Regex),
}

const LIKE_UUID: &str = "^[a-z0-9]{8}-[a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{12}$";

impl FieldPattern {
    /// Reads a Python pattern; `$` means the very end here, never before a line break.
    ///
    /// # Errors
    /// Returns an error if the engine cannot do it (it has no look-around and no references back), or if it is too
    /// large.
    pub(crate) fn parse(text: &str, any_case: bool) -> Result<Self, regex::Error> {
        match text {
            "^[ -~]+$" => Ok(Self::Printable),
            "^.*[^\\.]$" => Ok(Self::NoDotAtEnd),
            "^[a-zA-Z0-9]{2}$" => Ok(Self::TwoLettersOrDigits),
            "^[A-F0-9./]+$" if !any_case => Ok(Self::HashDigits),
            LIKE_UUID if !any_case => Ok(Self::LikeUuid),
            _ => regex::RegexBuilder::new(text)
                .case_insensitive(any_case)
                .size_limit(HARMONIZATION_PATTERN_BYTES_MAX)
                .dfa_size_limit(HARMONIZATION_PATTERN_BYTES_MAX)
                .build()
                .map(Self::Regex),
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Printable => !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            Self::NoDotAtEnd => !text.is_empty() && !text.ends_with('.') && !text.contains('\n'),
            Self::TwoLettersOrDigits => {
                text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            }
            Self::HashDigits => {
                !text.is_empty()
                    && text.bytes().all(|byte| matches!(byte, b'A'..=b'F' | b'0'..=b'9' | b'.' | b'/'))
            }
            Self::LikeUuid => is_like_uuid(text),
            Self::OneOf(words) => words.contains(&text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

fn is_like_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'a'..=b'z' | b'0'..=b'9'),
        })
}

impl IntelmqField {
    /// Returns true if IntelMQ takes the value at this field, as it is or fixed by itself.
    pub(crate) fn accepts(&self, value: &FieldValue<'_>) -> bool {
        let taken = self.takes_unchanged(value)
            || self.kind.sanitized(value).is_some_and(|mended| self.fits_mended(&mended));
        taken && self.also.as_ref().is_none_or(|also| also.accepts(value))
    }

    /// Returns true if IntelMQ takes the value as it is.
    pub(crate) fn takes_unchanged(&self, value: &FieldValue<'_>) -> bool {
        self.kind.is_valid(value) && self.fits(value)
    }

    fn fits(&self, value: &FieldValue<'_>) -> bool {
        (self.length.is_none() && self.pattern.is_none())
            || value.as_text().is_some_and(|text| self.fits_text(&text))
    }

    fn fits_mended(&self, mended: &SanitizedValue<'_>) -> bool {
        match mended {
            SanitizedValue::Text(text) => self.fits_text(text),
            // A host that was fixed ends without a dot.
            SanitizedValue::Unmeasured => {
                self.length.is_none()
                    && match self.pattern {
                        None => true,
                        Some(FieldPattern::NoDotAtEnd) => self.kind == FieldKind::Host,
                        Some(_) => false,
                    }
            }
        }
    }

    fn fits_text(&self, text: &str) -> bool {
        self.length.is_none_or(|length| text.chars().count() <= length)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.fits(text))
    }
}
