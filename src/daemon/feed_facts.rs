//! Collects the facts of `feed show` about each feed: cursor, marks, owed and rejected entries.

use crate::control::{FEED_SCHEMA, FeedFacts, FeedInfo, OwedFacts, RejectedFacts};
use crate::identity::PublisherName;
use crate::protocol::Node;
use crate::record::{Owed, RejectedPlace, RetryCondition};

/// Owed entries of one feed that are listed one by one.
const OWED_SHOWN_MAX: usize = 100;

/// Returns how far each feed of `node` has got, and the entries that it still waits for.
pub(crate) fn feed_facts(node: &Node) -> FeedFacts {
    let view = node.view();
    let feeds = node.feed_states().map(|(peer, state)| {
        let seen = view.peers.iter().find(|seen| seen.status.name == *peer);
        let head =
            seen.map(|seen| &seen.status.received).and_then(|seen| Some(seen.position? + seen.lag_events?));
        FeedInfo {
            peer: peer.clone(),
            connected: seen.is_some_and(|seen| seen.receives),
            log_id: state.log_id.map(|log_id| log_id.to_string()),
            position: state.cursor.seq,
            head,
            marks: state.marks.iter().map(|mark| mark.seq).collect(),
            owed: state.owed.values().take(OWED_SHOWN_MAX).map(owed).collect(),
            owed_count: state.owed.len() as u64,
            rejected: state.rejected.iter().map(rejected).collect(),
        }
    });
    let mut feeds: Vec<FeedInfo> = feeds.collect();
    let unread = view.peers.iter().filter(|peer| !feeds.iter().any(|feed| feed.peer == peer.status.name));
    let unread: Vec<FeedInfo> = unread.map(|peer| never_read(peer.status.name.clone())).collect();
    feeds.extend(unread);
    feeds.sort_by(|one, other| one.peer.cmp(&other.peer));
    FeedFacts { schema: FEED_SCHEMA.to_owned(), feeds }
}

/// Returns the facts of a peer that has never answered.
fn never_read(peer: PublisherName) -> FeedInfo {
    let (log_id, head) = (None, None);
    let (marks, owed, rejected) = (Vec::new(), Vec::new(), Vec::new());
    FeedInfo { peer, connected: false, log_id, position: 0, head, marks, owed, owed_count: 0, rejected }
}

fn owed(owed: &Owed) -> OwedFacts {
    OwedFacts {
        seq: owed.seq,
        publisher: owed.publisher.clone(),
        reason: owed.reason.as_str().to_owned(),
        retry_at: owed.retry_at,
    }
}

fn rejected(place: &RejectedPlace) -> RejectedFacts {
    let again_at = match place.cure {
        RetryCondition::At(at) => Some(at),
        RetryCondition::Trust(_) => None,
    };
    RejectedFacts {
        reason: place.reason.as_str().to_owned(),
        publisher: place.publisher.clone(),
        first_seq: place.before.seq + 1,
        again_at,
    }
}
