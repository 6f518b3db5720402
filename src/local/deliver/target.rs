//! The other end of a consumer's door, as `driver` sees it: it can be connected to, takes lines, and reports
//! which it has taken. Each kind of door implements it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::marker::HandedMark;
use crate::limits::RECEIVER_PATIENCE_MS;
use crate::record::Entry;

pub(crate) const PATIENCE: Duration = Duration::from_millis(RECEIVER_PATIENCE_MS);

/// A line for the receiver.
#[derive(Debug)]
pub(crate) struct PreparedLine {
    /// `None` for one that is handed over again, out of turn.
    pub mark: Option<HandedMark>,
    pub line: Vec<u8>,
    pub adapted: bool,
    /// The entry that it is made of.
    pub entry: Arc<Entry>,
}

/// Why the connection has ended, or is to end. It is tried again for ever.
#[derive(Debug, Error)]
pub(crate) enum ReceiverError {
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    #[error("{0}: nothing for {t} s", t = PATIENCE.as_secs())]
    Silent(&'static str),
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the receiver answered {0:?} instead of \"Ok\"")]
    Answer(String),
    #[error("{}", .0.told())]
    Redis(#[from] crate::local::redis::RedisFault),
    /// It never takes the first line that it was handed. The connection stands.
    #[error("the receiver refuses it: {0}")]
    Refused(String),
    /// A kind of receiver with errors of its own.
    #[error("{0}")]
    Other(String),
}

/// One connection at a time. All of it is tried again by the caller, with growing pauses.
pub(crate) trait DeliveryTarget: Send + Sync + 'static {
    /// True if [`DeliveryTarget::last_taken`] is kept with the entries themselves: entries that it does not name are
    /// gone.
    const KEEPS_PLACE: bool = false;

    /// Connects anew, even if a connection was there before.
    fn connect(&mut self) -> impl Future<Output = Result<(), ReceiverError>> + Send;

    /// Returns the entry that it took last, as far as this kind of door remembers beside the journal.
    fn last_taken(&mut self) -> impl Future<Output = Result<Option<HandedMark>, ReceiverError>> + Send;

    /// Hands over the first of `lines`, or several, and returns how many it has taken now. If it has no room, it sends
    /// nothing and returns 0: ask again after a pause. It remembers what it took for [`DeliveryTarget::last_taken`].
    ///
    /// # Errors
    /// Returns an error if the outcome of the first is not known: it is handed over again. [`ReceiverError::Refused`] says
    /// that it never takes the first.
    fn hand(&mut self, lines: &[PreparedLine]) -> impl Future<Output = Result<usize, ReceiverError>> + Send;

    /// Passes over an entry for good that is not for the receiver.
    fn pass(&mut self, mark: HandedMark) -> impl Future<Output = Result<(), ReceiverError>> + Send;

    /// Ends when the connection does, while nothing is handed over.
    fn idle(&mut self) -> impl Future<Output = ReceiverError> + Send;

    /// Returns why this line cannot be sent at all, to any receiver.
    fn unfit(&self, line: &[u8]) -> Option<String>;
}
