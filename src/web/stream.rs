//! Server-sent events: the same pages without an end. Each event has its cursor as `id`, so that a client that comes again
//! with `Last-Event-ID` goes on behind the last one it got. The policy is asked anew for each piece of the stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use tokio::sync::watch;

use super::clients::ClientHandle;
use super::cursor::StartPlace;
use super::page::{PageBounds, PageFraming, PageReader};
use super::problem::Problem;
use super::query::ReadQuery;
use super::{RequestPlace, WebState};
use crate::limits::{PAGE_LINES_MAX, READ_BYTES};
use crate::status::ReadSpan;

/// How often a comment is sent if there is no event: proxies close what is silent.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// One running stream.
struct EventStream {
    web: Arc<WebState>,
    client: ClientHandle,
    query: Arc<ReadQuery>,
    after: u64,
    newest: watch::Receiver<u64>,
    /// Its place among the requests of the client, for as long as it runs.
    _place: RequestPlace,
    first: bool,
}

pub(super) async fn open(
    web: Arc<WebState>,
    client: ClientHandle,
    place: RequestPlace,
    query: Arc<ReadQuery>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if query.consumer.is_some() {
        return Err(Problem::bad("a stream has no `consumer`: it is resumed with Last-Event-ID"));
    }
    let last = headers.get("last-event-id").map(|value| {
        let place = value.to_str().ok().and_then(StartPlace::parse);
        place.ok_or_else(|| Problem::bad("invalid Last-Event-ID: expected the id of an event of this node"))
    });
    let start = last.transpose()?.or(query.after).unwrap_or(StartPlace::Earliest);
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    let (state, asked) = (Arc::clone(&web), Arc::clone(&query));
    let after = web.room.work(move || PageReader::new(state, file, asked)?.start(start)).await?;
    let newest = web.services.store.newest();
    let stream = EventStream { web, client, query, after, newest, _place: place, first: true };
    let pieces = futures::stream::unfold(stream, |mut stream| async move {
        let piece = stream.piece().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl EventStream {
    /// Returns what is sent next; `None` ends the stream.
    async fn piece(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.first) {
            return Some(Bytes::from_static(b"retry: 2000\n\n"));
        }
        loop {
            self.newest.borrow_and_update();
            // A client that was removed gets nothing more.
            let file = self.client.file()?;
            let (web, query, after) = (Arc::clone(&self.web), Arc::clone(&self.query), self.after);
            let bounds =
                PageBounds { lines: PAGE_LINES_MAX, bytes: READ_BYTES, framing: PageFraming::Events };
            let read = self.web.room.work(move || PageReader::new(web, file, query)?.page(after, bounds));
            // Also if retention was faster than the client: its next request is told so.
            let page = read.await.ok()?;
            self.after = page.next.seq;
            if page.lines > 0 {
                let span = ReadSpan { after: page.after, to: page.next.seq };
                self.client.activity.count_handed(page.lines, span);
                return Some(page.body.into());
            }
            if !page.at_end {
                continue;
            }
            tokio::select! {
                () = self.web.services.door.stopped() => return None,
                changed = self.newest.changed() => changed.ok()?,
                () = tokio::time::sleep(COMMENT_EVERY) => return Some(Bytes::from_static(b": \n\n")),
            }
        }
    }
}
