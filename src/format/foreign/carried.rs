//! The events of carried bodies for filters, kept for a while: one envelope meets the filters of many peers and
//! consumers, and is decoded for the first of them. Nothing that filters decide is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::codec::decode_text;
use super::text_of;
use super::{ForeignFormat, foreign_format};
use crate::limits::{RECENT_MESSAGES_BYTES_MAX, RECENT_MESSAGES_MAX};

/// The events of a body: the same for all nodes of a process, and for ever.
struct RecentMessage {
    format: &'static str,
    body: Vec<u8>,
    events: Arc<[Vec<u8>]>,
}

impl RecentMessage {
    fn bytes(&self) -> usize {
        self.body.len() + self.events.iter().map(Vec::len).sum::<usize>()
    }
}

static RECENT: Mutex<VecDeque<RecentMessage>> = Mutex::new(VecDeque::new());

/// Returns the flat events of a carried body; none if it cannot be decoded.
pub fn carried_events(format: &str, body: &[u8]) -> Arc<[Vec<u8>]> {
    let Some(format) = foreign_format(format) else { return Arc::default() };
    let recent = || RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = |recent: &VecDeque<RecentMessage>| {
        let found = recent.iter().find(|known| known.format == format.name() && known.body == body)?;
        Some(Arc::clone(&found.events))
    };
    if let Some(events) = known(&recent()) {
        return events;
    }
    // Others need not wait for it.
    let message = RecentMessage { format: format.name(), body: body.to_vec(), events: decode(format, body) };
    let events = Arc::clone(&message.events);
    let mut recent = recent();
    recent.push_back(message);
    while recent.len() > RECENT_MESSAGES_MAX
        || recent.iter().map(RecentMessage::bytes).sum::<usize>() > RECENT_MESSAGES_BYTES_MAX
    {
        recent.pop_front();
    }
    events
}

fn decode(format: &'static dyn ForeignFormat, body: &[u8]) -> Arc<[Vec<u8>]> {
    let decoded = std::str::from_utf8(body).ok().and_then(|text| decode_text(format, text).ok());
    let events = decoded.into_iter().flat_map(|decoded| decoded.events);
    events.map(|event| text_of(&event.payload).into_bytes()).collect()
}
