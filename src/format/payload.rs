//! The payload of a draft: the text of an event as it is signed. Its type shows that it is a body (PROTOCOL.md §2.4): a
//! text from which nothing was removed was shown to be one by the scan of the line, and any other is scanned again.

use std::ops::Range;

use bytes::Bytes;

use super::door::DoorDefaults;
use super::edit;
use super::refusal::{SubmitCode, SubmitError};
use super::secrets::{MASK, secret_places};
use super::strip::RemovedParts;
use crate::event::check_body;
use crate::event::json::{JsonKind, JsonScan};
use crate::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX};

/// The text of a body, on one line.
#[derive(Clone, Debug)]
pub(super) struct CheckedPayload(String);

impl CheckedPayload {
    /// Returns the object of `scan` without the parts that are removed, and with its secrets masked if the door says so.
    ///
    /// # Errors
    /// `empty` if nothing is left, and the faults of [`check_body`].
    pub(crate) fn of(
        scan: &JsonScan<'_>,
        removed: &RemovedParts,
        door: &DoorDefaults,
    ) -> Result<Self, SubmitError> {
        let (start, text) = (scan.value_at.start, &scan.text[scan.value_at.clone()]);
        let cuts = removed.cuts.iter().map(|cut| cut.start - start..cut.end - start);
        let mut edits: Vec<_> = cuts.map(|cut| (cut, "")).collect();
        if door.removal.mask_secrets {
            let stays = |secret: &Range<usize>| {
                let before = edits.partition_point(|(cut, _)| cut.end <= secret.start);
                edits.get(before).is_none_or(|(cut, _)| secret.end <= cut.start)
            };
            let secrets: Vec<_> = secret_places(text).into_iter().filter(stays).collect();
            edits.extend(secrets.into_iter().map(|secret| (secret, MASK)));
            edits.sort_unstable_by_key(|(place, _)| place.start);
        }
        let payload = edit::copy_edited(text.as_bytes(), &edits);
        if payload[1..payload.len() - 1].iter().all(u8::is_ascii_whitespace) {
            return Err(SubmitError::new(SubmitCode::Empty, "the event has no fields"));
        }
        let was_scanned = edits.is_empty()
            && scan.kind == JsonKind::Object
            && scan.depth <= JSON_DEPTH_MAX
            && payload.len() <= LINE_BYTES_MAX;
        if !was_scanned {
            check_body(&payload)?;
        }
        // Places begin and end between characters: it is UTF-8 still.
        String::from_utf8(payload).map(Self).map_err(|_| SubmitError::new(SubmitCode::BadJson, "not UTF-8"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}
