//! The door from a Warden 3 server: reads page after page behind its own cursor, which moves once all messages of a page
//! are settled. Messages may get their ids out of order, so it looks back from time to time; ids that were seen are
//! duplicates. Messages that went out from this node are left out. `warden` speaks to the server.

mod cursor;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use cursor::CursorFile;

use super::door::{SubmitDoor, SubmitOpener};
use super::listening::Listening;
use super::submission::SubmissionOutcome;
use crate::door::{ServerUrl, WardenSource};
use crate::format::SubmitCode;
use crate::limits::{ASIDE_ELEMENT_BYTES_MAX, RECEIVER_FIRST_MS, RECEIVER_MAX_MS};
use crate::local::framing::{HEAD_BYTES, SocketLine};
use crate::local::http::HttpFault;
use crate::local::pause::GrowingPause;
use crate::local::warden::{WardenClient, WardenFault};
use crate::time::Tick;

/// Messages that are asked for at once; the server may have a lower bound.
const PAGE_EVENTS_MAX: usize = 200;

/// How often messages with older ids are looked for, in ms.
const LOOK_BACK_EVERY_MS: u64 = 600_000;

/// So many ids before the cursor may still be without their message. Later ones are not found.
const LOOK_BACK_IDS: u64 = 1_000;

/// A `[[submit]]` from a Warden server that can open.
pub(crate) struct WardenOpener {
    pub source: WardenSource,
    /// The name of this node in the `Node` list of messages.
    pub node: String,
    /// The file of its cursor.
    pub cursor: PathBuf,
}

impl SubmitOpener for WardenOpener {
    fn shown(&self) -> String {
        self.source.server.url.to_string()
    }

    fn open(self: Box<Self>, door: &Arc<SubmitDoor>, _: Option<&Arc<Listening>>) {
        let WardenSource { server, poll } = self.source;
        let warden = WardenDoor {
            client: WardenClient::new(&server),
            url: server.url,
            node: self.node,
            poll,
            file: CursorFile(self.cursor),
            place: None,
            count: PAGE_EVENTS_MAX,
            door: door.clone(),
            gone: CancellationToken::new(),
        };
        door.tasks.spawn(warden.run());
    }
}

struct WardenDoor {
    client: WardenClient,
    url: ServerUrl,
    node: String,
    poll: Duration,
    file: CursorFile,
    place: Option<WardenPlace>,
    /// Messages that are asked for at once.
    count: usize,
    door: Arc<SubmitDoor>,
    /// The server waits for no answer: this never fires.
    gone: CancellationToken,
}

/// How far the server was read.
struct WardenPlace {
    /// All messages up to this id are settled, as far as they were there. It is on disk.
    cursor: u64,
    /// The next page begins behind this id: before the cursor while it looks back.
    at: u64,
    look_back: Tick,
}

impl WardenPlace {
    /// Begins with a look back, which finds messages that came late before a restart.
    fn new(cursor: u64, now: Tick) -> Self {
        let mut place = Self { cursor, at: cursor, look_back: now };
        place.begin_look_back(now);
        place
    }

    fn begin_look_back(&mut self, now: Tick) {
        self.at = self.cursor.saturating_sub(LOOK_BACK_IDS);
        self.look_back = now.plus_ms(LOOK_BACK_EVERY_MS);
    }
}

