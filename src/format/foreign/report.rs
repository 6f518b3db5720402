//! What a conversion lost or moved, for people: one note for each place of a message. Values are not quoted beyond a
//! few characters.

use std::fmt;

use super::super::event_label;

/// Notes that are kept for one message.
const NOTES_MAX: usize = 64;
/// Characters of a place or text that are shown.
const SHOWN_CHARS: usize = 120;

/// One place that did not go over as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionNote {
    pub place: String,
    pub outcome: NoteOutcome,
}

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteOutcome {
    /// It is not in the result; with the reason.
    Lost(&'static str),
    /// It is in the result at another place than its own.
    Moved(String),
    /// It is in the result in another form; with the difference.
    Changed(&'static str),
}

/// All notes of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversionReport {
    pub notes: Vec<ConversionNote>,
    /// Notes beyond the bound.
    pub more: usize,
}

impl ConversionReport {
    pub(super) fn lost(&mut self, place: impl Into<String>, why: &'static str) {
        self.add(place.into(), NoteOutcome::Lost(why));
    }

    pub(super) fn moved(&mut self, place: impl Into<String>, to: impl Into<String>) {
        self.add(place.into(), NoteOutcome::Moved(to.into()));
    }

    pub(super) fn changed(&mut self, place: impl Into<String>, how: &'static str) {
        self.add(place.into(), NoteOutcome::Changed(how));
    }

    /// Adds the notes of another step.
    pub fn extend(&mut self, other: Self) {
        self.more += other.more;
        other.notes.into_iter().for_each(|note| self.add(note.place, note.outcome));
    }

    fn add(&mut self, place: String, outcome: NoteOutcome) {
        let place = event_label::shown(&place, SHOWN_CHARS);
        let note = ConversionNote { place, outcome };
        // The events of one message share most of their notes.
        if self.notes.contains(&note) {
            return;
        }
        if self.notes.len() == NOTES_MAX {
            self.more += 1;
        } else {
            self.notes.push(note);
        }
    }
}

impl fmt::Display for ConversionNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            NoteOutcome::Lost(why) => write!(f, "lost {}: {why}", self.place),
            NoteOutcome::Moved(to) => write!(f, "moved {} to {to}", self.place),
            NoteOutcome::Changed(how) => write!(f, "changed {}: {how}", self.place),
        }
    }
}
