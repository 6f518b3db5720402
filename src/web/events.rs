//! A page of lines with the link to the next one. Nothing is kept here: the client holds its cursor, and may ask for each
//! page again.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::WebState;
use super::clients::ClientHandle;
use super::cursor::StartPlace;
use super::encode::{Coding, HeldBody, is_had, set};
use super::page::{Page, PageReader, page_bounds};
use super::problem::Problem;
use super::query::ReadQuery;
use super::room::{HeldRoom, PAGE_ROOM_BYTES, shrink};
use crate::clock;
use crate::limits::PAGE_AGE_S;
use crate::status::ReadSpan;

/// A page, encoded for its client.
struct EncodedPage {
    page: Page,
    body: Vec<u8>,
    coding: Coding,
    tag: String,
}

/// Reads the page after a place; if it is empty, waits as long as the query says.
pub(super) async fn await_page(
    web: &Arc<WebState>,
    client: &ClientHandle,
    query: &Arc<ReadQuery>,
    place: StartPlace,
    headers: &HeaderMap,
) -> Result<(EncodedPageParts, HeldRoom), Problem> {
    let deadline = clock::now().tick.plus_ms(query.wait_s * 1_000);
    let mut newest = web.services.store.newest();
    let mut place = Place::Named(place);
    loop {
        let mut room = web.room.hold(&client.activity, PAGE_ROOM_BYTES).await?;
        // Seen before the page is read: what comes later wakes the wait.
        newest.borrow_and_update();
        let encoded = read_page(web, client, query, place, headers).await?;
        shrink(&mut room, encoded.body.len());
        let page = &encoded.page;
        let left_ms = deadline.since_ms(clock::now().tick);
        if page.lines > 0 || !page.at_end || left_ms == 0 {
            return Ok((EncodedPageParts(encoded), room));
        }
        place = Place::After(page.next.seq);
        drop(room);
        tokio::select! {
            () = web.services.door.stopped() => return Err(Problem::stopping()),
            changed = newest.changed() => changed.map_err(|_| Problem::stopping())?,
            () = tokio::time::sleep(Duration::from_millis(left_ms)) => {}
        }
    }
}

/// A page that was read and is not answered yet.
pub(super) struct EncodedPageParts(EncodedPage);

impl EncodedPageParts {
    pub(crate) fn page(&self) -> &Page {
        &self.0.page
    }
}

#[derive(Clone, Copy)]
enum Place {
    Named(StartPlace),
    After(u64),
}

async fn read_page(
    web: &Arc<WebState>,
    client: &ClientHandle,
    query: &Arc<ReadQuery>,
    place: Place,
    headers: &HeaderMap,
) -> Result<EncodedPage, Problem> {
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    let (state, query, headers) = (Arc::clone(web), Arc::clone(query), headers.clone());
    web.room
        .work(move || {
            let limit = query.limit;
            let reader = PageReader::new(state, file, query)?;
            let after = match place {
                Place::Named(place) => reader.start(place)?,
                Place::After(seq) => seq,
            };
            let mut page = reader.page(after, page_bounds(limit))?;
            let body = std::mem::take(&mut page.body);
            let coding = Coding::accepted(&headers, body.len());
            let tag = coding.entity_tag(&body);
            let body = coding.encode(body).map_err(|error| Problem::unreadable(&error))?;
            Ok(EncodedPage { page, body, coding, tag })
        })
        .await
}

/// Answers a page. A full page behind a cursor never changes, and may be kept by the client; the last one grows, and
/// `earliest`, `now` and a time are not always the same place.
pub(super) fn answer(
    client: &ClientHandle,
    query: &ReadQuery,
    EncodedPageParts(encoded): EncodedPageParts,
    room: HeldRoom,
    (method, asked): (&Method, &HeaderMap),
) -> Response {
    let EncodedPage { page, body, coding, tag } = encoded;
    if method != Method::HEAD {
        client.activity.count_handed(page.lines, ReadSpan { after: page.after, to: page.next.seq });
    }
    let is_kept = page.full && query.consumer.is_none() && matches!(query.after, Some(StartPlace::Cursor(_)));
    let mut response = match is_kept && is_had(asked, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => HeldBody::body(body, room).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
    set(headers, header::LINK, &format!("<{}>; rel=\"next\"", query.next(&page.cursor())));
    if let Some(coding) = coding.as_str() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if is_kept {
        set(headers, header::CACHE_CONTROL, &format!("private, max-age={PAGE_AGE_S}, immutable"));
        set(headers, header::ETAG, &tag);
    } else {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