impl WardenDoor {
    /// Reads until the node stops. A page that is under way then comes again.
    async fn run(mut self) {
        let stopping = self.door.stopping.clone();
        let mut pause = GrowingPause::new(RECEIVER_FIRST_MS, RECEIVER_MAX_MS);
        while let Some(turn) = stopping.run_until_cancelled(self.turn()).await {
            let wait = match turn {
                Ok(has_more) => {
                    pause.reset();
                    if has_more { Duration::ZERO } else { self.poll }
                }
                Err(fault) => {
                    self.door.counters.unreachable(fault.to_string());
                    pause.next()
                }
            };
            if stopping.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    fn now(&self) -> Tick {
        self.door.submitter.now().tick
    }

    /// Reads one page, and returns true if there may be another one.
    async fn turn(&mut self) -> Result<bool, WardenFault> {
        let mut place = match self.place.take() {
            Some(place) => place,
            None => WardenPlace::new(self.begin().await?, self.now()),
        };
        let done = self.turn_at(&mut place).await;
        self.place = Some(place);
        done
    }

    async fn turn_at(&mut self, place: &mut WardenPlace) -> Result<bool, WardenFault> {
        if place.at == place.cursor && self.now() >= place.look_back {
            place.begin_look_back(self.now());
        }
        let page = match self.client.messages_after(place.at, self.count).await {
            Err(WardenFault::Http(HttpFault::TooLarge { .. })) if self.count > 1 => {
                self.count /= 2;
                return Ok(true);
            }
            page => page?,
        };
        self.count = (2 * self.count).min(PAGE_EVENTS_MAX);
        self.door.counters.well();
        if page.messages.is_empty() {
            place.at = place.cursor;
            if page.last_id < place.cursor {
                self.went_back(place, page.last_id).await;
            }
            return Ok(place.at < place.cursor);
        }
        let is_settled = self.settle(page.messages).await.is_some();
        if !is_settled {
            // The node stops.
            return Ok(false);
        }
        // With an empty server behind it, the last id may be the same again.
        let has_more = page.last_id > place.at;
        place.at = page.last_id;
        if place.at > place.cursor {
            place.cursor = place.at;
            self.keep(place.cursor).await;
        }
        Ok(has_more)
    }

    /// Returns the place after which this door reads: that of its file, or the newest message of a server that it has not
    /// read before. From there it looks back at once.
    async fn begin(&self) -> Result<u64, WardenFault> {
        if let Some(cursor) = self.file.read(&self.url).map_err(WardenFault::Cursor)? {
            return Ok(cursor);
        }
        let newest = self.client.newest_id().await?;
        self.keep(newest).await;
        Ok(newest)
    }

    /// Goes on with a server that has lost its newest messages, or began anew: their ids come a second time.
    async fn went_back(&self, place: &mut WardenPlace, newest: u64) {
        let before = place.cursor;
        // Its ids stand for other messages now: all that it has are read, and known ones are duplicates by their names.
        *place = WardenPlace::new(0, self.now());
        self.keep(place.cursor).await;
        self.door.counters.failed(format!(
            "the newest message of the server had the id {before}, and now it has {newest}: read again from {}",
            place.at
        ));
    }

    /// Writes the cursor, for as long as that takes: without it, messages would only come again.
    async fn keep(&self, cursor: u64) {
        while let Err(error) = tokio::task::block_in_place(|| self.file.write(&self.url, cursor)) {
            self.door.counters.failed(format!("the cursor cannot be written: {error}"));
            if self.door.pause(&self.gone).await.is_none() {
                return;
            }
        }
    }

    /// Submits messages, and returns once the node has each, had it before, or has set it aside; `None` if it stops.
    async fn settle(&self, messages: Vec<Bytes>) -> Option<()> {
        let (own, messages): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| has_node(message, &self.node));
        // They are in the mesh already.
        own.iter().for_each(|_| self.door.counters.taken(true));
        let lines = messages.iter().map(SocketLine::of).collect();
        let prepared = self.door.submitter.prepare(lines).await?;
        let mut submissions = Vec::with_capacity(messages.len());
        for prepared in prepared {
            submissions.push(self.door.submitter.submit(prepared).await);
        }
        for (message, submission) in messages.iter().zip(submissions) {
            match submission.outcome().await {
                // The same message came another way, and has other nodes in its list now.
                SubmissionOutcome::Refused(fault) if fault.code == SubmitCode::IdConflict => {
                    self.door.counters.taken(true);
                }
                SubmissionOutcome::Refused(_) if message.len() > ASIDE_ELEMENT_BYTES_MAX => {
                    let head = message.slice(..HEAD_BYTES);
                    self.door.set_aside_long(message.len() as u64, &head, &self.gone).await.then_some(())?;
                }
                outcome => {
                    self.door.settle(message, outcome, &self.gone).await?;
                }
            }
        }
        Some(())
    }
}

#[derive(Deserialize)]
struct NodesOf {
    #[serde(default, rename = "Node")]
    nodes: Vec<NamedNode>,
}

#[derive(Deserialize)]
struct NamedNode {
    #[serde(default, rename = "Name")]
    name: String,
}

/// Returns true if a message passed a node of this name. The server compares names in small letters.
fn has_node(message: &[u8], name: &str) -> bool {
    serde_json::from_slice::<NodesOf>(message)
        .is_ok_and(|message| message.nodes.iter().any(|node| node.name.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_passed_this_node_are_found() {
        for (message, has) in [
            (r#"{"Node":[{"Name":"org.example.a"},{"Name":"AT.cert.intelmesh"}]}"#, true),
            (r#"{"Node":[{"SW":["x"]},{"Name":"at.cert.intelmesh.b"}]}"#, false),
            (r#"{"Node":"at.cert.intelmesh"}"#, false),
            ("{}", false),
        ] {
            assert_eq!(has_node(message.as_bytes(), "at.cert.intelmesh"), has, "{message}");
        }
    }
}
